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


def resize(dice, c: Net):
    """Nearest neighbours: finer, coarser, by a ratio."""
    channels, rows, cols = c.shape
    if c.opset < 10 or channels * rows * cols > 400:
        return relu(dice, c)
    by = [dice.pick([1.0, 2.0, 3.0, 1.5, 0.5]) for _ in range(2)]
    size = tuple(int(n * s) for n, s in zip((rows, cols), by, strict=True))
    if min(size) < 1:
        return relu(dice, c)
    scales = c.constant(np.float32([1, 1, *by]))
    if c.opset == 10:
        return c.add("Resize", [scales], (channels, *size))
    roi = "" if c.opset > 12 else c.constant(np.zeros(0, np.float32))
    rule = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return c.add("Resize", [roi, scales], (channels, *size), **rule)


def transposed(dice, c: Net):
    """A transposed convolution, grouped now and then."""
    channels, *plane = c.shape
    kernel, strides = ([dice.integer(1, 4) for _ in range(2)], [dice.integer(1, 3) for _ in range(2)])
    pads = [dice.integer(0, (k - 1) // 2) for k in kernel]
    more = [dice.integer(0, s - 1) for s in strides]
    size = tuple(s * (n - 1) + k + o - 2 * p for n, k, s, o, p in zip(plane, kernel, strides, more, pads, strict=True))
    if np.prod(size) * channels > 2500 or min(size) < 1:
        return relu(dice, c)
    groups = dice.pick([1, 1, *(g for g in range(1, channels + 1) if channels % g == 0)])
    each = dice.integer(1, 4) if groups == 1 else 1
    weight = c.constant(c.uniform(channels, each, *kernel))
    where = {"strides": strides, "pads": [*pads, *pads], "output_padding": more, "group": groups}
    return c.add("ConvTranspose", [weight], (each * groups, *size), **where)


def blocks(dice, c: Net):
    """Blocks of pixels to channels, or back."""
    channels, rows, cols = c.shape
    if channels % 4 == 0 and dice.flag():
        mode = {"mode": dice.pick(["DCR", "CRD"])} if c.opset >= 11 else {}
        return c.add("DepthToSpace", [], (channels // 4, rows * 2, cols * 2), blocksize=2, **mode)
    if rows % 2 == cols % 2 == 0 and channels <= 6:
        return c.add("SpaceToDepth", [], (channels * 4, rows // 2, cols // 2), blocksize=2)
    return relu(dice, c)


def stride(dice, c: Net):
    """Every second or third element, forwards or (short ones) backwards."""
    if c.opset < 10:
        return relu(dice, c)
    axis = dice.integer(0, len(c.shape) - 1)
    step = dice.pick([2, 3, -1, -2])
    begin, end = (dice.integer(0, c.shape[axis] - 1), 2**31 - 1) if step > 0 else (2**31 - 1, -(2**31))
    size = len(range(*slice(begin if step > 0 else None, None, step).indices(c.shape[axis])))
    ins = [c.constant(np.array([v])) for v in (begin, end, axis + 1, step)]
    return c.add("Slice", ins, (*c.shape[:axis], size, *c.shape[axis + 1 :]))


def spread(dice, c: Net):
    """A sum or product with means along an axis, which broadcast, limited so that values do not explode."""
    name, shape, axis = c.last, c.shape, dice.integer(0, len(c.shape) - 1)
    axes = {"axes": [axis + 1]} if c.opset < 18 else {}
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    c.add(
        dice.pick(["ReduceMean", "ReduceMax", "ReduceMin"]),
        [] if axes else [c.constant(np.array([axis + 1]))],
        kept,
        **axes,
    )
    c.add("Tanh", [], kept)
    c.join(dice.pick(["Add", "Sub", "Mul"]), [name, c.last] if dice.flag() else [c.last, name], shape)


def extreme(dice, c: Net):
    """The larger or smaller of tensors of one shape, or of one and a constant."""
    op, shape = dice.pick(["Max", "Min"]), c.shape
    others = c.alike(lambda s: s == shape)
    if len(others) == 1 or c.opset < 8 or dice.flag():
        rank = len(shape)
        return c.add(op, [c.constant(c.uniform(shape[0], *[1] * (rank - 1)))], shape)
    return c.join(op, [c.last, dice.pick(others)], shape)


def slopes(dice, c: Net):
    """PRelu with a slope per channel, or a constant for every element."""
    if dice.flag():
        return c.add("PRelu", [c.constant(c.uniform(c.shape[0], *[1] * (len(c.shape) - 1)))], c.shape)
    return c.add(dice.pick(["Add", "Mul", "Sub"]), [c.constant(c.uniform(*c.shape))], c.shape)


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
MAPS += [function, function, product, excite, resize, transposed, blocks, stride, spread, extreme, slopes]
ROWS = [*ROW_STEPS, residual, residual, concat, split, function, product, stride, spread, extreme, slopes]


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
