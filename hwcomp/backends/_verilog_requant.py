"""The requantizers behind an engine: parameters of hwc_requant, constants in the order in which results come."""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized
from hwcomp.plan.stages import Stage
from sw_ref.program import Kernel, Program


def requant(
    netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, source: Nets, name: str, out: str, acc: int
) -> Nets:
    """Accumulators of `acc` bits in `stage.out.lanes` lanes to the output's integers."""
    rq, m = kernel.params["requantize"], kernel.constants["multiplier"]
    lanes, bits = stage.out.lanes, stage.out.bits
    one, signed = unit(m), bool((m < 0).any())
    slots = constant_slots(program, kernel, stage)
    mw = 1 if one else magnitude(m) + signed
    params: dict[str, object] = {
        "LANES": lanes, "ACC_W": acc, "MW": mw, "SHIFT": rq["shift"], "FORM": int(rq["form"] == "affine"), "M_ONE": int(one),
        "M_SIGNED": int(signed), "LO": rq["lo"], "HI": rq["hi"], "OUT_W": bits, "GROUPS": len(slots),
    }  # fmt: skip
    if rq["form"] == "affine":
        offset = kernel.constants["offset"]
        cw = max(magnitude(offset) + 1, 2)
        params["CW"] = cw
        if (offset == offset[0]).all():
            params["C_CONST"] = Sized(int(offset[0]), cw)
        else:
            words = rom.hex_words(_words(offset, slots), cw)
            params |= {"PER_CHANNEL_C": 1, "C_FILE": netlist.rom(f"{name}_offset.mem", words)}
    else:
        params["ZERO"] = rq["zero"]
    if not one:
        params["M_FILE"] = netlist.rom(f"{name}_multiplier.mem", rom.hex_words(_words(m, slots), mw))
    return netlist.stage("hwc_requant", source, out, lanes * bits, params)


def constant_slots(program: Program, kernel: Kernel, stage: Stage) -> np.ndarray:
    """int64 [words, lanes]: which constant each result takes, -1 in idle lanes; the words repeat."""
    sizes = [kernel.constants[c].size for c in ("multiplier", "offset") if c in kernel.constants]
    lanes, y = stage.out.lanes, program.edges[kernel.outputs[0]]
    if max(sizes) == 1:
        return np.zeros((1, lanes), np.int64)
    if kernel.kind in ("conv2d", "dense"):
        rows = rom.row_sequence(kernel, stage, y)
        padded = np.full((len(rows), -(-rows.shape[1] // lanes) * lanes), -1, np.int64)
        padded[:, : rows.shape[1]] = rows
        return padded.reshape(-1, lanes)
    logical = stage.out.slots(y)
    if kernel.kind == "avgpool2d":
        index = kernel.constants["count_class"].astype(np.int64).ravel()[logical % (y.size // y.shape[0])]
    else:
        index = logical // (y.size // y.shape[0])
    found = np.where(logical >= 0, index, -1).reshape(-1, lanes)
    period = stage.out.beats_per_pixel
    return found[:period] if (found == np.tile(found[:period], (len(found) // period, 1))).all() else found


def constant_bits(program: Program, kernel: Kernel, stage: Stage) -> int:
    """Bits of ROM for the constants of the requantizers."""
    m, offset = kernel.constants["multiplier"], kernel.constants.get("offset")
    each = 0 if unit(m) else magnitude(m) + bool((m < 0).any())
    if offset is not None and not (offset == offset[0]).all():
        each += max(magnitude(offset) + 1, 2)
    return constant_slots(program, kernel, stage).size * each if each else 0


def _words(values: np.ndarray, slots: np.ndarray) -> np.ndarray:
    values = np.broadcast_to(values.astype(np.int64), (max(values.size, int(slots.max()) + 1),))
    return np.where(slots >= 0, values[slots], 0)


def unit(multiplier: np.ndarray) -> bool:
    return bool((multiplier == 1).all())


def magnitude(values: np.ndarray) -> int:
    """Bits of the largest magnitude, the sign apart."""
    lo, hi = int(values.min(initial=0)), int(values.max(initial=0))
    return max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0, 1)
