"""Random small float networks with branches and joins: residual sums, concatenations, splits, shuffles, averages.

`nets()` is a hypothesis strategy; `net(seed)` draws the same kind of network from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tests.models import model
from tests.strategies import (
    INTERVALS,
    MAP_STEPS,
    OPSETS,
    ROW_STEPS,
    Chain,
    Drawn,
    Seeded,
    conv,
    dense,
    flatten,
    relu,
    window,
)  # fmt: skip


@dataclass(repr=False)
class Net(Chain):
    """`tensors`: shape of a sample of every tensor so far; a step reads `last` and perhaps others of them."""

    inputs: dict = field(default_factory=dict)
    tensors: dict = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        self.inputs = {"x": self.input}
        self.tensors = {"x": self.shape}

    def at(self, name: str) -> Net:
        self.last, self.shape = name, self.tensors[name]
        return self

    def add(self, op, ins, shape, **attrs):
        super().add(op, ins, shape, **attrs)
        self.tensors[self.last] = self.shape

    def join(self, op, names, shape, **attrs):
        """A node on these tensors."""
        self.at(names[0]).add(op, list(names[1:]), shape, **attrs)

    def parts(self, op, ins, shapes, **attrs):
        """A node of several outputs on `last`; the last of them is `last` then."""
        outs = [f"t{len(self.nodes)}_{i}" for i in range(len(shapes))]
        self.nodes.append((op, [self.last, *ins], outs, attrs))
        self.tensors |= dict(zip(outs, map(tuple, shapes), strict=True))
        self.at(outs[-1])

    def alike(self, fits) -> list[str]:
        return [n for n, shape in self.tensors.items() if fits(shape)]

    @property
    def proto(self):
        read = {name for _, ins, _, _ in self.nodes for name in ins}
        ends = [n for n in self.tensors if n not in read and n not in self.inputs and n != self.last]
        outputs = [self.last, *ends[: self.rng.integers(len(ends) + 1)], *self.extra]
        types = {self.last: "int64"} if self.index else {}
        return model(
            self.nodes, self.inputs, self.constants, list(dict.fromkeys(outputs)), opset=self.opset, types=types
        )

    def __repr__(self):
        steps = [f"{outs[0]} = {op}({', '.join(ins)}){attrs or ''}" for op, ins, outs, attrs in self.nodes]
        return "; ".join([f"{self.inputs} in {self.interval}", *steps, f"budget {self.budget}"])


def residual(dice, c: Net):
    """A sum with any tensor of the same shape, itself too; a convolution makes one where there is none."""
    name, shape = c.last, c.shape
    others = c.alike(lambda s: s == shape)
    if len(others) == 1 and dice.flag():
        branch = dice.pick([conv, relu] if len(shape) == 3 else [dense, relu])
        branch(dice, c)
        if c.shape != shape and len(shape) == 3:
            c.at(name).add("Conv", [c.constant(c.uniform(shape[0], shape[0], 1, 1))], shape)
        others = [c.last if c.shape == shape else name]
    c.join("Add", [name, dice.pick(others)], shape)
    if dice.flag():
        relu(dice, c)


FUNCTIONS = ["Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Elu", "Softplus", "Abs", "Neg", "Exp", "Erf", "Floor"]


def function(dice, c: Net):
    """A function of single elements, or a product with one as exporters write HardSwish and SiLU."""
    if dice.flag():
        op = dice.pick(FUNCTIONS if c.opset >= 9 else FUNCTIONS[:-2])
        if op == "Exp":  # of an exponential it would be infinite
            c.add("Tanh", [], c.shape)
        c.add(op, [], c.shape)
        return
    x, shape = c.last, c.shape
    c.add(dice.pick(["HardSigmoid", "Sigmoid"]), [], shape)
    c.join("Mul", [c.last, x] if dice.flag() else [x, c.last], shape)


def product(dice, c: Net):
    """A product or difference of two tensors of one shape, one of them limited, so that values do not explode."""
    name, shape = c.last, c.shape
    other = dice.pick(c.alike(lambda s: s == shape))
    c.at(other).add("Tanh", [], shape)
    c.join(dice.pick(["Mul", "Mul", "Sub"]), [c.last, name] if dice.flag() else [name, c.last], shape)
    if dice.flag():
        relu(dice, c)


def excite(dice, c: Net):
    """Squeeze-excite: averages of the channels, two small layers, a gate on every pixel."""
    name, shape = c.last, c.shape
    c.add("GlobalAveragePool", [], (shape[0], 1, 1))
    hidden = dice.integer(1, 4)
    c.add("Conv", [c.constant(c.uniform(hidden, shape[0], 1, 1))], (hidden, 1, 1))
    relu(dice, c)
    c.add("Conv", [c.constant(c.uniform(shape[0], hidden, 1, 1))], (shape[0], 1, 1))
    c.add(dice.pick(["HardSigmoid", "Sigmoid"]), [], c.shape)
    c.join("Mul", [name, c.last] if dice.flag() else [c.last, name], shape)


def concat(dice, c: Net):
    """Channels of two or three tensors of one size, or elements of rows."""
    shape = c.shape
    others = c.alike(lambda s: len(s) == len(shape) and s[1:] == shape[1:])
    names = [c.last, *(dice.pick(others) for _ in range(dice.integer(1, 2)))]
    channels = sum(c.tensors[n][0] for n in names)
    if channels <= 24:
        c.join("Concat", names, (channels, *shape[1:]), axis=dice.pick([1, -len(shape)]))


def split(dice, c: Net):
    channels = c.shape[0]
    if channels < 2:
        relu(dice, c)
        return
    cut = dice.integer(1, channels - 1)
    if dice.flag() and c.opset >= 10:
        start, stop = dice.pick([(0, cut), (cut, channels), (cut - 1, channels)])
        ins = [c.constant(np.array([v])) for v in (start, stop, 1)]
        c.add("Slice", ins, (stop - start, *c.shape[1:]))
        return
    sizes = [cut, channels - cut]
    shapes = [(n, *c.shape[1:]) for n in sizes]
    given = {"split": sizes} if c.opset < 13 else {}
    c.parts("Split", [] if given else [c.constant(np.array(sizes))], shapes, axis=1, **given)


def shuffle(dice, c: Net):
    channels, rows, cols = c.shape
    groups = dice.pick([g for g in range(1, channels + 1) if channels % g == 0])
    c.add("Reshape", [c.constant(np.array([-1, groups, channels // groups, rows, cols]))], c.shape)
    c.tensors.pop(c.last)
    c.add("Transpose", [], c.shape, perm=[0, 2, 1, 3, 4])
    c.tensors.pop(c.last)
    c.add("Reshape", [c.constant(np.array([-1, channels, rows, cols]))], (channels, rows, cols))


def average(dice, c: Net):
    if dice.flag():
        c.add(dice.pick(["GlobalAveragePool"]), [], (c.shape[0], 1, 1))
        return
    kernel, attrs, out = window(dice, c.shape[1:], dilated=c.opset >= 19)
    c.add("AveragePool", [], (c.shape[0], *out), kernel_shape=kernel, count_include_pad=dice.integer(0, 1), **attrs)


def mean(dice, c: Net):
    """ReduceMean over height and width, as exporters write it, to a row."""
    axes = {"axes": [2, 3]} if c.opset < 18 else {}
    c.add("ReduceMean", [] if axes else [c.constant(np.array([2, 3]))], (c.shape[0],), keepdims=0, **axes)


def pad(dice, c: Net):
    top, left, bottom, right = (dice.integer(0, 2) for _ in range(4))
    shape = (c.shape[0], c.shape[1] + top + bottom, c.shape[2] + left + right)
    pads = [0, 0, top, left, 0, 0, bottom, right]
    if c.opset < 11:
        c.add("Pad", [], shape, pads=pads)
    else:
        c.add("Pad", [c.constant(np.array(pads))], shape)


def channels_last(dice, c: Net):
    """Transposes around an elementwise operator, as wrappers of channels-last networks write them."""
    channels, rows, cols = c.shape
    c.add("Transpose", [], (rows, cols, channels), perm=[0, 2, 3, 1])
    c.tensors.pop(c.last)
    if dice.flag():
        c.add("Relu", [], c.shape)
        c.tensors.pop(c.last)
    c.add("Transpose", [], (channels, rows, cols), perm=[0, 3, 1, 2])


def depthwise(dice, c: Net):
    channels = c.shape[0]
    kernel, attrs, out = window(dice, c.shape[1:])
    m = channels * dice.pick([1, 1, 1, 2])
    c.add("Conv", [c.constant(c.uniform(m, 1, *kernel))], (m, *out), group=channels, **attrs)


MAPS = [
    *MAP_STEPS,
    residual,
    residual,
    residual,
    concat,
    concat,
    split,
    shuffle,
    average,
    pad,
    channels_last,
    depthwise,
]
MAPS += [function, function, product, excite]
ROWS = [*ROW_STEPS, residual, residual, concat, split, function, product]


def build(dice) -> Net:
    """Three to twelve steps that read the last tensor, or (one time in three) an earlier one."""
    rng = np.random.default_rng(dice.integer(0, 2**32 - 1))
    shape = tuple(dice.integer(1, n) for n in (8, 10, 10))
    budget = dice.integer(30, 400) if dice.flag() else None
    c = Net(rng, dice.pick(OPSETS), dice.pick([1, "N"]), shape, dice.pick(INTERVALS), budget)
    if dice.integer(0, 4) == 0:
        c.inputs["z"], c.tensors["z"] = c.input, c.shape
    for _ in range(dice.integer(3, 12)):
        if dice.integer(0, 2) == 0:
            c.at(dice.pick(list(c.tensors)))
        dice.pick(MAPS if len(c.shape) == 3 else ROWS)(dice, c)
        if len(c.shape) == 3 and dice.integer(0, 11) == 0:
            dice.pick([flatten, mean])(dice, c)
    if not c.nodes or c.last in c.inputs:
        relu(dice, c)
    if len(c.shape) == 1 and dice.integer(0, 5) == 0:
        c.add("ArgMax", [], (1,), axis=1)
        c.index = True
    elif len(c.tensors) > 4 and dice.integer(0, 4) == 0:
        c.extra.append(dice.pick([n for n in c.tensors if n not in c.inputs]))
    return c


@st.composite
def nets(draw) -> Net:
    return build(Drawn(draw))


def net(seed: int) -> Net:
    return build(Seeded(seed))
