"""The engine of Softmax: one lane, its tables in ROM."""

from __future__ import annotations

from math import prod

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends._verilog_netlist import Netlist, Nets
from hwcomp.plan.stages import Stage
from sw_ref.program import Kernel, Program


def engine(netlist: Netlist, program: Program, kernel: Kernel, source: Nets, name: str, out: str) -> Nets:
    """`source`: one value per beat, those of one sum in a row."""
    x, y, p = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]], kernel.params
    n, width, (most, coarse) = prod(x.shape[a] for a in p["axes"]), p["bits"] + 1, coarse_table(kernel, x.bits)
    params = {
        "EW": x.bits, "IS_SIGNED": int(x.signed), "N": n, "MOST": most, "SPLIT": p["split"], "TW": width,
        "SW": (n << p["bits"]).bit_length(), "F": p["fraction"], "ZERO": p["zero"], "LO": p["lo"], "HI": p["hi"],
        "OUT_W": y.bits, "EXP_FILE": netlist.rom(f"{name}_exp.mem", rom.hex_words(coarse, width)),
    }  # fmt: skip
    if p["split"]:
        fine = kernel.constants["exp_fine"][:, None]
        params["FINE_FILE"] = netlist.rom(f"{name}_fine.mem", rom.hex_words(fine, width))
    return netlist.stage("hwc_softmax", source, out, y.bits, params)


def rom_bits(kernel: Kernel) -> int:
    return sum(c.size for c in kernel.constants.values()) * (kernel.params["bits"] + 1)


def buffer_bits(kernel: Kernel, stage: Stage) -> int:
    """Of the two frame buffers of hwc_softmax."""
    return (2 * stage.out.channels + 4) * (stage.sources[0].arrives.bits + kernel.params["bits"] + 1)


def coarse_table(kernel: Kernel, bits: int) -> tuple[int, np.ndarray]:
    """The largest distance that makes a difference, and the table [entries, 1] up to it.

    It is the first distance behind the table, whose entry is 0, or the largest that x of `bits` bits can have.
    """
    split = kernel.params["split"]
    most = min(len(kernel.constants["exp"]) << split, (1 << bits) - 1)
    return most, np.append(kernel.constants["exp"], 0)[: (most >> split) + 1, None]
