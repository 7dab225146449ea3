"""`model.qdq.onnx`: what was compiled, as QuantizeLinear/DequantizeLinear around float operators; onnxruntime runs it.

Every tensor of the Program is an integer value under its own name; inputs and outputs are real and keep the model's
names, so their integers are called `<name>__quantized`. Every operator reads DequantizeLinear nodes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp import __version__
from hwcomp.errors import UnsupportedError, shown
from hwcomp.export import integers
from hwcomp.export.operands import compiled_scales, dot_operands
from hwcomp.graph import Graph, origin_of
from hwcomp.lower.requant import PRODUCT_BITS
from hwcomp.pixels import Pixels
from hwcomp.registry import OPS
from hwcomp.types import Node
from sw_ref.program import Program, type_range

if TYPE_CHECKING:
    import onnx

# (opset, IR version): the first with a scale per channel, and the first with 16-bit integers.
_BYTES, _WORDS = (13, 7), (21, 10)
_IR_VERSIONS = {17: 8}  # of opsets that operators need
_INT32 = np.iinfo(np.int32)


def export(
    graph: Graph, program: Program, name: str, profile: int = 31, pixels: Mapping[str, Pixels] = MappingProxyType({})
) -> bytes:
    """The model as bytes, always the same for the same Program: `graph` and `profile` are what became `program`.

    `pixels`: inputs that hold raw pixels; the model reads the reals that they stand for. What QDQ can't hold becomes a model
    on integer values (integers.py).

    UnsupportedError where a tensor has a type that a model of this opset can't hold.
    """
    if integers.needed(graph):
        return integers.export(program, name, graph.batched, pixels)
    writer = Writer(graph, program, profile)
    for tensor in graph.inputs:
        writer.input(tensor, pixels.get(tensor))
    for node in graph.nodes:
        writer.operator(node)
    for tensor in graph.outputs:
        writer.output(tensor)
    return writer.model(name).SerializeToString(deterministic=True)


class Writer:
    """The ONNX graph under construction. Operators call `data`, `emit`, `weights` and `clamp` in their `export`."""

    def __init__(self, graph: Graph, program: Program, profile: int):
        self.graph, self.program, self._profile = graph, program, profile
        self._kernels = {k.outputs[0]: k for k in program.kernels}
        self._taken = {t.name for t in graph.tensors.values() if not t.is_constant}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._integers: dict[str, str] = {}  # tensor -> value that holds its integers
        self._types: dict[str, tuple[str, str]] = {}  # tensor -> names of its scale and its zero point
        self._node: Node | None = None
        self._opset = _BYTES[0]

    # --- for the operators -------------------------------------------------------------------------------------------

    def data(self, index: int = 0) -> str:
        """The real value of input `index` of the operator (an index, as ArgMax makes it, as it is)."""
        tensor = self._node.inputs[index]
        if self._is_index(tensor):
            return self._integers[tensor]
        return self._emit("DequantizeLinear", [self._integers[tensor], *self._type(tensor)])

    def retyped(self) -> str:
        """The integers of the input, dequantized with the type of the output."""
        tensor = self._node.inputs[0]
        return self._emit("DequantizeLinear", [self._integers[tensor], *self._type(self._node.outputs[0])])

    def emit(self, op: str, *inputs: str | np.ndarray | None, **attributes: Any) -> str:
        """A node of one output (number `output_index`), whose name is returned. An array becomes a constant, None is an
        absent input.
        """
        stem = self._node.outputs[0]
        names = [
            i if isinstance(i, str) else "" if i is None else self.constant(f"{stem}__{op}_{n}", i)
            for n, i in enumerate(inputs)
        ]
        while names and not names[-1]:
            names.pop()
        return self._emit(op, names, **attributes)

    def weights(self, *, transposed: bool = False) -> tuple[str, str]:
        """Real weight ([M, ...], or [K, M] where transposed) and bias of a dot product, as names of values."""
        node = self._node
        o = dot_operands(self.graph, self.program, node, self._kernels[node.outputs[0]], self._profile)
        q, axis = (o.weight.T, o.weight.ndim - 1) if transposed else (o.weight, 0)
        weight = self._dequantized(node.inputs[1], np.ascontiguousarray(q), o.scale, axis)
        if o.bias.dtype.kind == "i" and _INT32.min <= o.bias.min() and o.bias.max() <= _INT32.max:
            return weight, self._dequantized(node.inputs[2], o.bias.astype(np.int32), o.bias_scale, 0)
        real = (o.bias * o.bias_scale.astype(np.float64)).astype(np.float32)
        return weight, self.constant(f"{node.outputs[0]}__bias", real)

    def factors(self) -> tuple[str, str]:
        """Real values of both inputs of a product; the second one's scale is that which the multiplier stands for."""
        kernel = self._kernels[self._node.outputs[0]]
        a, b, y = (self.program.edges[n] for n in (*kernel.inputs, *kernel.outputs))
        multiplier, shift = kernel.constants["multiplier"], kernel.params["requantize"]["shift"]
        bits = min(self._profile, PRODUCT_BITS - kernel.params["acc_bits"])
        scale = compiled_scales(np.atleast_1d(b.scale), a.scale, y.scale, multiplier, shift, bits)[0]
        zero = self._type(b.name)[1]
        names = [self._integers[b.name], self.constant(f"{y.name}__factor_scale", scale), zero]
        return self.data(), self.data(1) if scale == b.scale else self._emit("DequantizeLinear", names)

    def divisors(self) -> list[np.ndarray]:
        """Constants [channels] that the operator divides by in turn; the first as its coarse multiplier stands for it."""
        kernel, node = self._kernels[self._node.outputs[0]], self._node
        found = [self.graph.tensors[n].data for n in node.inputs[1:]]
        if "multiplier" not in kernel.constants:
            return found
        x, y = (self.program.edges[n] for n in (*kernel.inputs, *kernel.outputs))
        nominal = np.abs(1 / np.prod(found, axis=0, dtype=np.float64)).astype(np.float32)
        multiplier, shift = kernel.constants["multiplier"], kernel.params["requantize"]["shift"]
        bits = self._profile - 1  # factors of steps may be negative
        scales = compiled_scales(nominal, x.scale, y.scale, np.abs(multiplier), shift, bits)
        return [np.where(scales == nominal, found[0], found[0] * (nominal / scales)).astype(np.float32), *found[1:]]

    def recurrent(self, node: Node) -> str:
        """The LSTM or GRU `node` on real values, without rounding between its steps: its hidden or last cell states."""
        a = node.attrs
        turned = (1, 0, 2) if self.graph.batched else (0, 1, 2)
        x = self.emit("Transpose", self.data(), perm=turned)
        constants = [self.graph.tensors[n].data if n else None for n in node.inputs[1:4]]
        real = [
            (q * self.graph.tensors[n].qtype.scales()[:, None])
            .reshape(len(a.directions), -1, q.shape[1])
            .astype(np.float32)
            for n, q in zip(node.inputs[1:3], constants, strict=False)
        ]
        states = [self._first_state(node, i, x) for i in (5, 6)]
        names = [x, *real, constants[2], None, *states]
        attributes = {
            "hidden_size": a.hidden,
            "direction": "bidirectional" if len(a.directions) > 1 else a.directions[0],
        }
        if node.op == "GRU":
            attributes["linear_before_reset"] = int(a.linear_before_reset)
        cell = a.output == "cell"
        found = self.emit(node.op, *names, output_index=2 if cell else 0, **attributes)
        if not self.graph.batched:
            return found
        return self.emit("Transpose", found, perm=(1, 0, 2) if cell else (2, 0, 1, 3))

    def _first_state(self, node: Node, index: int, x: str) -> str | None:
        """A first state [directions, batch, hidden]; `x` has the batch on axis 1. None: zeros."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if not name:
            return None
        shape = (len(node.attrs.directions), 1, node.attrs.hidden)
        if self.graph.tensors[name].is_constant:
            size = self.emit("Slice", self.emit("Shape", x), np.array([1]), np.array([2]))
            whole = self.emit("Concat", np.array(shape[:1]), size, np.array(shape[2:]), axis=0)
            return self.emit("Expand", self.graph.tensors[name].data.reshape(shape), whole)
        if not self.graph.batched:
            return self.data(index)
        return self.emit("Transpose", self.data(index), perm=(1, 0, 2))

    def need_opset(self, opset: int) -> None:
        """The model is of this opset at least: 17."""
        self._opset = max(self._opset, opset)

    def clamp(self, value: str, limits: tuple[float | None, float | None] | None) -> str:
        """`value` limited to real (lo, hi); None is an open end."""
        lo, hi = limits or (None, None)
        if lo is None and hi is None:
            return value
        if (lo, hi) == (0, None):
            return self.emit("Relu", value)
        return self.emit("Clip", value, *(None if end is None else np.float32(end) for end in (lo, hi)))

    def batch_shape(self, shape: tuple[int, ...]) -> np.ndarray:
        """The shape of a sample as a Reshape takes it: 0 keeps the batch axis, where the model has one."""
        return np.asarray((0, *shape) if self.graph.batched else shape, np.int64)

    def constant(self, wish: str, data: np.ndarray) -> str:
        from onnx import numpy_helper

        name = self._unique(wish)
        self._constants.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    # --- for export() ------------------------------------------------------------------------------------------------

    def operator(self, node: Node) -> None:
        self._node = node
        tensor = node.outputs[0]
        value = OPS[node.op].export(node, self)
        if self._is_index(tensor):
            self._nodes[-1].output[0] = self._integers[tensor] = tensor
        else:
            self.quantize(tensor, value)
        self._node = None

    def input(self, tensor: str, pixels: Pixels | None) -> None:
        """The integers of an input; of pixels that have no scale and zero point of their own, x * std + mean - zero."""
        value = tensor
        if pixels is not None and not pixels.is_affine:
            mean, std = pixels.affine(self.program.edges[tensor].shape)
            for op, factor in (("Mul", std), ("Add", mean - self.program.edges[tensor].zero)):
                value = self._emit(op, [value, self.constant(f"{tensor}__{op}_1", np.asarray(factor, np.float32))])
        self.quantize(tensor, value)

    def quantize(self, tensor: str, value: str) -> None:
        """The integers of `tensor` from the real `value`."""
        edge = self.program.edges[tensor]
        if edge.bits not in (8, 16):  # stored in a wider type, which would not saturate where this one does
            ends = (
                np.int64(end - edge.zero).astype(np.float32) * edge.scale for end in type_range(edge.bits, edge.signed)
            )
            limits = [self.constant(f"{tensor}__limit_{n}", end) for n, end in enumerate(ends)]
            value = self._emit("Clip", [value, *limits])
        boundary = tensor in self.graph.inputs or tensor in self.graph.outputs
        name = self._unique(f"{tensor}__quantized") if boundary else tensor
        self._integers[tensor] = self._emit("QuantizeLinear", [value, *self._type(tensor)], output=name)

    def output(self, tensor: str) -> None:
        """The real output of the model (an index has its name already)."""
        if not self._is_index(tensor):
            self._emit("DequantizeLinear", [self._integers[tensor], *self._type(tensor)], output=tensor)

    def model(self, name: str) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        def info(tensor: str):
            kind = TensorProto.INT64 if self._is_index(tensor) else TensorProto.FLOAT
            shape = list(self.program.edges[tensor].shape)
            return helper.make_tensor_value_info(tensor, kind, ["batch", *shape] if self.graph.batched else shape)

        inputs, outputs = map(info, self.graph.inputs), map(info, self.graph.outputs)
        wide = any(c.data_type in (TensorProto.INT16, TensorProto.UINT16) for c in self._constants)
        opset, ir_version = _WORDS if wide else (self._opset, _IR_VERSIONS.get(self._opset, _BYTES[1]))
        graph = helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._constants)
        model = helper.make_model(
            graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)], producer_name="hwcomp",
            producer_version=__version__,
        )  # fmt: skip
        helper.set_model_props(model, {"program_sha256": self.program.sha256()})
        return model

    # --- inside ------------------------------------------------------------------------------------------------------

    def _is_index(self, tensor: str) -> bool:
        return self.graph.tensors[tensor].dtype == "int64"

    def _type(self, tensor: str) -> tuple[str, str]:
        """Names of the scale and the zero point of a tensor: constants that all its (de)quantizers share."""
        if tensor not in self._types:
            edge = self.program.edges[tensor]
            if edge.bits > 16:
                kind = f"{'signed' if edge.signed else 'unsigned'} {edge.bits}-bit tensor"
                raise UnsupportedError(
                    f"{kind} '{shown(tensor)}' can't be written to model.qdq.onnx",
                    node=origin_of(self._node) if self._node else None,
                    why="QuantizeLinear makes integers of at most 16 bits",
                )
            zero = np.asarray(edge.zero, edge.dtype)
            self._types[tensor] = (
                self.constant(f"{tensor}__scale", edge.scale),
                self.constant(f"{tensor}__zero_point", zero),
            )
        return self._types[tensor]

    def _dequantized(self, wish: str, q: np.ndarray, scale: np.ndarray, axis: int) -> str:
        zero = 0
        if q.dtype == np.int16 and int(q.max()) - int(q.min()) < 256 and int(q.min()) <= 0 <= int(q.max()):
            zero = -int(q.min())  # weights of 8 bits with a zero point: onnxruntime's 16-bit paths are not needed
            q = (q + zero).astype(np.uint8)
        names = [self.constant(wish, q), self.constant(f"{wish}_scale", scale)]
        names.append(self.constant(f"{wish}_zero_point", np.full(scale.shape, zero, q.dtype)))
        return self._emit("DequantizeLinear", names, axis=axis)

    def _emit(
        self, op: str, inputs: list[str], output: str | None = None, output_index: int = 0, **attributes: Any
    ) -> str:
        from onnx import helper

        stem = self._node.outputs[0] if self._node else inputs[0]
        output = output if output is not None else self._unique(f"{stem}__{op}")
        kernel = f"{self._kernels[stem].name}_" if self._node else ""
        label = f"{len(self._nodes)}_{kernel}{op}"
        self._nodes.append(helper.make_node(op, inputs, [*[""] * output_index, output], name=label, **attributes))
        return output

    def _unique(self, wish: str) -> str:
        name, n = wish, 0
        while name in self._taken:
            n += 1
            name = f"{wish}_{n}"
        self._taken.add(name)
        return name
