"""Graph -> Program."""

from __future__ import annotations

from dataclasses import dataclass

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Graph
from hwcomp.lower.context import LowerContext
from hwcomp.lower.staircase import Proof
from hwcomp.registry import OPS
from sw_ref.program import Program


@dataclass(frozen=True)
class Lowered:
    """The Program, the outcome of the staircase proof per layer, and the graph with the copies that lowering inserted.

    Every kernel of the Program computes the tensor of one node of `graph`.
    """

    program: Program
    proofs: tuple[Proof, ...]
    graph: Graph


def lower(graph: Graph, profile: int = 31) -> Lowered:
    """`profile`: most bits of a requantize multiplier (16 fits one DSP block)."""
    ctx = LowerContext(graph, profile)
    for name in graph.inputs:
        qtype = ctx.qtype(name)
        ctx.add_edge(name, *qtype.limits, ctx.layout_for(name))
    for node in graph.nodes:
        OPS[node.op].lower(node, ctx)
        ctx.finish(node)
    for name in graph.outputs:
        if name in graph.inputs:
            raise UnsupportedError(f"output '{name}' is an input: there is nothing to compute")
    program = Program(graph.inputs, graph.outputs, ctx.edges, tuple(ctx.kernels))
    return Lowered(program, tuple(ctx.proofs), graph.rebuilt(ctx.nodes, ctx.tensors))
