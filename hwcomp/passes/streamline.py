"""Networks that are of few bits already: what stands between two dot products is gathered, to become integer thresholds.

Everything elementwise behind a dot product (bias, BatchNormalization, factors, Clip) up to its quantizer (Sign, QONNX
Quant) goes into the node as steps, in their order, so that no float result changes; a MaxPool in between is moved behind
the quantizer where the steps rise. What follows a few-bit dot product without a quantizer goes in, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Editor, Graph
from hwcomp.ops import _steps
from hwcomp.ops.steps import StepsAttrs
from hwcomp.passes._few_report import kept_signs, reasons
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.quantize.few_bits import recognized
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, per_channel

_DOT = {"Conv": 1, "Dense": -1}  # axis of the channels


@graph_pass
class Streamline(Pass):
    """Leaves a graph without quantizers alone."""

    name: ClassVar[str] = "streamline"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        graph = graph.rebuilt(_binary_sign(graph, n) for n in graph.nodes)
        for line in kept_signs(graph):
            ctx.note(self.name, line)
        if not any(n.op == "Steps" and _steps.quantizer(n.attrs.steps) for n in graph.nodes):
            return graph
        _count_zeros(graph, ctx)
        graph = gathered(graph, ctx)
        few = _few_bit_tensors(graph)
        for line in reasons(graph, few):
            ctx.note(self.name, line)
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            if node.op in _DOT and node.inputs[0] in few and _weights_are_few(graph, node):
                _trail(edit, i, ctx)
        return typed(edit.done(), ctx)


def gathered(graph: Graph, ctx: PassContext) -> Graph:
    """The graph with what stands in front of each quantizer put into the dot product there, or into its own node."""
    edit = Editor(graph)
    for i, node in enumerate(graph.nodes):
        if edit.nodes[i] is not None and node.op == "Steps" and _steps.quantizer(node.attrs.steps):
            _gather(edit, i, ctx)
    return typed(edit.done(), ctx)


def unflattened(graph: Graph) -> Graph:
    """The graph with quantizers that follow a flattening of maps in front of it, where each channel has one constant."""
    nodes, tensors = list(graph.nodes), dict(graph.tensors)
    for i, node in enumerate(graph.nodes):
        flat = graph.producer(node.inputs[0]) if node.op == "Steps" and _steps.quantizer(node.attrs.steps) else None
        if flat is None or flat.op != "Reshape" or graph.sole_consumer(flat.outputs[0]) is None or node.attrs.axis != 1:
            continue
        maps, row = (graph.tensors[n].shape for n in (flat.inputs[0], flat.outputs[0]))
        if len(maps) != 4 or len(row) != 2 or maps[0] != row[0]:
            continue
        data = [graph.tensors[n].data.reshape(maps[1], -1) for n in node.inputs[1:]]
        if any((d != d[:, :1]).any() for d in data):
            continue
        name = free_name(tensors, f"{node.outputs[0]}__maps")
        tensors[name] = tensors[node.outputs[0]].with_(name=name, shape=maps)
        names = [constant(tensors, n, d[:, 0].copy()).name for n, d in zip(node.inputs[1:], data, strict=True)]
        nodes[graph.nodes.index(flat)] = node.with_(inputs=(flat.inputs[0], *names), outputs=(name,))
        nodes[i] = flat.with_(inputs=(name, *flat.inputs[1:]), outputs=node.outputs)
    return graph.rebuilt(nodes, tensors)


def _binary_sign(graph: Graph, node: Node) -> Node:
    """A Sign in front of dot products is one bit; its 0 becomes +1 (docs/numerics.md, "Binary")."""
    if node.op == "Sign" and _feeds_dots(graph, node.outputs[0]):
        return node.with_(op="Steps", attrs=StepsAttrs((_steps.Quantizer(_steps.BIPOLAR),)))
    return node


def _feeds_dots(graph: Graph, name: str) -> bool:
    """Whether dot products alone read a tensor, moved or not."""
    readers = graph.consumers(name)
    moved = (r.op in _DOT or (OPS[r.op].keeps_type and _feeds_dots(graph, r.outputs[0])) for r in readers)
    return bool(readers) and name not in graph.outputs and all(moved)


def _count_zeros(graph: Graph, ctx: PassContext) -> None:
    """Note how often the samples give Sign a zero, which ONNX maps to 0 and a bit can't."""
    signs = {
        n.inputs[0]: n for n in graph.nodes
        if n.op == "Steps" and (q := _steps.quantizer(n.attrs.steps)) and q.qtype.scheme == "bipolar"
    }  # fmt: skip
    if not signs or ctx.calibration is None:
        return
    zeros, total = dict.fromkeys(signs, 0), dict.fromkeys(signs, 0)

    def see(name: str, value: np.ndarray) -> None:
        if name in signs:
            zeros[name] += int(np.count_nonzero(value == 0))
            total[name] += value.size

    size = batch_size(graph)
    for start in range(0, len(next(iter(ctx.calibration.values()))), size):
        run_float(graph, {n: a[start : start + size] for n, a in ctx.calibration.items()}, see)
    for name, node in signs.items():
        if zeros[name]:
            text = f"Sign '{node.name}' gets 0 in {zeros[name]} of {total[name]} samples: +1 here, 0 in ONNX"
            ctx.note(Streamline.name, text)
            ctx.warn(text)
    if not any(zeros.values()):
        ctx.note(Streamline.name, f"no Sign gets 0 in the calibration data ({sum(total.values())} values)")


