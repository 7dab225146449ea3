"""One engine per kernel kind: which cells, with which parameters, wired how. Source: docs/hardware.md, "Shape"."""

from __future__ import annotations

from collections.abc import Callable

from hwcomp.backends import _verilog_elements as elements
from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends import _verilog_softmax as softmax
from hwcomp.backends import _verilog_wiring as wiring
from hwcomp.backends._verilog_costs import weight_bits
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized, master, pair
from hwcomp.backends._verilog_requant import magnitude, requant
from hwcomp.names import comment
from hwcomp.plan.folding import DEPTHWISE
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel, Program


class Site:
    """Where an engine is built: its kernel, stage and edges, the streams that have arrived, the stream to make."""

    def __init__(self, netlist: Netlist, program: Program, stage: Stage, sources: list[Nets], out: str):
        self.netlist, self.program, self.stage, self.out = netlist, program, stage, out
        self.kernel: Kernel = program.kernels[stage.kernel]
        self.x: Edge = program.edges[self.kernel.inputs[0]]
        self.y: Edge = program.edges[self.kernel.outputs[0]]
        self.name = f"k{stage.kernel}"
        nodes = comment(", ".join(self.kernel.origin)) or "-"
        netlist.section(
            f"{self.kernel.name}: ONNX {nodes}",
            f"{list(self.x.shape)} -> {list(self.y.shape)}, {stage.beats} beats per frame",
        )
        several = len(sources) > 1
        self.heads = [
            wiring.arrive(netlist, s, nets, f"{self.name}_{i}" if several else self.name)
            for i, (s, nets) in enumerate(zip(stage.sources, sources, strict=True))
        ]

    @property
    def width(self) -> int:
        return self.stage.out.width

    def cell(self, cell: str, source: Nets, name: str, width: int, params: dict[str, object]) -> Nets:
        return self.netlist.stage(cell, source, name, width, params)

    def windows(self) -> Nets:
        """The first source, padded, as windows."""
        p = self.kernel.params
        last = self.heads[0]
        if "pads" in p:
            last = wiring.pad(self.netlist, last, f"{self.name}_pad", self.stage, self.x.shape, p["pad_value"])
        return wiring.window(self.netlist, last, f"{self.name}_window", self.stage)

    def requant(self, sums: Nets, acc: int, out: str | None = None) -> Nets:
        """Sums of `acc` bits to the output, as many at a time as the stage says."""
        narrow = wiring.convert(self.netlist, sums, f"{self.name}_serial", self.stage.serialize, acc)
        return requant(self.netlist, self.program, self.kernel, self.stage, narrow, self.name, out or self.out, acc)


def build(netlist: Netlist, program: Program, stage: Stage, sources: list[Nets], out: str) -> Nets:
    """The engine of `stage` from `sources` to the new stream `out`, FIFOs in front."""
    site = Site(netlist, program, stage, sources, out)
    return BUILDERS[site.kernel.kind](site)


def _dot(site: Site) -> Nets:
    kernel, stage, x, y, name = site.kernel, site.stage, site.x, site.y, site.name
    fold, acc, ww = stage.fold, kernel.params["acc_bits"], weight_bits(kernel)
    taps = {
        "XW": x.bits,
        "X_SIGNED": int(x.signed),
        "WW": ww,
        "ACC_W": acc,
        "GROUPS": fold.groups,
        "CHUNKS": fold.chunks,
    }
    files = {
        "W_FILE": site.netlist.rom(f"{name}_weight.mem", rom.hex_words(rom.weight_words(kernel, stage, x, y), ww)),
        "B_FILE": site.netlist.rom(f"{name}_bias.mem", rom.hex_words(rom.bias_words(kernel, stage, y), acc)),
    }
    last = site.windows()
    if fold.kind == DEPTHWISE:
        last = site.cell(
            "hwc_dwc", last, f"{name}_dwc", fold.simd * acc, {"LANES": fold.simd, "P": fold.taps, **taps, **files}
        )
    else:
        params = {"PE": fold.pe, "SIMD": fold.taps * fold.simd, **taps, **files}
        last = site.cell("hwc_mvu", last, f"{name}_mvu", fold.pe * acc, params)
    if stage.order is None:
        return site.requant(last, acc)
    last = site.requant(last, acc, f"{name}_apart")
    return wiring.reorder(site.netlist, last, name, site.out, stage.order, stage.out.lanes, y.bits)


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
    acc = x.bits + 1
    wide = site.netlist.nets(f"{site.name}_wide", lanes * acc)
    site.netlist.instance(
        "hwc_extend", f"{site.name}_wide", {"LANES": lanes, "IN_W": x.bits, "OUT_W": acc, "IS_SIGNED": int(x.signed)},
        {"data_i": f"{head.name}_data", "data_o": f"{wide.name}_data"}, clocked=False,
    )  # fmt: skip
    wiring.join(site.netlist, head, wide, data=False)
    return site.requant(wide, acc)


def _maxpool2d(site: Site) -> Nets:
    """A dilated pool gets the taps of each window one after another: a row of them is pooled into one."""
    x, p, arrives = site.x, site.kernel.params, site.stage.sources[0].arrives
    last = site.windows()
    params: dict[str, object] = {"LANES": arrives.lanes, "EW": x.bits, "IS_SIGNED": int(x.signed)}
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
    b, rq = site.program.edges[site.kernel.inputs[1]], site.kernel.params["requantize"]
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
    value, stage = site.kernel.params["pad_value"], site.stage
    if stage.pads is None:
        return wiring.same(site.netlist, site.heads[0], site.out)
    return wiring.pad(site.netlist, site.heads[0], site.out, stage, site.x.shape, value)


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
        "LANES": arrives.lanes, "EW": site.x.bits, "IS_SIGNED": int(site.x.signed), "C": arrives.channels,
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
