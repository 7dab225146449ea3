"""The Program as an ONNX model on integer values, where QuantizeLinear and DequantizeLinear can't state it: tensors of few or
of more than 16 bits, thresholds. onnxruntime runs it; its outputs are those of the Program, to the bit.

Sums of products are float32 products of digits that are small enough to be exact, all else is int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp import __version__
from hwcomp.errors import UnsupportedError
from hwcomp.ops._steps import Ratio
from hwcomp.pixels import Pixels
from sw_ref.program import Edge, Kernel, Program

if TYPE_CHECKING:
    from hwcomp.graph import Graph

_OPSET, _IR = 17, 8
_EXACT = 24  # bits of integers that float32 holds


def needed(graph: Graph) -> bool:
    """Whether a graph has dot products of few bits or quantizers of its own, which QDQ can't hold."""
    return any(not isinstance(s, Ratio) for n in graph.nodes for s in getattr(n.attrs, "steps", ()))


def export(program: Program, name: str, batched: bool, pixels: Mapping[str, Pixels] = MappingProxyType({})) -> bytes:
    """The model as bytes, always the same for the same Program. `pixels`: inputs that hold raw pixels.

    UnsupportedError for a kernel that has no such form.
    """
    from onnx import TensorProto, helper

    w = _Writer()
    values = {n: w.quantized(program.edges[n], n, batched, pixels.get(n)) for n in program.inputs}
    for k in program.kernels:
        if k.kind not in _KINDS:
            raise UnsupportedError(
                f"model.qdq.onnx can't hold a {k.kind} kernel beside layers of few bits", node=", ".join(k.origin) or k.name,
                why="it holds the integers of such a network, and this kernel has no form on integers in ONNX",
                fix="give all layers 8 bits or more: --quant int8, dfp8 or int16",
            )  # fmt: skip
        values[k.outputs[0]] = _KINDS[k.kind](w, program, k, *(values[n] for n in k.inputs))
    index = {k.outputs[0] for k in program.kernels if k.kind == "argmax"}
    for n in program.outputs:
        value = values[n] if batched else w.emit("Squeeze", values[n], np.array([0], np.int64))
        w.emit("Identity", value, output=n) if n in index else w.real(program.edges[n], value)

    def info(tensor: str):
        kind = TensorProto.INT64 if tensor in index else TensorProto.FLOAT
        return helper.make_tensor_value_info(tensor, kind, [*["batch"] * batched, *program.edges[tensor].shape])

    graph = helper.make_graph(
        w.nodes, name, [info(n) for n in program.inputs], [info(n) for n in program.outputs], w.constants
    )
    model = helper.make_model(
        graph, ir_version=_IR, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="hwcomp",
        producer_version=__version__,
    )  # fmt: skip
    helper.set_model_props(model, {"program_sha256": program.sha256(), "values": "integers"})
    return model.SerializeToString(deterministic=True)


