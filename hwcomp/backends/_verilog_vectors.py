"""Golden samples as beats of the outer streams, for the plain testbench and for drivers."""

from __future__ import annotations

from hwcomp.backends._verilog_rom import hex_words
from hwcomp.backends.base import Product
from hwcomp.plan.stages import DataflowPlan
from sw_ref.program import Program


def memories(program: Program, plan: DataflowPlan, product: Product) -> dict[str, str]:
    """vectors/in<i>.mem and vectors/out<i>.mem: one beat of TDATA a line, all frames in a row."""
    files = {}
    for kind, ports, golden in (("in", plan.inputs, product.golden_in), ("out", plan.outputs, product.golden_out)):
        for i, port in enumerate(ports):
            beats = port.outer.codes(program.edges[port.edge], golden[port.edge])
            files[f"vectors/{kind}{i}.mem"] = hex_words(beats, port.outer.bits)
    return files
