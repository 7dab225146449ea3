"""`model.fp16.onnx`: the float model with its weights and biases in float16, two bytes each, for comparison; onnxruntime runs it.

Each becomes float32 again by a Cast in front of the operators, so products and sums are those of float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import ModelError, UsageError, shown

if TYPE_CHECKING:
    import onnx

# Operators whose float constants are no weights, besides those beyond ONNX.
_FORMS = frozenset({"QuantizeLinear", "DequantizeLinear", "Range", "Resize", "Upsample"})
_LEAST_IR = 4  # from which on constants need not be inputs, too


def export(model: onnx.ModelProto) -> bytes:
    """The model as bytes, always the same. `model` has all weights inside and is left as it is.

    UsageError where it has no float32 weights, ModelError where one is beyond the range of float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    copy = type(model)()
    copy.CopyFrom(model)
    graph = copy.graph
    forms = {name for node in graph.node if node.domain or node.op_type in _FORMS for name in node.input}
    weights = [
        t for t in graph.initializer if t.data_type == TensorProto.FLOAT and t.name not in forms and _size(t) > 1
    ]
    if not weights:
        raise UsageError(
            "--float16 for a model without float32 weights", why="none has more than one element", fix="leave it out"
        )
    taken = {n for node in graph.node for n in (*node.input, *node.output)} | {t.name for t in graph.initializer}
    casts = []
    for tensor in weights:
        name = tensor.name
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(half).all():
            why = f"the largest that it holds is {np.finfo(np.float16).max:g}"
            raise ModelError(f"constant '{shown(name)}' can't be float16", why=why, fix="leave --float16 out")
        stored = _unused(f"{name}__half", taken)
        tensor.CopyFrom(numpy_helper.from_array(half, stored))
        casts.append(
            helper.make_node("Cast", [stored], [name], name=_unused(f"{name}__cast", taken), to=TensorProto.FLOAT)
        )
    names = {c.output[0] for c in casts}
    inputs = [i for i in graph.input if i.name not in names]
    nodes = [*casts, *graph.node]
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    copy.ir_version = max(copy.ir_version, _LEAST_IR)
    return copy.SerializeToString(deterministic=True)


def _size(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
