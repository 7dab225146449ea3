"""Weights wired in, or in the ROM of an engine: what each takes, for the report. The user decides; nothing is synthesized."""

from __future__ import annotations

from hwcomp.plan import bits, unrolled, unrolled_sums
from hwcomp.plan.stages import Stage
from sw_ref.program import Kernel, Program

_LANE, _SUM = 18, 10
"""LUTs of a lane beside its DSP48, and of a sum of two terms, about (docs/hardware.md, "Unrolled layers")."""


def facts(program: Program, stage: Stage) -> dict[str, object]:
    """{"wired": ...} of a dot product whose weights are, or could be, an adder graph: `adders` sums of two (at most, where
    they are not), about `luts` LUTs, `registers` bits between its stages, and `why`, which names the alternative."""
    kernel, fold = program.kernels[stage.kernel], stage.fold
    if unrolled.obstacle(program, kernel) is not None or unrolled.binary(program, kernel):
        return {}
    digits, weight = unrolled_sums.count_digits(kernel.constants["weight"]), kernel.constants["weight"]
    zeros = f"{(weight == 0).mean():.0%} of {weight.size:,} weights are zero, the others have {digits:,} signed digits"
    if not fold.unrolled:
        most = digits + len(weight)  # where nothing is shared
        why = (
            f"{_engine(program, kernel, fold.lanes)} take {_beats(fold.per_pixel)}, weights wired in (--unroll) one and no "
            f"multiplier; {zeros}"
        )
        return {"wired": {"unrolled": False, "adders": most, "luts": most * _SUM, "why": why}}
    graph = unrolled_sums.of(program, kernel)
    why = f"{zeros}; an engine as fast has {_engine(program, kernel, weight.size)}"
    registers = graph.register_bits()
    return {
        "wired": {"unrolled": True, "adders": len(graph.adds), "luts": graph.luts(), "registers": registers, "why": why}
    }


def _engine(program: Program, kernel: Kernel, lanes: int) -> str:
    """What `lanes` lanes of an engine take."""
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    held = bits.weights_of(kernel, x)
    if held.kind == bits.PRODUCT and not x.bipolar and x.bits + held.bits > bits.SMALL:
        return f"{lanes:,} multiplier{'s' * (lanes != 1)} and about {lanes * _LANE:,} LUTs"
    return f"{lanes:,} lane{'s' * (lanes != 1)}, about {round(lanes * bits.parts(kernel, x, y).lane):,} LUTs"


def _beats(count: int) -> str:
    return f"{count:,} beat{'s' * (count != 1)} for a pixel"