def _as_steps(edit: Editor, node: Node, axis: int) -> tuple[tuple[_steps.Step, ...], list[np.ndarray]] | None:
    """A node as steps along `axis`, with their constants; None where it is no such function."""
    x = edit.tensors[node.inputs[0]]
    data = [edit.tensors[n].data for n in node.inputs[1:] if n]
    if any(d is None for d in data):
        return None
    if node.op == "Clip":
        return (_steps.Limit(node.attrs.lo, node.attrs.hi),), []
    if node.op == "Steps":
        return (node.attrs.steps, data) if not data or node.attrs.axis == axis else None
    if node.op == "BatchNormalization" and axis == 1:
        return (_steps.BatchNorm(node.attrs.epsilon),), data
    if node.op == "Add" and node.attrs.clamp is None and len(x.shape) > axis:
        channels = per_channel(edit.tensors[node.inputs[1]], x, axis)
        return None if channels is None else ((_steps.Sum(),), [channels])
    return None


def _gather(edit: Editor, i: int, ctx: PassContext) -> None:
    """Collect what stands in front of the quantizer `i`: into a dot product, else into the quantizer."""
    axis, path, dot = edit.nodes[i].attrs.axis, [], None
    source, reader = edit.nodes[i].inputs[0], i
    while (index := edit.producer(source)) is not None and edit.sole_consumer(source) == reader:
        before = edit.nodes[index]
        if before.op in _DOT:
            dot = index
            break
        if not (before.op == "MaxPool" and axis == 1) and _as_steps(edit, before, axis) is None:
            break
        path.append(index)
        source, reader = before.inputs[0], index
    if dot is None or not _take(edit, dot, i, path, axis, ctx):
        _join(edit, i, path, axis)


def _join(edit: Editor, i: int, path: list[int], axis: int) -> None:
    """The functions between the quantizer `i` and the first MaxPool in front of it go into its node."""
    node = edit.nodes[i]
    steps, data, origin, source = node.attrs.steps, [edit.tensors[n].data for n in node.inputs[1:]], node.origin, ""
    for index in path:
        before = edit.nodes[index]
        if before.op == "MaxPool":
            break
        more, constants = _as_steps(edit, before, axis)
        steps, data, origin, source = (*more, *steps), [*constants, *data], (*before.origin, *origin), before.inputs[0]
        edit.put(index, None)
    if source:
        names = _constants(edit, node.outputs[0], data)
        edit.put(i, node.with_(inputs=(source, *names), attrs=StepsAttrs(tuple(steps), axis), origin=origin))


def _constants(edit: Editor, wish: str, data: list[np.ndarray]) -> list[str]:
    return [constant(edit.tensors, f"{wish}__step", np.asarray(d, np.float32)).name for d in data]


