"""The requantizers behind an engine: parameters of hwc_requant, constants in the order in which results come."""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized
from hwcomp.plan.bits import magnitude, thresholds
from hwcomp.plan.lanes import row_sequence
from hwcomp.plan.stages import Stage
from sw_ref.program import Kernel, Program


def requant(
    netlist: Netlist,
    program: Program,
    kernel: Kernel,
    stage: Stage,
    source: Nets,
    name: str,
    out: str,
    acc: int,
    bits: int,
) -> Nets:
    """Accumulators of `acc` bits in `stage.out.lanes` lanes to the output's integers of `bits`."""
    if thresholds(kernel):
        return _threshold(netlist, program, kernel, stage, source, name, out, acc)
    rq, m = kernel.params["requantize"], kernel.constants["multiplier"]
    lanes = stage.out.lanes
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


def _threshold(
    netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, source: Nets, name: str, out: str, acc: int
) -> Nets:
    """The same by thresholds. One that no accumulator of `acc` bits can tell from another is cut to that width."""
    lanes, words, slots = stage.out.lanes, threshold_words(kernel, acc), constant_slots(program, kernel, stage)
    params: dict[str, object] = {"LANES": lanes, **threshold_params(program, kernel, acc)}
    if (words == words[0]).all():
        params |= {"CONST": 1, **constant_threshold(kernel, acc)}
    else:
        params |= {
            "GROUPS": len(slots),
            "T_FILE": netlist.rom(f"{name}_threshold.mem", _threshold_text(words, slots, acc)),
        }
    return netlist.stage("hwc_threshold", source, out, stage.out.width, params)


def threshold_params(program: Program, kernel: Kernel, acc: int) -> dict[str, object]:
    rq, y = kernel.params["requantize"], program.edges[kernel.outputs[0]]
    numbers = {} if y.bipolar else {"LO": rq["lo"], "STEP": rq["step"]}  # bits: 0 and 1
    return {"ACC_W": acc, "N": thresholds(kernel), **numbers, "OUT_W": y.bits}


def constant_threshold(kernel: Kernel, acc: int) -> dict[str, object]:
    word = threshold_words(kernel, acc)[0]
    value = sum((int(v) & ((1 << w) - 1)) << at for v, w, at in _fields(word, acc))
    return {"T": Sized(value, (len(word) - 1) * acc + 1)}


def threshold_words(kernel: Kernel, acc: int) -> np.ndarray:
    """int64 [channels or 1, thresholds + 1]: those of a channel, then 1 where its staircase falls."""
    limit = 1 << (acc - 1)
    t = np.clip(kernel.constants["threshold"].astype(np.int64), -limit, limit - 1)
    falls = kernel.constants["descending"].astype(np.int64)[:, None]
    rows = max(len(t), len(falls))
    return np.append(np.broadcast_to(t, (rows, t.shape[1])), np.broadcast_to(falls, (rows, 1)), axis=1)


def _fields(word: np.ndarray, acc: int):
    """(value, bits, place) of each part of a word."""
    for i, value in enumerate(word):
        yield value, acc if i < len(word) - 1 else 1, i * acc


def _threshold_text(words: np.ndarray, slots: np.ndarray, acc: int) -> str:
    channels = np.broadcast_to(words, (max(len(words), int(slots.max()) + 1), words.shape[1]))
    chosen = np.where(slots[..., None] >= 0, channels[slots], 0)
    thresholds_of = chosen[..., :-1, None] >> np.arange(acc) & 1
    ones = np.concatenate([thresholds_of.reshape(*slots.shape, -1), chosen[..., -1:]], axis=-1)
    return rom.hex_words(ones.reshape(len(slots), -1), 1)


def constant_slots(program: Program, kernel: Kernel, stage: Stage) -> np.ndarray:
    """int64 [words, lanes]: which constant each result takes, -1 in idle lanes; the words repeat."""
    names = ("multiplier", "offset", "threshold", "descending")
    sizes = [len(kernel.constants[c]) for c in names if c in kernel.constants]
    lanes, y = stage.out.lanes, program.edges[kernel.outputs[0]]
    if max(sizes) == 1:
        return np.zeros((1, lanes), np.int64)
    if kernel.kind in ("conv2d", "dense"):
        rows = row_sequence(kernel, stage, y)
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


def constant_bits(program: Program, kernel: Kernel, stage: Stage, acc: int) -> int:
    """Bits of ROM for the constants of the requantizers of accumulators of `acc` bits."""
    if count := thresholds(kernel):
        words = threshold_words(kernel, acc)
        return 0 if (words == words[0]).all() else constant_slots(program, kernel, stage).size * (count * acc + 1)
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
