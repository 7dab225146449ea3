"""Random small float networks: hypothesis strategies of ONNX chains that hwcomp takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tests.models import model

INTERVALS = [(-1.0, 1.0), (0.0, 1.0), (-0.3, 2.5), (0.0, 255.0), (-4.0, -1.0)]
OPSETS = [9, 11, 13, 17, 21]


@dataclass
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

    @property
    def text(self) -> str:
        """What a failing test shows."""
        return "; ".join([f"x {list(self.input)}", *(f"{op}{attrs or ''}" for op, _, _, attrs in self.nodes), f"budget {self.budget}"])

    def __repr__(self):
        return f"<Chain {self.text}>"


def axis(draw, size, kernels=4):
    """kernel, stride, dilation, pads of one axis of `size` elements, and what comes out; pads smaller than the kernel."""
    dilation = draw(st.sampled_from([1, 1, 1, 2]))
    kernel = draw(st.integers(1, min(kernels, (size - 1) // dilation + 1)))
    reach = (kernel - 1) * dilation
    first, second = draw(st.integers(0, min(2, kernel - 1))), draw(st.integers(0, min(2, kernel - 1)))
    stride = draw(st.sampled_from([1, 1, 2, 3]))
    return kernel, stride, dilation, (first, second), (size + first + second - reach - 1) // stride + 1


def window(draw, shape, dilated=True):
    (kh, sh, dh, ph, oh), (kw, sw, dw, pw, ow) = (axis(draw, n) for n in shape)
    attrs = {"strides": [sh, sw], "pads": [ph[0], pw[0], ph[1], pw[1]]}
    if dilated:
        attrs["dilations"] = [dh, dw]
    else:
        oh, ow = ((n + sum(p) - k) // s + 1 for n, p, k, s in ((shape[0], ph, kh, sh), (shape[1], pw, kw, sw)))
    return (kh, kw), attrs, (oh, ow)


def conv(draw, c: Chain):
    channels = c.shape[0]
    kernel, attrs, out = window(draw, c.shape[1:])
    groups = draw(st.sampled_from([1, 1, 1, 1, *(g for g in range(2, channels + 1) if channels % g == 0)]))
    m = groups * draw(st.integers(1, max(1, 7 // groups)))
    weight = c.uniform(m, channels // groups, *kernel)
    if draw(st.integers(0, 3)) == 0:
        weight[c.rng.integers(m)] *= np.float32(draw(st.sampled_from([0.0, 1e-30, 1e-4])))
    ins = [c.constant(weight)]
    if draw(st.booleans()):
        ins.append(c.constant(c.uniform(m)))
    c.add("Conv", ins, (m, *out), **attrs, **({"group": groups} if groups > 1 else {}))


def pool(draw, c: Chain):
    kernel, attrs, out = window(draw, c.shape[1:], dilated=c.opset >= 10 and draw(st.integers(0, 3)) == 0)
    c.add("MaxPool", [], (c.shape[0], *out), kernel_shape=list(kernel), **attrs)


def normalize(draw, c: Chain):
    n = c.shape[0]
    constants = [c.uniform(n, scale=2), c.uniform(n), c.uniform(n), np.abs(c.uniform(n)) + np.float32(0.3)]
    c.add("BatchNormalization", [c.constant(a) for a in constants], c.shape)


def relu(draw, c: Chain):
    c.add("Relu", [], c.shape)


def clip(draw, c: Chain):
    lo, hi = sorted(draw(st.tuples(st.sampled_from([-2.0, -0.5, 0.0]), st.sampled_from([0.25, 1.0, 6.0]))))
    if c.opset < 11:
        c.add("Clip", [], c.shape, min=lo, max=hi)
    else:
        ends = [c.constant(np.float32(lo)), c.constant(np.float32(hi))]
        c.add("Clip", draw(st.sampled_from([ends, [ends[0]], ["", ends[1]]])), c.shape)


def bias(draw, c: Chain):
    n = c.shape[0] if len(c.shape) == 3 else c.shape[-1]
    c.add("Add", [c.constant(c.uniform(n, 1, 1) if len(c.shape) == 3 else c.uniform(n))], c.shape)


def nothing(draw, c: Chain):
    c.add(draw(st.sampled_from(["Identity", "Dropout"])), [], c.shape)


def dense(draw, c: Chain):
    k, m = c.shape[-1], draw(st.integers(1, 11))
    weight = c.uniform(k, m)
    kind = draw(st.sampled_from(["Gemm", "Gemm", "MatMul", "MatMul+Add"]))
    if kind == "Gemm":
        attrs = {"transB": 1} if draw(st.booleans()) else {}
        attrs |= draw(st.sampled_from([{}, {}, {"alpha": -0.5}, {"beta": 2.0}]))
        ins = [c.constant(weight.T.copy() if attrs.get("transB") else weight)]
        ins += [c.constant(c.uniform(m))] if draw(st.booleans()) or c.opset < 11 else []
        c.add("Gemm", ins, (*c.shape[:-1], m), **attrs)
    else:
        c.add("MatMul", [c.constant(weight)], (*c.shape[:-1], m))
        if kind == "MatMul+Add":
            bias(draw, c)


def flatten(draw, c: Chain):
    n = int(np.prod(c.shape))
    kind = draw(st.sampled_from(["Flatten", "Reshape", "Reshape"]))
    if kind == "Flatten":
        c.add("Flatten", [], (n,))
    else:
        c.add("Reshape", [c.constant(np.array(draw(st.sampled_from([[-1, n], [0, n], [0, -1]]))))], (n,))


MAP_STEPS = [conv, conv, conv, conv, pool, pool, normalize, relu, clip, bias, nothing]
ROW_STEPS = [dense, dense, dense, relu, clip, normalize, bias, nothing]


@st.composite
def chains(draw, most_steps=6) -> Chain:
    """One to `most_steps` operators (fused ones not counted), on a map [C, H, W] or a row [K], batch 1 or symbolic."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    is_map = draw(st.integers(0, 3)) > 0
    shape = tuple(draw(st.integers(1, n)) for n in (6, 11, 11)) if is_map else (draw(st.integers(1, 40)),)
    budget = draw(st.one_of(st.none(), st.integers(8, 300)))
    c = Chain(rng, draw(st.sampled_from(OPSETS)), draw(st.sampled_from([1, "N"])), shape, draw(st.sampled_from(INTERVALS)), budget)
    if is_map:
        for _ in range(draw(st.integers(1, max(1, most_steps - 2)))):
            draw(st.sampled_from(MAP_STEPS))(draw, c)
        if draw(st.booleans()):
            flatten(draw, c)
    if len(c.shape) == 1:
        for _ in range(draw(st.integers(0 if c.nodes else 1, 3))):
            draw(st.sampled_from(ROW_STEPS))(draw, c)
        if draw(st.integers(0, 3)) == 0:
            c.add("ArgMax", [], (1,), axis=1, **({} if draw(st.booleans()) else {"keepdims": 0}))
            c.index = True
    if len(c.nodes) > 2 and draw(st.integers(0, 7)) == 0:
        c.extra.append(c.nodes[0][2][0])
    return c
