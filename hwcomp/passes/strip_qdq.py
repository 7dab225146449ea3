"""The types that an already quantized model states are dropped (`--requantize`), before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Graph, origin_of
from hwcomp.ops._steps import Quantizer, quantizer
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import OPS, graph_pass


@graph_pass
@dataclass(frozen=True)
class StripQdq(Pass):
    """Weights keep the values that their integers stand for. Inputs and outputs that are integers keep their types.

    BipolarQuant and MultiThreshold stay: they are functions as much as types.
    """

    name: ClassVar[str] = "strip_qdq"
    kind: ClassVar[str] = "lossy"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if not ctx.requantize:
            return graph
        kept = _at_outputs(graph)
        nodes, dropped = [], 0
        for node in graph.nodes:
            if node.op == "Retype":
                why = "the model reads integers under another scale than they were made with; without them it has no meaning"
                raise UnsupportedError("--requantize of this model", node=origin_of(node), why=why)
            stated = node.op == "QuantizeLinear" and node.outputs[0] not in kept
            if stated or (node.op == "Steps" and _is_type(quantizer(node.attrs.steps))):
                node = node.with_(op="Identity", attrs=None)
                dropped += 1
            nodes.append(node)
        typed = {*graph.inputs, *kept}
        tensors = {
            name: t.with_(given=None) if t.is_constant or name in typed else t.with_(qtype=None, stored="")
            for name, t in graph.tensors.items()
        }
        ctx.note(self.name, f"{dropped} quantizers of the model are dropped")
        return graph.rebuilt(nodes, tensors)


def _is_type(step: Quantizer | None) -> bool:
    return step is not None and step.qtype.scheme != "bipolar" and not step.constants


def _at_outputs(graph: Graph) -> set[str]:
    """Tensors of integers that reach an output through operators that only move them."""
    found: set[str] = set()
    pending = [name for name in graph.outputs if graph.tensors[name].stored]
    while pending:
        name = pending.pop()
        found.add(name)
        node = graph.producer(name)
        if node is not None and OPS[node.op].ties_types:
            pending += graph.data_inputs(node)
    return found
