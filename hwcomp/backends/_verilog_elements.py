"""Engines on single elements: tables, and products of two streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends import _verilog_wiring as wiring
from hwcomp.backends._verilog_netlist import Nets, Sized, pair
from hwcomp.plan.bits import magnitude
from sw_ref.program import Kernel

if TYPE_CHECKING:
    from hwcomp.backends._verilog_engines import Site


def lut(site: Site) -> Nets:
    text = rom.hex_words(table_words(site.kernel, site.x.bits)[:, None], site.y.bits)
    params = {
        "LANES": site.stage.out.lanes, "EW": site.x.bits, "OUT_W": site.y.bits,
        "MEM_FILE": site.netlist.rom(f"{site.name}_table.mem", text),
    }  # fmt: skip
    return site.cell("hwc_lut", site.heads[0], site.out, site.width, params)


def table_words(kernel: Kernel, bits: int) -> np.ndarray:
    """int64 [2^bits]: the table in the order of the bit patterns: values from 0 on, then the negative ones."""
    table, words = kernel.constants["table"].astype(np.int64), np.zeros(1 << bits, np.int64)
    words[(kernel.params["first"] + np.arange(len(table))) % (1 << bits)] = table
    return words


def mul(site: Site) -> Nets:
    """A gate goes through a window buffer, which repeats it for every pixel."""
    b, p, rq = site.edge(1), site.kernel.params, site.kernel.params["requantize"]
    multiplier, offset = site.kernel.constants["multiplier"], site.kernel.constants.get("offset", np.zeros(1, np.int64))
    mw, cw = magnitude(multiplier), max(magnitude(offset) + 1, 2)
    params = {
        "LANES": site.stage.out.lanes, "A_W": site.x.bits, "A_SIGNED": int(site.x.signed), "ZA": p["zeros"][0],
        "B_W": b.bits, "B_SIGNED": int(b.signed), "ZB": p["zeros"][1], "MW": mw, "M": Sized(int(multiplier[0]), mw), "CW": cw,
        "C": Sized(int(offset[0]), cw), "SHIFT": rq["shift"], "FORM": int(rq["form"] == "affine"),
        "ZERO": rq["zero"] if rq["form"] == "rne" else 0, "LO": rq["lo"], "HI": rq["hi"], "OUT_W": site.y.bits,
    }  # fmt: skip
    gate = wiring.window(site.netlist, site.heads[1], f"{site.name}_gate", site.stage)
    return pair(site.netlist, "hwc_mul", params, (site.heads[0], gate), site.out, site.width)
