"""Cuts the user's own model, where it states integers, into models of one layer from integers to integers.

They stand beside the layers of model.qdq.onnx: same tensors, same integers, but the operators that the user has
(QLinearConv, or the float operator between DequantizeLinear and QuantizeLinear).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.verify._qdq_layers import Layer, renamed
from sw_ref.program import Edge, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

# Where the scale and the zero point of the result stand among the inputs of an operator that makes integers.
_RESULT = {
    "QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8), "QLinearAdd": (6, 7),
    "QLinearMul": (6, 7), "QLinearAveragePool": (3, 4), "QLinearGlobalAveragePool": (3, 4), "QLinearConcat": (0, 1),
    "QLinearSigmoid": (3, 4), "QLinearLeakyRelu": (3, 4), "QLinearSoftmax": (3, 4),
}  # fmt: skip
_MOVE = (
    "Concat",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
_FIXED_BATCH = ("Expand", "Reshape", "Tile", "Transpose")  # may name the size of the batch, or move it
_BATCH = "hwcomp_batch"  # the name of its size
_DOTS = ("Conv", "Gemm", "MatMul")
_SOFTMAX = ("Softmax", "LogSoftmax")


def own_layers(model: onnx.ModelProto, program: Program, exported: Iterable[Layer]) -> list[Layer]:
    """The layers of `exported` that the user's model states too, all in integers."""
    own = _Own(model, program)
    return [layer for cut in exported if (layer := own.layer(cut)) is not None]


