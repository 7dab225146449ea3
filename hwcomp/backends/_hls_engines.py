"""One engine per kernel kind: which cell functions, with which template arguments, chained how."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from hwcomp.backends import _hls_wiring as wiring
from hwcomp.backends import _verilog_bits as few
from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends._hls_design import Design, Net, element, integer
from hwcomp.backends._verilog_elements import table_words
from hwcomp.backends._verilog_requant import constant_slots, threshold_words
from hwcomp.backends._verilog_softmax import coarse_table
from hwcomp.names import comment
from hwcomp.plan import bits
from hwcomp.plan.bits import magnitude
from hwcomp.plan.folding import DEPTHWISE
from hwcomp.plan.lanes import weight_words
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel, Program


class Site:
    """Where an engine is built: its kernel, stage and edges, the streams that have arrived, the stream to make.

    `x`, `y` and `edge` describe lanes: where a kernel takes -1 and +1 for bits, they are integers of 2 bits.
    """

    def __init__(self, design: Design, program: Program, stage: Stage, sources: list[Net], out: str):
        self.design, self.program, self.stage, self.out = design, program, stage, out
        self.kernel: Kernel = program.kernels[stage.kernel]
        self.x, self.y = self.edge(0), program.edges[self.kernel.outputs[0]]
        self.name = f"k{stage.kernel}"
        nodes = comment(", ".join(self.kernel.origin)) or "-"
        design.section(f"{comment(self.kernel.name)}: ONNX {nodes}; {list(self.x.shape)} -> {list(self.y.shape)}")
        several = len(sources) > 1
        self.heads = [
            wiring.arrive(design, s, net, f"{self.name}_{i}" if several else self.name)
            for i, (s, net) in enumerate(zip(stage.sources, sources, strict=True))
        ]
        for i, net in enumerate(self.heads):
            if self.edge(i) is not program.edges[self.kernel.inputs[i]]:
                self.heads[i] = wiring.widened(design, net)

    def edge(self, position: int) -> Edge:
        edge = self.program.edges[self.kernel.inputs[position]]
        return edge if self.kernel.kind in bits.TAKE_BITS else bits.as_integers(edge)

    @property
    def element(self) -> str:
        """The C++ type of an element of the output."""
        return element(self.y)

    def made(self, name: str | None = None) -> Net:
        """The stream that the engine makes."""
        out = self.stage.out
        return self.design.net(name or self.out, self.element, out.lanes, out.beats)

    def windows(self) -> Net:
        """The first source, padded, as windows."""
        net = self.heads[0]
        if "pads" in self.kernel.params:
            net = self.padded(f"{self.name}_pad")
        return wiring.window(self.design, net, f"{self.name}_window", self.stage.window)

    def padded(self, name: str) -> Net:
        value = self.kernel.params["pad_value"]
        value = int(value > 0) if self.x.bipolar else value
        return wiring.pad(self.design, self.heads[0], name, self.stage, self.x.shape, value)

    def sums(self, lanes: int, beats: int, bits: int) -> Net:
        return self.design.net(f"{self.name}_sum", integer(bits, True), lanes, beats)

    def requantize(self, net: Net, width: int, out: str | None = None) -> Net:
        """Integers of `width` bits to the output, as many at a time as the stage says."""
        net = wiring.convert(self.design, net, f"{self.name}_serial", self.stage.serialize)
        kernel, made = self.kernel, self.made(out)
        if bits.thresholds(kernel):
            return self._thresholds(net, made, width + (kernel.kind == "requantize"))
        rq, m, offset = kernel.params["requantize"], kernel.constants["multiplier"], kernel.constants.get("offset")
        slots = constant_slots(self.program, kernel, self.stage)
        signed = bool((m < 0).any())
        mw = magnitude(m) + signed
        roms = [self.design.rom(f"{self.name}_multiplier", mw, signed, _words(m, slots))]
        head = [net.element, made.element, made.lanes, width, mw, signed]
        tail = [rq["lo"], rq["hi"], len(slots), made.beats // len(slots)]
        if rq["form"] == "rne":
            params = [*head, rq["shift"], rq["zero"], *tail]
        else:
            cw = max(magnitude(offset) + 1, 2)
            roms.append(self.design.rom(f"{self.name}_offset", cw, True, _words(offset, slots)))
            params = [*head, cw, rq["shift"], *tail]
        self.design.call("hwc_requantize", f"hwc_rescale_{rq['form']}", params, [net.name, made.name, *roms])
        return made

    def _thresholds(self, net: Net, made: Net, width: int) -> Net:
        """`width` holds one above the largest integer: a threshold that is never reached."""
        kernel, rq, count = self.kernel, self.kernel.params["requantize"], bits.thresholds(self.kernel)
        slots, words = constant_slots(self.program, kernel, self.stage), threshold_words(kernel, width)
        split = np.stack([_words(column, slots) for column in words.T], axis=-1)
        roms = [
            self.design.rom(f"{self.name}_threshold", width, True, split[..., :-1].reshape(len(slots), -1)),
            self.design.rom(f"{self.name}_down", 1, False, split[..., -1]),
        ]
        least = 0 if rq["step"] == 2 else rq["lo"]
        params = [
            net.element, made.element, made.lanes, width, count, least, len(slots), made.beats // len(slots),
        ]  # fmt: skip
        self.design.call("hwc_threshold", "hwc_threshold", params, [net.name, made.name, *roms])
        return made


def build(design: Design, program: Program, stage: Stage, sources: list[Net], out: str) -> Net:
    """The engine of `stage` from `sources` to the new stream `out`."""
    site = Site(design, program, stage, sources, out)
    kernel, y = site.kernel, site.y
    if not y.bipolar or kernel.kind in bits.TAKE_BITS or bits.thresholds(kernel):
        return BUILDERS[kernel.kind](site)
    site.y, site.out = bits.as_integers(y), f"{site.name}_wide"
    return wiring.signs(design, BUILDERS[kernel.kind](site), out)


def _words(values: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Constants in the order in which results come; zero in idle lanes."""
    wide = np.broadcast_to(values.astype(np.int64), (max(values.size, int(slots.max()) + 1),))
    return np.where(slots >= 0, wide[slots], 0)