def _take(edit: Editor, index: int, i: int, path: list[int], axis: int, ctx: PassContext) -> bool:
    """Put the functions up to the quantizer `i` into the dot product `index`; max-pools between them go behind it."""
    dot, node = edit.nodes[index], edit.nodes[i]
    rank, channels = len(edit.tensors[dot.outputs[0]].shape), edit.tensors[dot.inputs[1]].shape[0]
    steps, data, origin = node.attrs.steps, [edit.tensors[n].data for n in node.inputs[1:]], node.origin
    pools: list[int] = []
    for at in path:
        before = edit.nodes[at]
        if before.op == "MaxPool":
            if _steps.falling(steps, data, channels).any():
                text = f"MaxPool '{before.name}' stays in front of '{node.name}', which falls in some channels"
                ctx.note(Streamline.name, text)
                return False
            pools.append(at)
        else:
            more, constants = _as_steps(edit, before, axis)
            steps, data, origin = (*more, *steps), [*constants, *data], (*before.origin, *origin)
    if dot.attrs.clamp is not None or _steps.quantizer(dot.attrs.steps) or (data and axis != _DOT[dot.op] % rank):
        return False
    steps, data = (*dot.attrs.steps, *steps), [*(edit.tensors[n].data for n in dot.inputs[3:]), *data]
    if dot.inputs[2]:
        steps, data = (_steps.Sum(), *steps), [edit.tensors[dot.inputs[2]].data, *data]
    for at in (i, *path):
        if at not in pools:
            edit.put(at, None)
    out, moved = node.outputs[0], []
    for at in pools:  # the last one first
        inner = free_name(edit.tensors, f"{out}__steps")
        edit.tensors[inner] = edit.tensors[edit.nodes[at].inputs[0]].with_(name=inner)
        moved.append((at, edit.nodes[at].with_(inputs=(inner,), outputs=(out,))))
        out = inner
    for at in pools:
        edit.put(at, None)
    for at, pool in moved:
        edit.put(at, pool)
        ctx.note(Streamline.name, f"MaxPool '{pool.name}' is moved behind the quantizer of {dot.op} '{dot.name}'")
    edit.put(index, dot.with_(
        inputs=(*dot.inputs[:2], "", *_constants(edit, out, data)), outputs=(out,), origin=(*dot.origin, *origin),
        attrs=replace(dot.attrs, steps=tuple(steps)),
    ))  # fmt: skip
    ctx.note(Streamline.name, f"{len(steps)} steps behind {dot.op} '{dot.name}' become one integer function")
    return True


def _few_bit_tensors(graph: Graph) -> set[str]:
    """Tensors that hold a quantizer's values, also moved ones."""
    few: set[str] = set()
    for node in graph.nodes:
        steps = getattr(node.attrs, "steps", ())
        moved = OPS[node.op].ties_types and all(n in few for n in graph.data_inputs(node))
        if _steps.quantizer(steps) or moved:
            few.add(node.outputs[0])
    return few


def _weights_are_few(graph: Graph, node: Node) -> bool:
    weight = graph.tensors[node.inputs[1]].data
    return recognized(weight.reshape(len(weight), -1)) is not None


def _trail(edit: Editor, i: int, ctx: PassContext) -> None:
    """Collect what follows the dot product `i` of few bits, which has no quantizer."""
    dot = edit.nodes[i]
    if dot.attrs.steps or dot.attrs.clamp is not None:
        return
    axis = _DOT[dot.op] % len(edit.tensors[dot.outputs[0]].shape)
    steps, data = ((_steps.Sum(),), [edit.tensors[dot.inputs[2]].data]) if dot.inputs[2] else ((), [])
    limited, origin, out = False, list(dot.origin), dot.outputs[0]
    while (index := edit.sole_consumer(out)) is not None and not limited:
        node = edit.nodes[index]
        found = _as_steps(edit, node, axis) if node.inputs[0] == out else None
        if found is None:
            break
        limited = any(isinstance(s, _steps.Limit) for s in found[0])
        steps, data, origin, out = (*steps, *found[0]), [*data, *found[1]], [*origin, *node.origin], node.outputs[0]
        edit.put(index, None)
    # A row of steps that is empty would say that nothing was recognized: no limit at all says it was.
    steps = steps or (_steps.Limit(None, None),)
    edit.put(i, dot.with_(
        inputs=(*dot.inputs[:2], "", *_constants(edit, out, data)), outputs=(out,), origin=tuple(origin),
        attrs=replace(dot.attrs, steps=tuple(steps)),
    ))  # fmt: skip
    ctx.note(Streamline.name, f"{dot.op} '{dot.name}' is exact in integers")


def typed(graph: Graph, ctx: PassContext) -> Graph:
    """Types that the quantizers state; an input that only one quantizer reads as it is gets that type itself."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        found = _steps.quantizer(getattr(node.attrs, "steps", ()))
        if not found:
            continue
        tensors[node.outputs[0]] = tensors[node.outputs[0]].with_(qtype=found.qtype)
        source = node.inputs[0]
        direct = (
            node.op == "Steps"
            and len(node.attrs.steps) == 1
            and found.rounding in ("ROUND", "HALF_EVEN")
            and not found.grid
        )
        direct = direct and found.qtype.scheme != "bipolar"  # callers have bytes, not bits
        if direct and source in graph.inputs and len(graph.consumers(source)) == 1 and source not in graph.outputs:
            tensors[source] = tensors[source].with_(qtype=found.qtype)
            ctx.note(Streamline.name, f"input '{source}' has the type of its quantizer '{node.name}'")
    return graph.with_(tensors=tensors)
