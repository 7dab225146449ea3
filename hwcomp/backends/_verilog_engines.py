"""One engine per kernel kind: which cells, with which parameters, wired how. Source: docs/hardware.md, "Shape"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends import _verilog_softmax as softmax
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized
from hwcomp.names import comment
from hwcomp.plan.dataflow import Stage
from hwcomp.plan.streams import Convert
from sw_ref.program import Edge, Kernel, Program


def build(netlist: Netlist, program: Program, index: int, stage: Stage, source: Nets, out: str) -> Nets:
    """The engine of kernel `index` from `source` to the new stream `out`, a FIFO in front."""
    kernel = program.kernels[index]
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    nodes = comment(", ".join(kernel.origin)) or "-"
    netlist.section(
        f"{kernel.name}: ONNX {nodes}", f"{list(x.shape)} -> {list(y.shape)}, {stage.beats} beats per frame"
    )
    name = f"k{index}"
    head = fifo(netlist, source, f"{name}_fifo")
    return BUILDERS[kernel.kind](netlist, program, kernel, stage, head, name, out)


def fifo(netlist: Netlist, source: Nets, name: str, depth: int = 2) -> Nets:
    return netlist.stage("hwc_fifo", source, name, source.width, {"W": source.width, "DEPTH": depth})


def convert(netlist: Netlist, source: Nets, name: str, c: Convert | None, bits: int) -> Nets:
    if c is None:
        return source
    params = {
        "EW": bits, "LANES_I": c.lanes_in, "LANES_O": c.lanes_out, "BEATS_I": c.beats_in, "BEATS_O": c.beats_out,
        "BLOCKS": c.blocks, "LAST_I": c.last_in, "LAST_O": c.last_out,
    }  # fmt: skip
    return netlist.stage("hwc_width", source, name, c.lanes_out * bits, params)


def _pad(
    netlist: Netlist, source: Nets, name: str, stage: Stage, shape, lanes: int, bits: int, words: int, value: int
) -> Nets:
    if stage.pads is None:
        return source
    source = fifo(netlist, source, f"{name}_fifo", stage.buffer)
    top, left, bottom, right = stage.pads
    beat = sum((value & ((1 << bits) - 1)) << (i * bits) for i in range(lanes))
    params = {
        "DW": source.width, "H": shape[1], "WD": shape[2], "G": words, "PT": top, "PL": left, "PB": bottom, "PR": right,
        "VALUE": Sized(beat, source.width),
    }  # fmt: skip
    return netlist.stage("hwc_pad", source, name, source.width, params)


def _dot(netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, head: Nets, name: str, out: str) -> Nets:
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    fold, acc, simd = stage.fold, kernel.params["acc_bits"], stage.fold.taps * stage.fold.simd
    last = convert(netlist, head, f"{name}_width", stage.convert, x.bits)
    if kernel.kind == "conv2d":
        words = -(-x.shape[0] // fold.simd)
        last = _pad(netlist, last, f"{name}_pad", stage, x.shape, fold.simd, x.bits, words, kernel.params["pad_value"])
    if (w := stage.window) is not None:
        params = {
            "DW": fold.simd * x.bits, "P": w.taps, "HP": w.rows, "WP": w.cols, "G": w.words, "KH": w.kernel[0],
            "KW": w.kernel[1], "SH": w.strides[0], "SW": w.strides[1], "DILH": w.dilations[0], "DILW": w.dilations[1],
            "REP": w.repeat, "DEPTH": w.depth,
        }  # fmt: skip
        last = netlist.stage("hwc_window", last, f"{name}_window", simd * x.bits, params)
    weights = rom.weight_words(kernel, stage, x, y)
    params = {
        "PE": fold.pe, "SIMD": simd, "XW": x.bits, "X_SIGNED": int(x.signed), "WW": _weight_bits(kernel), "ACC_W": acc,
        "GROUPS": fold.groups, "CHUNKS": fold.chunks,
        "W_FILE": netlist.rom(f"{name}_weight.mem", rom.hex_words(weights, _weight_bits(kernel))),
        "B_FILE": netlist.rom(f"{name}_bias.mem", rom.hex_words(rom.bias_words(kernel, stage, y), acc)),
    }  # fmt: skip
    last = netlist.stage("hwc_mvu", last, f"{name}_mvu", fold.pe * acc, params)
    last = convert(netlist, last, f"{name}_serial", stage.serialize, acc)
    rows = rom.carried_rows(kernel, y)
    return _requant(netlist, kernel, last, name, out, acc, stage.out.lanes, len(rows), rows, y.bits)


def _requant(
    netlist: Netlist, kernel: Kernel, source: Nets, name: str, out: str, acc: int, lanes: int, channels: int,
    rows: np.ndarray | None, bits: int,
) -> Nets:  # fmt: skip
    """Per-channel constants follow the order `rows` in which the channels pass."""
    rq, m = kernel.params["requantize"], kernel.constants["multiplier"]
    signed = bool((m < 0).any())
    one = bool((m == 1).all())
    mw = 1 if one else _bits(m) + signed
    params: dict[str, object] = {
        "LANES": lanes, "ACC_W": acc, "MW": mw, "SHIFT": rq["shift"], "FORM": int(rq["form"] == "affine"), "M_ONE": int(one),
        "M_SIGNED": int(signed), "LO": rq["lo"], "HI": rq["hi"], "OUT_W": bits, "GROUPS": -(-channels // lanes),
    }  # fmt: skip
    if rq["form"] == "affine":
        offset = kernel.constants["offset"]
        cw = max(_bits(offset) + 1, 2)
        params["CW"] = cw
        if (offset == offset[0]).all():
            params["C_CONST"] = Sized(int(offset[0]), cw)
        else:
            words = rom.channel_words(offset, channels, lanes, rows)
            params |= {"PER_CHANNEL_C": 1, "C_FILE": netlist.rom(f"{name}_offset.mem", rom.hex_words(words, cw))}
    else:
        params["ZERO"] = rq["zero"]
    if not one:
        words = rom.channel_words(m, channels, lanes, rows)
        params["M_FILE"] = netlist.rom(f"{name}_multiplier.mem", rom.hex_words(words, mw))
    return netlist.stage("hwc_requant", source, out, lanes * bits, params)


def _requantize(
    netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, head: Nets, name: str, out: str
) -> Nets:
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    acc, lanes = x.bits + 1, stage.source.lanes
    wide = netlist.nets(f"{name}_wide", lanes * acc)
    section = netlist.sections[-1]
    netlist.instance(
        "hwc_extend", f"{name}_wide", {"LANES": lanes, "IN_W": x.bits, "OUT_W": acc, "IS_SIGNED": int(x.signed)},
        {"data_i": f"{head.name}_data", "data_o": f"{wide.name}_data"}, clocked=False,
    )  # fmt: skip
    section.assigns += [(f"{wide.name}_valid", f"{head.name}_valid"), (f"{head.name}_ready", f"{wide.name}_ready")]
    return _requant(netlist, kernel, wide, name, out, acc, lanes, stage.source.channels, None, y.bits)


def _maxpool2d(
    netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, head: Nets, name: str, out: str
) -> Nets:
    x, s, p = program.edges[kernel.inputs[0]], stage.source, kernel.params
    top, left, bottom, right = p["pads"]
    last = _pad(netlist, head, f"{name}_pad", stage, x.shape, s.lanes, x.bits, s.beats_per_pixel, p["pad_value"])
    params = {
        "LANES": s.lanes, "EW": x.bits, "IS_SIGNED": int(x.signed), "HP": x.shape[1] + top + bottom,
        "WP": x.shape[2] + left + right, "G": s.beats_per_pixel, "KH": p["kernel"][0], "KW": p["kernel"][1],
        "SH": p["strides"][0], "SW": p["strides"][1],
    }  # fmt: skip
    return netlist.stage("hwc_maxpool", last, out, s.width, params)


def _argmax(netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, head: Nets, name: str, out: str) -> Nets:
    x, s = program.edges[kernel.inputs[0]], stage.source
    params = {
        "LANES": s.lanes, "EW": x.bits, "IS_SIGNED": int(x.signed), "C": s.channels, "G": s.beats_per_pixel, "IW": stage.out.bits,
    }  # fmt: skip
    return netlist.stage("hwc_argmax", head, out, stage.out.width, params)


def _softmax(netlist: Netlist, program: Program, kernel: Kernel, stage: Stage, head: Nets, name: str, out: str) -> Nets:
    head = convert(netlist, head, f"{name}_width", stage.convert, stage.source.bits)
    return softmax.engine(netlist, program, kernel, head, name, out)


def _nothing(*_: object) -> Nets:
    raise AssertionError("a reshape is an alias: it has no engine")


BUILDERS: dict[str, Callable[..., Nets]] = {
    "argmax": _argmax, "conv2d": _dot, "dense": _dot, "maxpool2d": _maxpool2d, "requantize": _requantize, "reshape": _nothing,
    "softmax": _softmax,
}  # fmt: skip


def rom_bits(kernel: Kernel, stage: Stage) -> int:
    """Bits of weights, biases and requantize constants in ROM, idle lanes included."""
    bits = softmax.rom_bits(kernel) if kernel.kind == "softmax" else 0
    if stage.fold:
        f = stage.fold
        bits += f.groups * f.chunks * f.lanes * _weight_bits(kernel) + f.groups * f.pe * kernel.params["acc_bits"]
    slots = stage.out.beats_per_pixel * stage.out.lanes
    m, offset = kernel.constants.get("multiplier"), kernel.constants.get("offset")
    if m is not None and not (m == 1).all():
        bits += slots * (_bits(m) + bool((m < 0).any()))
    if offset is not None and not (offset == offset[0]).all():
        bits += slots * max(_bits(offset) + 1, 2)
    return bits


def buffer_bits(kernel: Kernel, stage: Stage, out: Edge) -> int:
    """Bits of FIFOs, window memory (all copies), max-pool lines, lane conversion and serializer registers."""
    source = stage.source
    words = stage.fold.simd * source.bits if stage.fold else source.width
    bits = 2 * source.width + stage.buffer * words
    bits += stage.convert.register_lanes() * source.bits if stage.convert else 0
    bits += stage.serialize.register_lanes() * kernel.params["acc_bits"] if stage.serialize else 0
    if stage.window:
        bits += stage.window.taps * stage.window.depth * words
    if kernel.kind == "softmax":
        bits += softmax.buffer_bits(kernel, stage, out)
    if kernel.kind == "maxpool2d":
        (kh, kw), (sh, sw) = kernel.params["kernel"], kernel.params["strides"]
        bits += (-(-kw // sw) + -(-kh // sh) * out.shape[2]) * source.beats_per_pixel * source.width
    return bits


def multipliers(kernel: Kernel, stage: Stage) -> int:
    """Hardware multipliers: the lanes of the dot product, and one per requantized lane unless its factor is 1."""
    if kernel.kind == "softmax":
        return int(kernel.params["split"] > 0)
    m = kernel.constants.get("multiplier")
    return (stage.fold.lanes if stage.fold else 0) + (0 if m is None or (m == 1).all() else stage.out.lanes)


def _weight_bits(kernel: Kernel) -> int:
    """Width of the weights as types go: 8, or what a larger one needs."""
    return max(8, _bits(kernel.constants["weight"]) + 1)


def _bits(values: np.ndarray) -> int:
    """Bits of the largest magnitude, the sign apart."""
    lo, hi = int(values.min(initial=0)), int(values.max(initial=0))
    return max(hi.bit_length(), (~lo).bit_length() if lo < 0 else 0, 1)
