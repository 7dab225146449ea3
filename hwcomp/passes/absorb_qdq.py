"""QuantizeLinear becomes the type of the tensor in front of it: what an already quantized model states, kept verbatim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from hwcomp.graph import Editor, Graph
from hwcomp.passes.base import Pass, PassContext
from hwcomp.passes.fuse_activation import TAKES_CLAMP, intersect
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import INTEGERS, Node, QType

_ONNX_TYPE = {kind: name for name, kind in INTEGERS.items()}
_LONGEST_PATH = 64  # operators between a result and its quantizer: keeps the pass linear on absurd chains


@graph_pass
@dataclass(frozen=True)
class AbsorbQdq(Pass):
    """Through operators that only move elements, as rounding and moving commute, where nothing else reads on the way.

    A quantizer of integers of another type stays. A Clip between two tensors of one type is the output range of the
    operator in front of it.
    """

    name: ClassVar[str] = "absorb_qdq"
    kind: ClassVar[str] = "exact"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if not any(n.op in ("QuantizeLinear", "Retype") for n in graph.nodes) and not any(
            graph.tensors[n].stored for n in graph.inputs
        ):
            return graph
        work = _Absorber(_without_twins(graph))
        new = work.run()
        for node in new.nodes:
            if node.op == "QuantizeLinear":
                ctx.note(
                    self.name, f"QuantizeLinear '{node.name}' stays: it stands between two types or several readers"
                )
        return new


def _without_twins(graph: Graph) -> Graph:
    """Of quantizers that do the same to the same tensor one is left: exporters write one for each reader."""
    first: dict[tuple, str] = {}
    same: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node = node.with_(inputs=tuple(same.get(n, n) for n in node.inputs))
        if node.op == "QuantizeLinear" and node.outputs[0] not in graph.outputs:
            key = (node.inputs[0], node.attrs)
            if key in first:
                same[node.outputs[0]] = first[key]
                continue
            first[key] = node.outputs[0]
        kept.append(node)
    return graph.rebuilt(kept)


class _Absorber:
    def __init__(self, graph: Graph):
        self.graph, self.edit = graph, Editor(graph)
        self.types: dict[str, QType] = {n: graph.tensors[n].qtype for n in graph.inputs if graph.tensors[n].stored}
        self._instead: dict[str, str] = {}  # a quantizer's output -> the input of the graph that has its type now

    def run(self) -> Graph:
        for i in range(len(self.edit.nodes)):
            node = self.edit.nodes[i]
            if self._instead:
                node = node.with_(inputs=tuple(self._instead.get(n, n) for n in node.inputs))
                self.edit.put(i, node)
            if node.op == "QuantizeLinear":
                self._quantizer(i, node)
            elif node.op == "Retype":
                self.types[node.outputs[0]] = node.attrs.qtype
            elif node.op == "Clip":
                pass
            elif OPS[node.op].ties_types:
                types = {self.types.get(n) for n in node.inputs if n}
                if len(types) == 1 and None not in types:
                    self.types[node.outputs[0]] = types.pop()
        self._clamps()
        for name, qtype in self.types.items():
            if name in self.edit.tensors:
                stored = _ONNX_TYPE[qtype.bits, qtype.signed]
                self.edit.tensors[name] = self.edit.tensors[name].with_(qtype=qtype, stored=stored)
        return self.edit.done()

    def _quantizer(self, i: int, node: Node) -> None:
        x, y, qtype = node.inputs[0], node.outputs[0], node.attrs.qtype
        known = self.types.get(x)
        self.types[y] = qtype
        if known is not None and known != qtype:
            return
        path = [x] if known is not None else self._path(x, i)
        if path is None or self.edit.sole_consumer(x) != i:
            if known is not None:
                self.edit.put(i, node.with_(op="Identity", attrs=None))
            return
        producer = self.edit.producer(x)
        if producer is None:  # an input of the graph keeps its name
            if y in self.graph.outputs:
                self.edit.put(i, node.with_(op="Identity", attrs=None))
            else:
                self.edit.put(i, None)
                self._instead[y] = x
            self.types[x] = qtype
            return
        made = self.edit.nodes[producer]
        head = self.edit.producer(path[-1])
        if head is not None and not OPS[self.edit.nodes[head].op].takes_type(qtype):
            return
        self.types.update(dict.fromkeys(path, qtype))
        self.edit.put(i, None)
        self.edit.put(producer, made.with_(outputs=(y,), origin=(*made.origin, *node.origin)))

    def _path(self, x: str, reader: int) -> list[str] | None:
        """Tensors without a type from `x` back to one that is computed or an input; None where one has other readers."""
        path = []
        while len(path) < _LONGEST_PATH:
            if self.edit.sole_consumer(x) != reader or x in self.types:
                return None
            path.append(x)
            reader = self.edit.producer(x)
            if reader is None or not OPS[self.edit.nodes[reader].op].keeps_type:
                return path
            x = self.edit.nodes[reader].inputs[0]
        return None

    def _clamps(self) -> None:
        """Q(clip(x)) = clip(Q(x)) between the quantized ends, and Q changes nothing on values of its own type."""
        for i, clip in enumerate(self.edit.nodes):
            if clip is None or clip.op != "Clip":
                continue
            x, y = clip.inputs[0], clip.outputs[0]
            head = self.edit.producer(x)
            same = self.types.get(x) is not None and self.types.get(x) == self.types.get(y)
            if not same or head is None or self.edit.sole_consumer(x) != i:
                continue
            made = self.edit.nodes[head]
            if made.op in TAKES_CLAMP:
                attrs = replace(made.attrs, clamp=intersect(made.attrs.clamp, (clip.attrs.lo, clip.attrs.hi)))
                self.edit.put(i, None)
                origin = (*made.origin, *clip.origin)
                self.edit.put(head, made.with_(outputs=(y,), attrs=attrs, origin=origin))
