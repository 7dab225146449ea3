"""One engine per kernel kind: which cells, with which parameters, wired how. Source: docs/hardware.md, "Shape"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwcomp.backends import _verilog_bits as few
from hwcomp.backends import _verilog_elements as elements
from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends import _verilog_softmax as softmax
from hwcomp.backends import _verilog_unrolled as unrolled
from hwcomp.backends import _verilog_wiring as wiring
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized, master, pair
from hwcomp.backends._verilog_requant import constant_threshold, requant, threshold_params
from hwcomp.names import comment
from hwcomp.plan import bits, selects
from hwcomp.plan.bits import magnitude
from hwcomp.plan.folding import DEPTHWISE, STEPS
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel, Program


class Site:
    """Where an engine is built: its kernel, stage and edges, the streams that have arrived, the stream to make.

    `x`, `y` and `edge` describe lanes: where a kernel takes -1 and +1 for bits, they are integers of 2 bits.
    """

    def __init__(self, netlist: Netlist, program: Program, stage: Stage, sources: list[Nets], out: str):
        self.netlist, self.program, self.stage, self.out = netlist, program, stage, out
        self.kernel: Kernel = program.kernels[stage.kernel]
        self.x, self.y = self.edge(0), program.edges[self.kernel.outputs[0]]
        self.name = f"k{stage.kernel}"
        _section(netlist, program, stage)
        several = len(sources) > 1
        self.heads = [
            wiring.arrive(netlist, s, nets, f"{self.name}_{i}" if several else self.name)
            for i, (s, nets) in enumerate(zip(stage.sources, sources, strict=True))
        ]

        for i, head in enumerate(self.heads):
            if self.edge(i) is not program.edges[self.kernel.inputs[i]]:
                self.heads[i] = wiring.widened(netlist, head)

    def edge(self, position: int) -> Edge:
        edge = self.program.edges[self.kernel.inputs[position]]
        return bits.as_integers(edge) if self.kernel.kind not in bits.TAKE_BITS else edge

    @property
    def width(self) -> int:
        return self.stage.out.lanes * self.y.bits

    def cell(self, cell: str, source: Nets, name: str, width: int, params: dict[str, object]) -> Nets:
        return self.netlist.stage(cell, source, name, width, params)

    def windows(self) -> Nets:
        """The first source, padded, as windows."""
        p = self.kernel.params
        last = self.heads[0]
        if "pads" in p:
            last = wiring.pad(self.netlist, last, f"{self.name}_pad", self.stage, self.x.shape, self.padding())
        beats = rom.schedule(self.kernel, self.stage, self.x, self.y)
        return wiring.window(self.netlist, last, f"{self.name}_window", self.stage, beats)

    def padding(self) -> int:
        """What padding puts into a lane."""
        value = self.kernel.params["pad_value"]
        return int(value > 0) if self.x.bipolar else value

    @property
    def orders_signed(self) -> int:
        """Whether lanes are compared as signed integers."""
        return int(self.x.signed and not self.x.bipolar)

    def requant(self, sums: Nets, acc: int, out: str | None = None) -> Nets:
        """Sums of `acc` bits to the output, as many at a time as the stage says."""
        narrow = wiring.convert(self.netlist, sums, f"{self.name}_serial", self.stage.serialize, acc)
        width = self.y.bits
        return requant(
            self.netlist, self.program, self.kernel, self.stage, narrow, self.name, out or self.out, acc, width
        )


def build(netlist: Netlist, program: Program, stage: Stage, sources: list[Nets], out: str) -> Nets:
    """The engine of `stage` from `sources` to the new stream `out`, FIFOs in front."""
    kernel = program.kernels[stage.kernel]
    if bits.ahead(kernel, program.edges[kernel.inputs[0]]) and not stage.sources[0].steps:
        return _cut(netlist, program, stage, sources[0], out)
    site = Site(netlist, program, stage, sources, out)
    y = site.y
    if not y.bipolar or kernel.kind in bits.TAKE_BITS or bits.thresholds(kernel):
        return BUILDERS[kernel.kind](site)
    site.y, site.out = bits.as_integers(y), f"{site.name}_wide"
    return wiring.signs(netlist, BUILDERS[kernel.kind](site), out)


def _cut(netlist: Netlist, program: Program, stage: Stage, source: Nets, out: str) -> Nets:
    """A requantizer of few constant thresholds, and the FIFO behind it."""
    kernel = program.kernels[stage.kernel]
    x = program.edges[kernel.inputs[0]]
    _section(netlist, program, stage)
    acc = x.bits + 1 + (not x.signed)
    params = {
        "LANES": stage.out.lanes,
        "XW": x.bits,
        "X_SIGNED": int(x.signed),
        **threshold_params(program, kernel, acc),
    }
    params |= constant_threshold(kernel, acc)
    made = wiring.lanes(netlist, "hwc_cut", source, f"k{stage.kernel}_cut", stage.out.width, params)
    return wiring.fifo(netlist, made, out, stage.sources[0].depth)


def _section(netlist: Netlist, program: Program, stage: Stage) -> None:
    kernel = program.kernels[stage.kernel]
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    nodes = comment(", ".join(kernel.origin)) or "-"
    netlist.section(
        f"{kernel.name}: ONNX {nodes}", f"{list(x.shape)} -> {list(y.shape)}, {stage.beats} beats per frame"
    )


def _dot(site: Site) -> Nets:
    kernel, stage, x, y, name = site.kernel, site.stage, site.x, site.y, site.name
    fold, held, start = stage.fold, bits.weights_of(kernel, x), few.starts(kernel, x, y)
    acc, decides = start.width, bits.decides(kernel, y)
    if fold.unrolled:
        return _unrolled(site, acc, decides)
    words = rom.start_words(start.values, kernel, stage, y)
    weights, beats = few.weight_codes(kernel, stage, x, y), rom.schedule(kernel, stage, x, y)
    if beats is not None:
        group, chunk = beats.T
        weights = weights[group * fold.chunks + chunk]
    if fold.select:
        weights, index = selects.packed(weights, fold.pe, fold.select)
    kept, stored = held, fold.lanes
    if book := stage.codebook:
        weights, kept, stored = book.indices(weights), replace(held, bits=book.bits), fold.lanes // book.vector
    params: dict[str, object] = {"PE": fold.pe, "SIMD": fold.dot}
    if fold.kind == DEPTHWISE:
        params = {"LANES": fold.simd, "P": fold.taps}
    params |= {
        "XW": x.bits, "X_SIGNED": int(x.signed), "X_BIPOLAR": int(x.bipolar), "WW": held.bits, "W_KIND": held.kind, "ACC_W": acc,
        "SIGN": int(decides), "DOUBLE": int(start.double), "GROUPS": fold.groups, "CHUNKS": fold.chunks,
        "W_STYLE": bits.rom_style(kept, fold.per_pixel, stored),
        "W_FILE": site.netlist.rom(f"{name}_weight.mem", rom.hex_words(weights, kept.bits)),
        "B_FILE": site.netlist.rom(f"{name}_bias.mem", rom.hex_words(words, acc)),
    }  # fmt: skip
    if held.agree and fold.steps != STEPS:
        params["MOST"] = fold.steps
    if book:
        params |= {"CODE_W": book.bits, "VECTOR": book.vector} if book.vector > 1 else {"CODE_W": book.bits}
        params |= {"TABLE": Sized(book.table, book.width << book.bits)}
    if fold.select:
        words = rom.hex_words(index, fold.select.bits)
        params |= {"N": fold.select.n, "M": fold.select.m, "SHARE": fold.select.share}
        params |= {"I_FILE": site.netlist.rom(f"{name}_index.mem", words)}
    if beats is not None:
        last = np.append(group[1:] != group[:-1], True).astype(np.int64)[:, None]
        params |= {"BEATS": len(beats), "L_FILE": site.netlist.rom(f"{name}_last.mem", rom.hex_words(last, 1))}
    if len(start.values) > 1:
        rows, columns = start.rows * fold.groups, start.columns * fold.groups
        params |= {"ZONES": len(start.values), "ROWS": len(rows), "COLS": len(columns)}
        params |= {n: Sized(sum(int(v) << (32 * i) for i, v in enumerate(at)), 32 * len(at)) for n, at in
                   (("ROW_AT", rows), ("COL_AT", columns))}  # fmt: skip
    if (used := few.used_lanes(kernel, stage, x, y)) is not None:
        params["X_FILE"] = site.netlist.rom(f"{name}_lanes.mem", rom.hex_words(used, 1))
    cell = "hwc_dwc" if fold.kind == DEPTHWISE else "hwc_mvu"
    each = 1 if decides else acc
    last = site.cell(cell, site.windows(), f"{name}_{cell[4:]}", fold.sums * each, params)
    out = site.out if stage.order is None else f"{name}_apart"
    if decides:
        last = wiring.same(site.netlist, wiring.convert(site.netlist, last, f"{name}_serial", stage.serialize, 1), out)
    else:
        last = site.requant(last, acc, out)
    if stage.order is None:
        return last
    return wiring.reorder(site.netlist, last, name, site.out, stage.order, stage.out.lanes, y.bits)


def _unrolled(site: Site, acc: int, decides: bool) -> Nets:
    name = f"{site.netlist.prefix}_{site.name}_unrolled"
    site.netlist.modules[name] = unrolled.module(name, site.program, site.kernel, site.stage)
    last = site.cell(name, site.windows(), f"{site.name}_unrolled", site.stage.fold.pe * (1 if decides else acc), {})
    if not decides:
        return site.requant(last, acc)
    return wiring.same(
        site.netlist, wiring.convert(site.netlist, last, f"{site.name}_serial", site.stage.serialize, 1), site.out
    )


def _avgpool2d(site: Site) -> Nets:
    x, stage, p = site.x, site.stage, site.kernel.params
    acc = max(p["acc_bits"], x.bits + (not x.signed))
    arrives = stage.sources[0].arrives
    start = Sized(int(site.kernel.constants["bias"][0]), acc)
    last = site.windows()
    lanes: dict[str, object] = {"LANES": arrives.lanes}
    if stage.fold is None:
        top, left, bottom, right = p["pads"]
        pixels = (x.shape[1] + top + bottom) * (x.shape[2] + left + right)
        params = {
            **lanes, "EW": x.bits, "IS_SIGNED": int(x.signed), "ACC_W": acc, "PIXELS": pixels,
            "G": arrives.beats_per_pixel, "START": start,
        }  # fmt: skip
        return site.requant(site.cell("hwc_accpool", last, f"{site.name}_sum", arrives.lanes * acc, params), acc)
    params = {
        **lanes, "P": stage.fold.taps, "XW": x.bits, "X_SIGNED": int(x.signed), "ACC_W": acc,
        "TAPS": p["kernel"][0] * p["kernel"][1], "START": start,
    }  # fmt: skip
    return site.requant(site.cell("hwc_sumpool", last, f"{site.name}_sum", arrives.lanes * acc, params), acc)


def _requantize(site: Site) -> Nets:
    x, lanes, head = site.x, site.stage.out.lanes, site.heads[0]
    acc = x.bits + 1 + (not x.signed)
    wide = wiring.extended(site.netlist, head, f"{site.name}_extended", lanes, acc, x.signed)
    return site.requant(wide, acc)


def _maxpool2d(site: Site) -> Nets:
    """A dilated pool gets the taps of each window one after another: a row of them is pooled into one."""
    x, p, arrives = site.x, site.kernel.params, site.stage.sources[0].arrives
    last = site.windows()
    params: dict[str, object] = {"LANES": arrives.lanes, "EW": x.bits, "IS_SIGNED": site.orders_signed}
    if site.stage.window:
        taps = p["kernel"][0] * p["kernel"][1]
        params |= {"HP": 1, "WP": taps, "G": 1, "KH": 1, "KW": taps, "SH": 1, "SW": taps}
    else:
        top, left, bottom, right = p["pads"]
        params |= {
            "HP": x.shape[1] + top + bottom, "WP": x.shape[2] + left + right, "G": arrives.beats_per_pixel,
            "KH": p["kernel"][0], "KW": p["kernel"][1], "SH": p["strides"][0], "SW": p["strides"][1],
        }  # fmt: skip
    return site.cell("hwc_maxpool", last, site.out, site.width, params)


def _add(site: Site) -> Nets:
    b, rq = site.edge(1), site.kernel.params["requantize"]
    multiplier, offset = site.kernel.constants["multiplier"], site.kernel.constants["offset"]
    kw = max(magnitude(offset) + 1, 2)
    params = {
        "LANES": site.stage.out.lanes, "A_W": site.x.bits, "A_SIGNED": int(site.x.signed), "B_W": b.bits,
        "B_SIGNED": int(b.signed), "MW": max(magnitude(multiplier) + 1, 2), "MA": int(multiplier[0]),
        "MB": int(multiplier[1]), "KW": kw, "K": Sized(int(offset[0]), kw), "SHIFT": rq["shift"],
        "FORM": int(rq["form"] == "affine"), "ZERO": rq["zero"] if rq["form"] == "rne" else 0, "LO": rq["lo"],
        "HI": rq["hi"], "OUT_W": site.y.bits,
    }  # fmt: skip
    return pair(site.netlist, "hwc_add", params, site.heads, site.out, site.width)


def _concat(site: Site) -> Nets:
    turns, width = site.stage.turns, site.width
    beats = Sized(sum(t << (32 * i) for i, t in enumerate(turns)), 32 * len(turns))
    made = site.netlist.nets(site.out, width)
    ports = {
        "s_valid_i": wiring.packed(site.heads, "valid"), "s_ready_o": wiring.packed(site.heads, "ready"),
        "s_data_i": wiring.packed(site.heads, "data"), **master(made),
    }  # fmt: skip
    site.netlist.instance("hwc_concat", site.out, {"W": width, "N": len(turns), "BEATS": beats}, ports)
    return made


def _slice(site: Site) -> Nets:
    beats, first, last = site.stage.turns
    params = {"W": site.width, "BEATS": beats, "FIRST": first, "LAST": last}
    return site.cell("hwc_slice", site.heads[0], site.out, site.width, params)


def _pad(site: Site) -> Nets:
    stage = site.stage
    if stage.pads is None:
        return wiring.same(site.netlist, site.heads[0], site.out)
    return wiring.pad(site.netlist, site.heads[0], site.out, stage, site.x.shape, site.padding())


def _reorder(site: Site) -> Nets:
    return wiring.same(site.netlist, site.heads[0], site.out)


def _repeat(site: Site) -> Nets:
    return wiring.window(site.netlist, site.heads[0], site.out, site.stage)


def _shuffle(site: Site) -> Nets:
    stage = site.stage
    return wiring.reorder(site.netlist, site.heads[0], site.name, site.out, stage.order, stage.out.lanes, site.y.bits)


def _argmax(site: Site) -> Nets:
    arrives = site.stage.sources[0].arrives
    params = {
        "LANES": arrives.lanes, "EW": site.x.bits, "IS_SIGNED": site.orders_signed, "C": arrives.channels,
        "G": arrives.beats_per_pixel, "IW": site.y.bits,
    }  # fmt: skip
    return site.cell("hwc_argmax", site.heads[0], site.out, site.width, params)


def _softmax(site: Site) -> Nets:
    return softmax.engine(site.netlist, site.program, site.kernel, site.heads[0], site.name, site.out)


BUILDERS: dict[str, Callable[[Site], Nets]] = {
    "add": _add, "argmax": _argmax, "avgpool2d": _avgpool2d, "concat": _concat, "conv2d": _dot, "dense": _dot,
    "lut": elements.lut, "maxpool2d": _maxpool2d, "mul": elements.mul, "pad": _pad, "reorder": _reorder,
    "repeat": _repeat, "requantize": _requantize, "shuffle": _shuffle, "slice": _slice, "softmax": _softmax,
}  # fmt: skip
