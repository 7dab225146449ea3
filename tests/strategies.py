"""Random small float networks that hwcomp takes: chains of ONNX operators.

`chains()` is a hypothesis strategy, which can shrink; `chain(seed)` draws the same kind of network from a seed, so that
a test per seed has a name and can be run alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tests.models import model

INTERVALS = [(-1.0, 1.0), (0.0, 1.0), (-0.3, 2.5), (0.0, 255.0), (-4.0, -1.0)]
OPSETS = [9, 11, 13, 17, 21]


class Seeded:
    """Dice from a seed."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def integer(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi, endpoint=True))

    def pick(self, options):
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        return self.pick([False, True])


class Drawn:
    """Dice from hypothesis."""

    def __init__(self, draw):
        self.draw = draw

    def integer(self, lo, hi):
        return self.draw(st.integers(lo, hi))

    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def flag(self):
        return self.draw(st.booleans())


@dataclass(repr=False)
class Chain:
    """Nodes in a row; `last` is the tensor that the next one reads, `shape` that of a sample (no batch axis)."""

    rng: np.random.Generator
    opset: int
    batch: object
    shape: tuple[int, ...]
    interval: tuple[float, float]
    budget: int | None
    last: str = "x"
    nodes: list = field(default_factory=list)
    constants: dict = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    index: bool = False

    def __post_init__(self):
        self.input = (self.batch, *self.shape)

    def constant(self, array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def uniform(self, *shape, scale=1.0):
        return (self.rng.uniform(-1, 1, shape) * scale).astype(np.float32)

    def add(self, op, ins, shape, **attrs):
        out = f"t{len(self.nodes)}"
        self.nodes.append((op, [self.last, *ins], [out], attrs))
        self.last, self.shape = out, tuple(shape)

    @property
    def proto(self):
        nodes = [(op, ins, ["y" if o == self.last else o for o in outs], attrs) for op, ins, outs, attrs in self.nodes]
        types = {"y": "int64"} if self.index else {}
        outputs = ["y", *(n for n in self.extra if n != self.last)]
        return model(nodes, {"x": self.input}, self.constants, outputs, opset=self.opset, types=types)

    def __repr__(self):
        steps = [f"{op}{attrs or ''}" for op, _, _, attrs in self.nodes]
        return "; ".join([f"x {list(self.input)} in {self.interval}", *steps, f"budget {self.budget}"])


def axis(dice, size):
    """kernel, stride, dilation, pads of one axis of `size` elements; pads are smaller than the kernel."""
    dilation = dice.pick([1, 1, 1, 2])
    kernel = dice.integer(1, min(4, (size - 1) // dilation + 1))
    pads = [dice.integer(0, min(2, kernel - 1)) for _ in range(2)]
    return kernel, dice.pick([1, 1, 2, 3]), dilation, pads


def window(dice, shape, dilated=True):
    """Kernel, attributes and output size of a 2D window."""
    axes = [axis(dice, n) for n in shape]
    attrs = {"strides": [a[1] for a in axes], "pads": [a[3][0] for a in axes] + [a[3][1] for a in axes]}
    if dilated:
        attrs["dilations"] = [a[2] for a in axes]
    out = [
        (n + sum(p) - (k - 1) * (d if dilated else 1) - 1) // s + 1 for n, (k, s, d, p) in zip(shape, axes, strict=True)
    ]
    return [a[0] for a in axes], attrs, out


def conv(dice, c: Chain):
    channels = c.shape[0]
    kernel, attrs, out = window(dice, c.shape[1:])
    groups = dice.pick([1] * 5 + [g for g in range(2, channels + 1) if channels % g == 0])
    m = groups * dice.integer(1, max(1, 7 // groups))
    weight = c.uniform(m, channels // groups, *kernel)
    if dice.integer(0, 3) == 0:
        weight[c.rng.integers(m)] *= np.float32(dice.pick([0.0, 1e-30, 1e-4]))
    ins = [c.constant(weight)]
    if dice.flag():
        ins.append(c.constant(c.uniform(m)))
    c.add("Conv", ins, (m, *out), **attrs, **({"group": groups} if groups > 1 else {}))


def pool(dice, c: Chain):
    kernel, attrs, out = window(dice, c.shape[1:], dilated=c.opset >= 10 and dice.integer(0, 5) == 0)
    c.add("MaxPool", [], (c.shape[0], *out), kernel_shape=kernel, **attrs)


def normalize(dice, c: Chain):
    n = c.shape[0]
    constants = [c.uniform(n, scale=2), c.uniform(n), c.uniform(n), np.abs(c.uniform(n)) + np.float32(0.3)]
    c.add("BatchNormalization", [c.constant(a) for a in constants], c.shape)


def relu(dice, c: Chain):
    c.add("Relu", [], c.shape)


def clip(dice, c: Chain):
    lo, hi = dice.pick([-2.0, -0.5, 0.0]), dice.pick([0.25, 1.0, 6.0])
    if c.opset < 11:
        c.add("Clip", [], c.shape, min=lo, max=hi)
    else:
        lo, hi = c.constant(np.float32(lo)), c.constant(np.float32(hi))
        c.add("Clip", dice.pick([[lo, hi], [lo], ["", hi]]), c.shape)


def bias(dice, c: Chain):
    value = c.uniform(c.shape[0], 1, 1) if len(c.shape) == 3 else c.uniform(c.shape[-1])
    c.add("Add", [c.constant(value)], c.shape)


def nothing(dice, c: Chain):
    c.add(dice.pick(["Identity", "Dropout"]), [], c.shape)


def dense(dice, c: Chain):
    k, m = c.shape[-1], dice.integer(1, 11)
    weight = c.uniform(k, m)
    if dice.flag():
        attrs = ({"transB": 1} if dice.flag() else {}) | dice.pick([{}, {}, {"alpha": -0.5}, {"beta": 2.0}])
        ins = [c.constant(weight.T.copy() if "transB" in attrs else weight)]
        ins += [c.constant(c.uniform(m))] if dice.flag() or c.opset < 11 else []
        c.add("Gemm", ins, (*c.shape[:-1], m), **attrs)
    else:
        c.add("MatMul", [c.constant(weight)], (*c.shape[:-1], m))
        if dice.flag():
            bias(dice, c)


def flatten(dice, c: Chain):
    n = int(np.prod(c.shape))
    if dice.flag():
        c.add("Flatten", [], (n,))
    else:
        c.add("Reshape", [c.constant(np.array(dice.pick([[-1, n], [0, n], [0, -1]])))], (n,))


MAP_STEPS = [conv, conv, conv, conv, pool, pool, normalize, relu, clip, bias, nothing]
ROW_STEPS = [dense, dense, dense, relu, clip, normalize, bias, nothing]


def build(dice) -> Chain:
    """One to eight operators on a map [C, H, W] or a row [K]; batch 1 or symbolic; perhaps ArgMax, a second output."""
    rng = np.random.default_rng(dice.integer(0, 2**32 - 1))
    is_map = dice.integer(0, 3) > 0
    shape = tuple(dice.integer(1, n) for n in (6, 11, 11)) if is_map else (dice.integer(1, 40),)
    budget = dice.integer(8, 300) if dice.flag() else None
    c = Chain(rng, dice.pick(OPSETS), dice.pick([1, "N"]), shape, dice.pick(INTERVALS), budget)
    if is_map:
        for _ in range(dice.integer(1, 4)):
            dice.pick(MAP_STEPS)(dice, c)
        if dice.flag():
            flatten(dice, c)
    if len(c.shape) == 1:
        for _ in range(dice.integer(0 if c.nodes else 1, 3)):
            dice.pick(ROW_STEPS)(dice, c)
        if dice.integer(0, 3) == 0:
            c.add("ArgMax", [], (1,), axis=1, **({} if dice.flag() else {"keepdims": 0}))
            c.index = True
    if len(c.nodes) > 2 and dice.integer(0, 9) == 0:
        c.extra.append(c.nodes[0][2][0])
    return c


@st.composite
def chains(draw) -> Chain:
    return build(Drawn(draw))


def chain(seed: int) -> Chain:
    return build(Seeded(seed))
