"""Types around dot products of few bits: integers as the model states them, and fine types where a quantizer follows floats."""

from __future__ import annotations

import numpy as np

from hwcomp.graph import Graph
from hwcomp.ops import _steps
from hwcomp.passes.base import PassContext, constant
from hwcomp.quantize.few_bits import recognized, weight_type
from hwcomp.quantize.schemes import affine_type, scheme
from hwcomp.registry import OPS
from hwcomp.types import Node, QType, Tensor

# Bits of what a Sign or few-bit quantizer behind float weights reads: fewer flip its decisions (docs/numerics.md, "Binary").
FINE_BITS = 20
_FEW = 4  # bits of a quantizer that asks for fine weights in front of it
_LAST = ("ArgMax", "Softmax", "LogSoftmax", "Steps")
_MOST_BITS = 24  # of a tensor
_SPARE = 64  # provable ranges that are wider than the observed one by more waste too many bits
_ON_GRID = 2.0**-16  # of a step: how far samples may lie beside the integers that they stand for


def fine_tensors(graph: Graph) -> list[str]:
    """Tensors without integers of their own that a quantizer or nothing but the output reads, moved or not; inputs last."""
    fine: set[str] = set()
    for node in reversed(graph.nodes):
        steps = getattr(node.attrs, "steps", ())
        last = _steps.quantizer(steps)
        wanted = last is not None and (node.op == "Steps" or last.grid is not None)
        wanted |= node.op != "Steps" and bool(steps) and last is not None and last.qtype.bits <= _FEW
        passes = OPS[node.op].ties_types or (node.op in ("Conv", "Dense", "Add") and not steps)
        if wanted or (passes and node.outputs[0] in fine):
            fine.update(graph.data_inputs(node))
        if steps and last is None and node.op != "Steps" and _ends(graph, node.outputs[0]):
            fine.add(node.outputs[0])
    return sorted((n for n in fine if not graph.tensors[n].is_constant), key=lambda n: (n in graph.inputs, n))


def _ends(graph: Graph, name: str) -> bool:
    """Whether only outputs, decisions and quantizers follow, moved or not."""
    readers = graph.consumers(name)
    return all(r.op in _LAST or (OPS[r.op].ties_types and _ends(graph, r.outputs[0])) for r in readers)


def fine_type(name: str, limits: tuple[float, float], graph: Graph, ctx: PassContext) -> QType:
    """8 bits for an input whose samples lie on such a grid; the accumulators themselves where one scale holds them; else fine.

    `limits`: observed; what a dot product gives may lie anywhere in its provable range.
    """
    if name in graph.inputs and ctx.calibration is not None:
        qtype = affine_type(*limits, 8)
        data = np.asarray(ctx.calibration[name], np.float64) / qtype.scale[0]
        if np.abs(data - np.rint(data)).max() <= _ON_GRID and qtype.lo <= np.rint(data).min() + qtype.zero:
            return qtype
    maker, proved = graph.producer(name), graph.tensors[name].range or (-np.inf, np.inf)
    if (
        maker is not None
        and getattr(maker.attrs, "steps", ())
        and proved[1] - proved[0] <= _SPARE * (limits[1] - limits[0])
    ):
        limits = proved
    return _accumulators(graph, maker) or affine_type(*limits, FINE_BITS)


def _accumulators(graph: Graph, node: Node | None) -> QType | None:
    """The type of a dot product's own sums, where nothing but a whole number of them is added, and all channels have
    multiples of one scale."""
    steps = getattr(node and node.attrs, "steps", ())
    if steps not in ((_steps.Limit(None, None),), (_steps.Sum(),)):
        return None
    name = node.inputs[0]
    while (
        (maker := graph.producer(name)) is not None and graph.tensors[name].qtype is None and OPS[maker.op].keeps_type
    ):
        name = maker.inputs[0]
    source = graph.tensors[name].qtype
    weight = graph.tensors[node.inputs[1]].data
    q, scales = recognized(weight.reshape(len(weight), -1)) or (None, None)
    if source is None or q is None:
        return None
    least = float(scales.min())
    times, unit = scales.astype(np.float64) / least, float(np.float32(source.scale[0])) * least
    added = [graph.tensors[n].data.astype(np.float64) / unit for n in node.inputs[3:]]
    if any((np.rint(v) != v).any() for v in (times, *added)):
        return None
    sums = np.abs(q).sum(axis=1) * times * max(abs(source.lo - source.zero), abs(source.hi - source.zero))
    bits = int((sums + sum(np.abs(v) for v in added)).max()).bit_length() + 1
    return QType(bits, True, "affine", (float(np.float32(unit)),)) if bits <= _MOST_BITS else None


def quantize_weights(node: Node, tensors: dict[str, Tensor], ctx: PassContext) -> Node:
    """A dot product with steps, on integer weights: the model's own, else fine ones, else those of the scheme."""
    weight = tensors[node.inputs[1]].data
    rows = weight.reshape(len(weight), -1)
    last, found = _steps.quantizer(node.attrs.steps), recognized(rows)
    if found is not None:
        q, scales = found
        qtype = weight_type(q, scales)
        what = {"bipolar": "1-bit", "ternary": "ternary"}.get(qtype.scheme, f"{qtype.bits}-bit")
        ctx.note("quantize", f"{node.op} '{node.name}': {what} weights, as the model has them")
    else:
        bits = FINE_BITS if last is not None and last.qtype.bits <= _FEW else scheme(ctx.quant).bits
        limit = (1 << (bits - 1)) - 1
        largest = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
        scales = np.where(largest > 0, largest / limit, 1.0).astype(np.float32)
        q = np.clip(np.rint(rows / scales.astype(np.float64)[:, None]), -limit, limit).astype(np.int64)
        qtype = QType(bits, True, "affine", tuple(map(float, scales)), 0, 0)
        text = f"{node.op} '{node.name}': {bits}-bit weights: these are no few-bit integers times a scale per channel"
        ctx.note("quantize", text + (", and a quantizer of few bits follows" if bits == FINE_BITS else ""))
    name = constant(tensors, f"{node.outputs[0]}__weight_q", q.reshape(weight.shape))
    tensors[name.name] = name.with_(qtype=qtype)
    return node.with_(inputs=(node.inputs[0], name.name, *node.inputs[2:]))