@dataclass
class _Own:
    model: onnx.ModelProto
    program: Program

    @cached_property
    def made_by(self) -> dict[str, onnx.NodeProto]:
        return {name: n for n in self.model.graph.node for name in n.output if name}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        from onnx import helper, numpy_helper

        found = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        for n in self.model.graph.node:
            if n.op_type == "Constant" and n.attribute and n.attribute[0].name == "value":
                found[n.output[0]] = numpy_helper.to_array(helper.get_attribute_value(n.attribute[0]))
        return found

    @cached_property
    def inputs(self) -> dict[str, int]:
        """Inputs of the model -> their element types."""
        return {v.name: v.type.tensor_type.elem_type for v in self.model.graph.input if v.name not in self.arrays}

    @cached_property
    def batch_axes(self) -> dict[str, int]:
        """Where the model has the batch of its values, of those that have it and whose shapes are known."""
        from onnx import shape_inference

        model = type(self.model)()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        for v in model.graph.output:
            v.type.tensor_type.ClearField("shape")
        for v in model.graph.input:
            if v.name in self.program.edges:
                sizes, shape = v.type.tensor_type.shape.dim, self.program.edges[v.name].shape
                rest = [[d.dim_value for d in (*sizes[:i], *sizes[i + 1 :])] for i in range(len(sizes))]
                if list(shape) in rest:
                    sizes[rest.index(list(shape))].dim_param = _BATCH
        graph = shape_inference.infer_shapes(model).graph
        found = {}
        for v in (*graph.input, *graph.value_info, *graph.output):
            names = [d.dim_param for d in v.type.tensor_type.shape.dim]
            if _BATCH in names:
                found[v.name] = names.index(_BATCH)
        return found

    def integers(self, name: str) -> bool | None:
        """Whether a value holds integers of a type that the model states; False: their reals; None: neither."""
        from onnx import TensorProto

        while True:
            if name in self.inputs:
                return self.inputs[name] != TensorProto.FLOAT
            node = self.made_by.get(name)
            if node is None:
                return None
            if node.op_type in _RESULT:
                return len(node.input) > _RESULT[node.op_type][0] or None
            if node.op_type == "DequantizeLinear":
                return None if node.input[0] in self.arrays else False
            if node.op_type not in _MOVE:
                return None
            name = node.input[0]

    def layer(self, cut: Layer) -> Layer | None:
        if self.integers(cut.tensor) is None or any(self.integers(n) is None for n in cut.inputs):
            return None
        nodes, constants = {}, set()
        pending, stop = [cut.tensor], set(cut.inputs)
        while pending:
            name = pending.pop()
            if not name or (name in stop and name != cut.tensor):
                continue
            node = self.made_by.get(name)
            if node is None:
                if name not in self.arrays:
                    return None  # it depends on something else, too
                constants.add(name)
            elif id(node) not in nodes:
                nodes[id(node)] = node
                pending += node.input
        ordered = [n for n in self.model.graph.node if id(n) in nodes]
        if not self._comparable(cut, ordered):
            return None
        return self._cut(cut, ordered, constants)

    def _comparable(self, cut: Layer, nodes: list[onnx.NodeProto]) -> bool:
        """Whether these operators are what the kernel computes: nothing left out, no weight that was still float."""
        if any(n.op_type in _SOFTMAX for n in nodes) and self.program.producer(cut.tensor).kind != "softmax":
            return False  # --logits
        if any(n.op_type in _DOTS and not self._dequantized(n.input[1]) for n in nodes):
            return False
        made = self.made_by.get(cut.tensor)
        while made is not None and made.op_type not in _RESULT:
            made = self.made_by.get(made.input[0])
        edge = self.program.edges[cut.tensor]
        if made is None:
            return False
        scale, zero = (made.input[i] if i < len(made.input) else "" for i in _RESULT[made.op_type])
        same = scale in self.arrays and np.float32(self.arrays[scale].reshape(-1)[0]) == edge.scale
        return same and (int(self.arrays[zero].reshape(-1)[0]) if zero else 0) == edge.zero

    def _dequantized(self, weight: str) -> bool:
        node = self.made_by.get(weight)
        while node is not None and node.op_type in _MOVE:
            node = self.made_by.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear"

    def _cut(self, cut: Layer, nodes: list[onnx.NodeProto], constants: set[str]) -> Layer:
        from onnx import helper

        short: dict[str, str] = {"": ""}

        def rename(value: str) -> str:
            return short.setdefault(value, f"v{len(short)}")

        made, held, ins = [], [], []
        for name in cut.inputs:
            edge, value = self.program.edges[name], rename(name)
            moves = []
            if at := self.batch_axes.get(name, 0):
                perm = (*range(1, at + 1), 0, *range(at + 1, len(edge.shape) + 1))
                moves = [helper.make_node("Transpose", [f"{value}_n"], [value], perm=perm)]
                value = f"{value}_n"
            if not self.integers(name):
                held += _type(edge, value)
                made.append(helper.make_node("DequantizeLinear", [f"{value}_q", f"{value}_s", f"{value}_z"], [value]))
                value = f"{value}_q"
            made += moves
            ins.append(helper.make_tensor_value_info(value, helper.np_dtype_to_tensor_dtype(edge.dtype), None))
        own, copies = renamed((c for c in self.model.graph.initializer if c.name in constants), nodes, rename)
        held, made = [*held, *own], [*made, *copies]
        edge, value = self.program.edges[cut.tensor], rename(cut.tensor)
        if at := self.batch_axes.get(cut.tensor, 0):
            perm = (at, *(i for i in range(len(edge.shape) + 1) if i != at))
            made.append(helper.make_node("Transpose", [value], [f"{value}_n"], perm=perm))
            value = f"{value}_n"
        if not self.integers(cut.tensor):
            held += _type(edge, value)
            made.append(helper.make_node("QuantizeLinear", [value, f"{value}_s", f"{value}_z"], [f"{value}_q"]))
            value = f"{value}_q"
        out = helper.make_tensor_value_info(value, helper.np_dtype_to_tensor_dtype(edge.dtype), None)
        graph = helper.make_graph(made, "layer", ins, [out], held)
        model = helper.make_model(graph, ir_version=self.model.ir_version, opset_imports=self.model.opset_import)
        single = any(n.op_type in _FIXED_BATCH for n in nodes)
        return Layer(cut.tensor, cut.inputs, model, cut.batched, single)


def _type(edge: Edge, value: str) -> list[onnx.TensorProto]:
    """Constants with the scale and the zero point of a tensor."""
    from onnx import numpy_helper

    arrays = {f"{value}_s": np.asarray(edge.scale), f"{value}_z": np.asarray(edge.zero, edge.dtype)}
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]