class _Writer:
    """Nodes and constants; every value between inputs and outputs is int64 [batch, *shape]."""

    def __init__(self):
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def emit(self, op: str, *inputs: str | np.ndarray, output: str = "", **attributes: Any) -> str:
        from onnx import helper, numpy_helper

        names = []
        for value in inputs:
            if not isinstance(value, str):
                names.append(f"c{len(self.constants)}__constant")
                self.constants.append(numpy_helper.from_array(np.asarray(value), names[-1]))
            else:
                names.append(value)
        output = output or f"v{len(self.nodes)}__{op}"
        self.nodes.append(helper.make_node(op, names, [output], name=f"{len(self.nodes)}_{op}", **attributes))
        return output

    def cast(self, x: str, real: bool) -> str:
        from onnx import TensorProto

        return self.emit("Cast", x, to=TensorProto.FLOAT if real else TensorProto.INT64)

    def quantized(self, edge: Edge, x: str, batched: bool, pixels: Pixels | None) -> str:
        if pixels is not None and not pixels.is_affine:
            mean, std = (np.asarray(v, np.float32) for v in pixels.affine(edge.shape))
            x = self.emit("Add", self.emit("Mul", x, std), mean - np.float32(edge.zero))
        x = x if batched else self.emit("Unsqueeze", x, np.array([0], np.int64))
        if edge.bipolar:
            high = self.emit("GreaterOrEqual", x, np.float32(0))
            return self.emit("Where", high, np.int64(1), np.int64(-1))
        rounded = self.cast(self.emit("Round", self.emit("Div", x, edge.scale)), real=False)
        return self.clip(self.emit("Add", rounded, np.int64(edge.zero)), edge.lo, edge.hi)

    def real(self, edge: Edge, x: str) -> str:
        centred = self.cast(self.emit("Sub", x, np.int64(edge.zero)), real=True)
        return self.emit("Mul", centred, edge.scale, output=edge.name)

    def clip(self, x: str, lo: int, hi: int) -> str:
        return self.emit("Clip", x, np.int64(lo), np.int64(hi))

    def shifted(self, x: str, s: int) -> str:
        """x >> s, towards minus infinity: Mod gives what lies above the multiple of 2^s below."""
        if s == 0:
            return x
        power = np.int64(1 << s)
        return self.emit("Div", self.emit("Sub", x, self.emit("Mod", x, power)), power)

    def requantized(self, kernel: Kernel, acc: str, channels_first: int, multiplier: np.ndarray | None = None) -> str:
        """The record applied; constants per channel get `channels_first` axes behind them. `multiplier`: instead of its own."""
        rq, c = kernel.params["requantize"], kernel.constants

        def along(values: np.ndarray) -> np.ndarray:
            return values.astype(np.int64).reshape(-1, *[1] * channels_first)

        if rq["form"] == "threshold":
            total = None
            for t in c["threshold"].T:
                reached = self.cast(self.emit("GreaterOrEqual", acc, along(t)), real=False)
                total = reached if total is None else self.emit("Add", total, reached)
            down, n = c["descending"], c["threshold"].shape[1]
            signed = self.emit("Mul", total, along(rq["step"] * (1 - 2 * down.astype(np.int64))))
            return self.emit("Add", signed, along(rq["lo"] + rq["step"] * n * down.astype(np.int64)))
        product = self.emit("Mul", acc, along(c["multiplier"]) if multiplier is None else multiplier)
        if rq["form"] == "affine":
            y = self.shifted(self.emit("Add", product, along(c["offset"])), rq["shift"])
        else:
            y = self.emit("Add", self.nearest_even(product, rq["shift"]), np.int64(rq["zero"]))
        return self.clip(y, rq["lo"], rq["hi"])

    def nearest_even(self, product: str, s: int) -> str:
        if s == 0:
            return product
        odd = self.emit("Mod", self.shifted(product, s), np.int64(2))
        half = self.emit("Add", product, np.int64((1 << (s - 1)) - 1))
        return self.shifted(self.emit("Add", half, odd), s)

    def products(self, make: Callable[[str, np.ndarray], str], x: str, edge: Edge, weight: np.ndarray, pad: int) -> str:
        """Sum of products as int64: `make(x, w)` of float32 digits of both, each sum of which is exact."""
        most = max(abs(edge.lo), abs(edge.hi), abs(pad), 1)
        count = max(int(np.prod(weight.shape[1:])), 1).bit_length()
        room = _EXACT - count
        wide = most.bit_length() + int(np.abs(weight).max(initial=1)).bit_length()
        if wide <= room:
            return self.cast(make(self.cast(x, real=True), weight.astype(np.float32)), real=False)
        base, total = np.int64(1 << (room // 2)), None
        digits, rest = [], x
        for _ in range(most.bit_length() // (room // 2)):
            digits.append(self.emit("Mod", rest, base))
            rest = self.emit("Div", self.emit("Sub", rest, digits[-1]), base)
        digits.append(rest)  # the highest digit carries the sign
        w, place = weight.astype(np.int64), 0
        while place == 0 or w.any():
            low = np.where(np.abs(w) < base, w, w % base)
            for i, part in enumerate(digits):
                piece = self.cast(make(self.cast(part, real=True), low.astype(np.float32)), real=False)
                piece = self.emit("Mul", piece, np.int64(base ** (i + place)))
                total = piece if total is None else self.emit("Add", total, piece)
            w, place = (w - low) // base, place + 1
        return total


def _conv2d(w: _Writer, program: Program, k: Kernel, x: str, multiplier: np.ndarray | None = None) -> str:
    """`multiplier`: one per output place in place of the record's."""
    p, edge = k.params, program.edges[k.inputs[0]]
    top, left, bottom, right = p["pads"]
    if any(p["pads"]):
        widths = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        x = w.emit("Pad", x, widths, np.int64(p["pad_value"]))

    def make(x: str, weight: np.ndarray) -> str:
        return w.emit(
            "Conv",
            x,
            weight,
            strides=p["strides"],
            dilations=p["dilations"],
            group=p["groups"],
            kernel_shape=p["kernel"],
        )

    acc = w.products(make, x, edge, k.constants["weight"], p["pad_value"])
    acc = w.emit("Add", acc, k.constants["bias"].astype(np.int64).reshape(-1, 1, 1))
    return w.requantized(k, acc, 2, multiplier)


def _dense(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    def make(x: str, weight: np.ndarray) -> str:
        return w.emit("MatMul", x, np.ascontiguousarray(weight.T))

    acc = w.products(make, x, program.edges[k.inputs[0]], k.constants["weight"], 0)
    return w.requantized(k, w.emit("Add", acc, k.constants["bias"].astype(np.int64)), 0)


def _maxpool2d(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    p = k.params
    top, left, bottom, right = p["pads"]
    if any(p["pads"]):
        widths = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        x = w.emit("Pad", x, widths, np.int64(p["pad_value"]))
    real = w.emit(
        "MaxPool", w.cast(x, real=True), kernel_shape=p["kernel"], strides=p["strides"], dilations=p["dilations"]
    )
    return w.cast(real, real=False)


def _requantize(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.requantized(k, x, max(len(program.edges[k.inputs[0]].shape) - 1, 0))


def _reshape(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.emit("Reshape", x, np.array([0, *k.params["shape"]], np.int64))


def _transpose(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.emit("Transpose", x, perm=[0, *(1 + a for a in k.params["perm"])])


def _reorder(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return x


def _argmax(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.emit("ArgMax", x, axis=1 + k.params["axis"], keepdims=int(k.params["keepdims"]))


def _concat(w: _Writer, program: Program, k: Kernel, *xs: str) -> str:
    return w.emit("Concat", *xs, axis=1 + k.params["axis"])


def _slice(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    p = k.params
    return w.emit("Slice", x, *(np.array([v], np.int64) for v in (p["start"], p["stop"], 1 + p["axis"])))


def _shuffle(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.emit("Gather", x, k.constants["order"].astype(np.int64), axis=1)


def _repeat(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    axis, times = k.params["axis"], k.params["times"]
    size = program.edges[k.inputs[0]].shape[axis]
    return w.emit("Gather", x, np.repeat(np.arange(size), times), axis=1 + axis)


def _pad(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    top, left, bottom, right = k.params["pads"]
    return w.emit("Pad", x, np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), np.int64(k.params["pad_value"]))


def _add(w: _Writer, program: Program, k: Kernel, a: str, b: str) -> str:
    rq, (ma, mb), offset = k.params["requantize"], k.constants["multiplier"], int(k.constants["offset"][0])
    total = w.emit("Add", w.emit("Mul", a, np.int64(ma)), w.emit("Mul", b, np.int64(mb)))
    total = w.emit("Add", total, np.int64(offset))
    if rq["form"] == "affine":
        return w.clip(w.shifted(total, rq["shift"]), rq["lo"], rq["hi"])
    return w.clip(w.emit("Add", w.nearest_even(total, rq["shift"]), np.int64(rq["zero"])), rq["lo"], rq["hi"])


def _mul(w: _Writer, program: Program, k: Kernel, a: str, b: str) -> str:
    za, zb = k.params["zeros"]
    product = w.emit("Mul", w.emit("Sub", a, np.int64(za)), w.emit("Sub", b, np.int64(zb)))
    return w.requantized(k, product, 0)


def _lut(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    return w.emit(
        "Gather", k.constants["table"].astype(np.int64), w.emit("Sub", x, np.int64(k.params["first"])), axis=0
    )


def _avgpool2d(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    p, edge, c = k.params, program.edges[k.inputs[0]], k.constants
    ones = np.ones((edge.shape[0], 1, *p["kernel"]), np.int64)
    multiplier = c["multiplier"].astype(np.int64)[c["count_class"].astype(np.int64)]
    sums = {**p, "groups": edge.shape[0]}
    bias = np.full(edge.shape[0], int(c["bias"][0]), np.int64)
    record = {n: c[n] for n in ("offset",) if n in c}
    return _conv2d(
        w, program, replace(k, params=sums, constants={"weight": ones, "bias": bias, **record}), x, multiplier
    )


def _softmax(w: _Writer, program: Program, k: Kernel, x: str) -> str:
    p, axes = k.params, [1 + a for a in k.params["axes"]]
    distance = w.emit("Sub", w.emit("ReduceMax", x, axes=axes, keepdims=1), x)
    coarse = np.append(k.constants["exp"].astype(np.int64), 0)
    last = np.int64(len(coarse) - 1)
    index = w.shifted(distance, p["split"])
    e = w.emit("Gather", coarse, w.emit("Min", index, last), axis=0)
    if p["split"]:
        low = w.emit("Mod", distance, np.int64(1 << p["split"]))
        fine = w.emit("Gather", k.constants["exp_fine"].astype(np.int64), low, axis=0)
        e = w.nearest_even(w.emit("Mul", e, fine), p["bits"])
    total = w.emit("ReduceSum", e, np.array(axes, np.int64), keepdims=1)
    scaled = w.emit("Mul", e, np.int64(1 << p["fraction"]))
    quotient, rest = w.emit("Div", scaled, total), w.emit("Mul", w.emit("Mod", scaled, total), np.int64(2))
    odd = w.emit("Mod", quotient, np.int64(2))
    up = w.cast(w.emit("Greater", w.emit("Add", rest, odd), total), real=False)  # a tie goes up from an odd number
    return w.clip(w.emit("Add", w.emit("Add", quotient, up), np.int64(p["zero"])), p["lo"], p["hi"])


_KINDS = {
    "add": _add, "argmax": _argmax, "avgpool2d": _avgpool2d, "concat": _concat, "conv2d": _conv2d, "dense": _dense,
    "lut": _lut, "maxpool2d": _maxpool2d, "mul": _mul, "pad": _pad, "reorder": _reorder,
    "repeat": _repeat, "requantize": _requantize,
    "reshape": _reshape, "shuffle": _shuffle, "slice": _slice, "softmax": _softmax, "transpose": _transpose,
}  # fmt: skip