def multiplies(program: Program, stage: Stage) -> bool:
    """Whether a dot product is one of products as multipliers give them, which alone take a codebook here."""
    kernel = program.kernels[stage.kernel]
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    return bits.weights_of(kernel, x).kind == bits.PRODUCT and not x.bipolar and not bits.decides(kernel, y)


def _dot(site: Site) -> Net:
    kernel, stage = site.kernel, site.stage
    start = few.starts(kernel, site.x, site.y)
    made = (_sums if multiplies(site.program, stage) else _few_sums)(site, start)
    if bits.decides(kernel, site.y):
        made = wiring.convert(site.design, made, f"{site.name}_serial", stage.serialize)
    else:
        made = site.requantize(made, start.width, None if stage.order is None else f"{site.name}_apart")
    return made if stage.order is None else wiring.reorder(site.design, made, site.out, stage.order)


def _sums(site: Site, start: few.Starts) -> Net:
    """Products as multipliers give them."""
    kernel, stage, fold = site.kernel, site.stage, site.stage.fold
    acc, ww, book = start.width, bits.weights_of(kernel, site.x).bits, stage.codebook
    words = weight_words(kernel, stage, site.x, site.y)
    if book:
        values = book.values - (book.values >> (ww - 1) << ww)  # codes are without a sign
        roms = [
            site.design.rom(f"{site.name}_index", book.bits, False, book.indices(words)),
            site.design.rom(f"{site.name}_value", ww, True, values),
        ]
    else:
        roms = [site.design.rom(f"{site.name}_weight", ww, True, words)]
    roms.append(site.design.rom(f"{site.name}_bias", acc, True, rom.start_words(start.values, kernel, stage, site.y)))
    net = site.windows()
    made = site.sums(fold.sums, net.beats // fold.chunks, acc)
    tail = [acc, ww, fold.groups, fold.chunks, made.beats // fold.groups]
    if fold.kind == DEPTHWISE:
        params, cell = [net.element, fold.simd, fold.taps, *tail], "hwc_depthwise"
        if book:
            params, cell = [*params, len(book.codes)], "hwc_depthwise_coded"
    else:
        params, cell = [net.element, fold.taps * fold.simd, fold.pe, *tail], "hwc_dense"
        if book:
            params, cell = [*params, len(book.codes), book.vector], "hwc_coded"
    site.design.call(cell, cell, params, [net.name, made.name, *roms])
    return made


def _few_sums(site: Site, start: few.Starts) -> Net:
    """Inputs or weights of few bits; where one threshold follows, it is in the start, and the sign is the result."""
    kernel, stage, fold, x, y = site.kernel, site.stage, site.stage.fold, site.x, site.y
    held, decides, lanes = bits.weights_of(kernel, x), bits.decides(kernel, y), fold.taps * fold.simd
    used = few.used_lanes(kernel, stage, x, y)
    words = rom.start_words(start.values, kernel, stage, y)
    places = [values[:, None] * fold.groups for values in (start.rows, start.columns)]
    design, name, place_bits = site.design, site.name, max(len(words) - 1, 1).bit_length()
    roms = [
        design.rom(f"{name}_weight", held.bits, held.kind == bits.PRODUCT, few.weight_codes(kernel, stage, x, y)),
        design.rom(f"{name}_start", start.width, True, words),
        design.rom(f"{name}_used", 1, False, np.ones((fold.chunks, lanes), np.int64) if used is None else used),
        *(design.rom(f"{name}_{n}", place_bits, False, at) for n, at in zip(("row_at", "col_at"), places, strict=True)),
    ]
    net = site.windows()
    element_ = site.element if decides else integer(start.width, True)
    made = design.net(f"{name}_sum", element_, fold.sums, net.beats // fold.chunks)
    rows, cols = map(len, places)
    count, step = (fold.taps, fold.simd) if fold.kind == DEPTHWISE else (lanes, 1)
    params = [
        net.element, made.element, lanes, fold.sums, count, step, start.width, held.kind, x.bipolar, held.bits, start.double,
        decides, fold.groups, fold.chunks, len(words), rows, cols, made.beats // (fold.groups * rows * cols),
    ]  # fmt: skip
    design.call("hwc_fewbits", "hwc_fewbits", params, [net.name, made.name, *roms])
    return made


def _avgpool2d(site: Site) -> Net:
    stage, p, start = site.stage, site.kernel.params, int(site.kernel.constants["bias"][0])
    acc = max(p["acc_bits"], site.x.bits + (not site.x.signed))
    net, arrives = site.windows(), stage.sources[0].arrives
    if stage.fold is None:
        words = arrives.beats_per_pixel
        made = site.sums(arrives.lanes, words, acc)
        params = [net.element, arrives.lanes, acc, net.beats // words, words, start]
        site.design.call("hwc_accpool", "hwc_accpool", params, [net.name, made.name])
    else:
        made = site.sums(arrives.lanes, net.beats // stage.fold.chunks, acc)
        taps = p["kernel"][0] * p["kernel"][1]
        params = [net.element, arrives.lanes, stage.fold.taps, acc, taps, start, made.beats]
        site.design.call("hwc_sumpool", "hwc_sumpool", params, [net.name, made.name])
    return site.requantize(made, acc)


def _requantize(site: Site) -> Net:
    return site.requantize(site.heads[0], site.x.bits + (not site.x.signed))


def _maxpool2d(site: Site) -> Net:
    """A dilated pool gets the taps of each window one after another: a row of them is pooled into one."""
    p, arrives, net = site.kernel.params, site.stage.sources[0].arrives, site.windows()
    if site.stage.window:
        taps = p["kernel"][0] * p["kernel"][1]
        geometry = [1, taps, 1, 1, taps, 1, taps, net.beats // taps]
    else:
        top, left, bottom, right = p["pads"]
        rows, cols = site.x.shape[1] + top + bottom, site.x.shape[2] + left + right
        geometry = [rows, cols, arrives.beats_per_pixel, *p["kernel"], *p["strides"], 1]
    made = site.made()
    site.design.call("hwc_maxpool", "hwc_maxpool", [net.element, net.lanes, *geometry], [net.name, made.name])
    return made


def _add(site: Site) -> Net:
    a, b = site.heads
    right, rq = site.edge(1), site.kernel.params["requantize"]
    multiplier, offset = site.kernel.constants["multiplier"], site.kernel.constants["offset"]
    made = site.made()
    widest = max(e.bits + (not e.signed) for e in (site.x, right))
    params = [
        a.element, b.element, made.element, made.lanes, widest, max(magnitude(multiplier) + 1, 2),
        max(magnitude(offset) + 1, 2), int(multiplier[0]), int(multiplier[1]), int(offset[0]), rq["shift"],
    ]  # fmt: skip
    params += [rq["zero"]] if rq["form"] == "rne" else []
    params += [rq["lo"], rq["hi"], made.beats]
    site.design.call("hwc_add", f"hwc_join_{rq['form']}", params, [a.name, b.name, made.name])
    return made


def _concat(site: Site) -> Net:
    """Two at a time."""
    turns, net = site.stage.turns, site.heads[0]
    rounds = site.stage.out.beats // sum(turns)
    for i in range(1, len(turns)):
        before = sum(turns[:i])
        if i == len(turns) - 1:
            made = site.made()
        else:
            made = site.design.net(f"{site.name}_with{i}", net.element, net.lanes, rounds * (before + turns[i]))
        params = [net.element, net.lanes, before, turns[i], rounds]
        site.design.call("hwc_concat", "hwc_concat", params, [net.name, site.heads[i].name, made.name])
        net = made
    return net


def _slice(site: Site) -> Net:
    beats, first, last = site.stage.turns
    net, made = site.heads[0], site.made()
    params = [net.element, net.lanes, beats, first, last, net.beats // beats]
    site.design.call("hwc_slice", "hwc_slice", params, [net.name, made.name])
    return made


def _pad(site: Site) -> Net:
    return site.padded(site.out)


def _reorder(site: Site) -> Net:
    """The stream has arrived in the new order."""
    return site.heads[0]


def _repeat(site: Site) -> Net:
    return wiring.window(site.design, site.heads[0], site.out, site.stage.window)


def _shuffle(site: Site) -> Net:
    return wiring.reorder(site.design, site.heads[0], site.out, site.stage.order)


def _argmax(site: Site) -> Net:
    net, made, arrives = site.heads[0], site.made(), site.stage.sources[0].arrives
    params = [net.element, made.element, net.lanes, arrives.channels, arrives.pixels]
    site.design.call("hwc_argmax", "hwc_argmax", params, [net.name, made.name])
    return made


def _lut(site: Site) -> Net:
    """Every lane has a table of its own to look into."""
    net, made = site.heads[0], site.made()
    words = np.repeat(table_words(site.kernel, site.x.bits)[:, None], made.lanes, axis=1)
    table = site.design.rom(f"{site.name}_table", site.y.bits, site.y.signed, words)
    params = [net.element, made.element, made.lanes, site.x.bits, made.beats]
    site.design.call("hwc_lut", "hwc_lut", params, [net.name, made.name, table])
    return made


def _mul(site: Site) -> Net:
    """A gate goes through a window buffer, which repeats it for every pixel."""
    b, p, rq = site.edge(1), site.kernel.params, site.kernel.params["requantize"]
    multiplier, offset = site.kernel.constants["multiplier"], site.kernel.constants.get("offset")
    left, made = site.heads[0], site.made()
    right = wiring.window(site.design, site.heads[1], f"{site.name}_gate", site.stage.window)
    widths = [e.bits + (not e.signed) for e in (site.x, b)]
    params = [
        left.element, right.element, made.element, made.lanes, *widths, *p["zeros"], magnitude(multiplier), int(multiplier[0]),
    ]  # fmt: skip
    if rq["form"] == "rne":
        params += [rq["shift"], rq["zero"]]
    else:
        params += [max(magnitude(offset) + 1, 2), int(offset[0]), rq["shift"]]
    params += [rq["lo"], rq["hi"], made.beats]
    site.design.call("hwc_mul", f"hwc_times_{rq['form']}", params, [left.name, right.name, made.name])
    return made


def _softmax(site: Site) -> Net:
    net, made, p = site.heads[0], site.made(), site.kernel.params
    n, width = prod(site.x.shape[a] for a in p["axes"]), p["bits"] + 1
    most, coarse = coarse_table(site.kernel, site.x.bits)
    fine = site.kernel.constants["exp_fine"][:, None] if p["split"] else coarse
    tables = [site.design.rom(f"{site.name}_exp", width, False, coarse)]
    if p["split"]:
        tables.append(site.design.rom(f"{site.name}_fine", width, False, fine))
    params = [
        net.element, made.element, site.x.bits, n, most, p["split"], width, (n << p["bits"]).bit_length(), p["fraction"],
        p["zero"], p["lo"], p["hi"], net.beats // n, len(coarse), len(fine),
    ]  # fmt: skip
    site.design.call("hwc_softmax", "hwc_softmax", params, [net.name, made.name, tables[0], tables[-1]])
    return made


BUILDERS: dict[str, Callable[[Site], Net]] = {
    "add": _add, "argmax": _argmax, "avgpool2d": _avgpool2d, "concat": _concat, "conv2d": _dot, "dense": _dot,
    "lut": _lut, "maxpool2d": _maxpool2d, "mul": _mul, "pad": _pad, "reorder": _reorder, "repeat": _repeat, "requantize": _requantize,
    "shuffle": _shuffle, "slice": _slice, "softmax": _softmax,
}  # fmt: skip
