"""Cuts the exported QDQ model into models of one layer, from integers to integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import WorkFailed, shown
from sw_ref.program import Program

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Layer:
    """`inputs`: the Program's tensors that it reads, in the order of the inputs of `model`; `tensor`: the one it makes.

    `single`: the model only takes a batch of one. Values in `model` are called v1, v2, ...: onnxruntime can't be asked for
    a value of every name that is legal.
    """

    tensor: str
    inputs: tuple[str, ...]
    model: onnx.ModelProto
    batched: bool
    single: bool = False


def carriers(model: onnx.ModelProto, program: Program) -> dict[str, str]:
    """Tensor of the Program -> the value of the model that holds its integers."""
    values = {}
    made_by = {n.output[-1]: n for n in model.graph.node}
    steps = ("QuantizeLinear", "Clip", "Mul", "Add")  # what an input meets before its integers
    readers = {n.input[0]: n for n in model.graph.node if n.op_type in steps}
    for name in program.edges:
        if name in program.inputs and name in readers:
            values[name] = _quantized(readers, name)
        elif name in program.outputs and name in made_by and made_by[name].op_type == "DequantizeLinear":
            values[name] = made_by[name].input[0]
        elif name in made_by:
            values[name] = name
        else:
            raise WorkFailed(
                f"model.qdq.onnx does not have tensor '{shown(name)}' of the program", fix="compile the model again"
            )
    return values


def _quantized(readers: dict[str, onnx.NodeProto], name: str) -> str:
    """The integers of an input: behind the mean and std of pixels, and the limits of a type that is stored in a wider one."""
    node = readers[name]
    while node.op_type != "QuantizeLinear":
        node = readers[node.output[0]]
    return node.output[0]


def layers(model: onnx.ModelProto, program: Program) -> list[Layer]:
    """One layer per tensor of the Program that is no input, in order of execution."""
    value_of = carriers(model, program)
    tensor_of = {value: tensor for tensor, value in value_of.items()}
    made_by = {n.output[-1]: i for i, n in enumerate(model.graph.node)}
    constants = {c.name: c for c in model.graph.initializer}
    batched = _batched(model, program)
    order = {name: i for i, name in enumerate((*program.edges, *constants))}
    found = []
    for tensor in program.edges:
        if tensor in program.inputs:
            continue
        wanted, todo, reads, uses = set(), [value_of[tensor]], set(), set()
        while todo:
            value = todo.pop()
            if value in constants:
                uses.add(value)
            elif value in tensor_of and value != value_of[tensor]:
                reads.add(tensor_of[value])
            elif value and made_by[value] not in wanted:
                wanted.add(made_by[value])
                todo.extend(model.graph.node[made_by[value]].input)
        inputs = tuple(sorted(reads, key=order.get))
        nodes = [model.graph.node[i] for i in sorted(wanted)]
        kept = [constants[c] for c in sorted(uses, key=order.get)]
        cut = _cut(model, program, tensor, inputs, value_of, nodes, kept, batched)
        found.append(Layer(tensor, inputs, cut, batched))
    return found


def _batched(model: onnx.ModelProto, program: Program) -> bool:
    first = model.graph.input[0]
    return len(first.type.tensor_type.shape.dim) > len(program.edges[first.name].shape)


def renamed(
    constants: Iterable[onnx.TensorProto], nodes: Iterable[onnx.NodeProto], rename: Callable[[str], str]
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """Copies under other names of values."""
    held, made = [], []
    for constant in constants:
        held.append(copy := type(constant)())
        copy.CopyFrom(constant)
        copy.name = rename(constant.name)
    for node in nodes:
        made.append(copy := type(node)())
        copy.CopyFrom(node)
        copy.input[:] = [rename(v) for v in node.input]
        copy.output[:] = [rename(v) for v in node.output]
    return held, made


def _cut(model, program: Program, tensor, inputs, value_of, nodes, constants, batched: bool) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    short: dict[str, str] = {"": ""}

    def rename(value: str) -> str:
        return short.setdefault(value, f"v{len(short)}")

    def info(name: str):
        edge = program.edges[name]
        index = (producer := program.producer(name)) is not None and producer.kind == "argmax"
        kind = TensorProto.INT64 if index else helper.np_dtype_to_tensor_dtype(np.dtype(edge.dtype))
        shape = ["batch", *edge.shape] if batched else list(edge.shape)
        return helper.make_tensor_value_info(rename(value_of[name]), kind, shape)

    ins, out = [info(n) for n in inputs], info(tensor)
    held, made = renamed(constants, nodes, rename)
    graph = helper.make_graph(made, "layer", ins, [out], held)
    return helper.make_model(graph, ir_version=model.ir_version, opset_imports=model.opset_import)
