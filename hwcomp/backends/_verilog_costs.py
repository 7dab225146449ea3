"""What an engine takes: bits of ROM, bits of buffers, multipliers. For the report; nothing is synthesized."""

from __future__ import annotations

from dataclasses import replace

from hwcomp.backends import _verilog_bits as few
from hwcomp.backends import _verilog_softmax as softmax
from hwcomp.backends._verilog_requant import constant_bits, unit
from hwcomp.backends._verilog_rom import schedule, walk_words
from hwcomp.plan.bits import FORMS, PRODUCT, SMALL, STYLES, ahead, decides, rom_style, weights_of
from hwcomp.plan.estimate import choosing
from hwcomp.plan.folding import Fold
from hwcomp.plan.stages import OUTPUT, DataflowPlan, Source, Stage
from hwcomp.plan.streams import Permute
from sw_ref.program import Kernel, Program

_DOTS = ("conv2d", "dense")


def dot_lanes(kernel: Kernel, stage: Stage) -> int:
    """Multiply-accumulate lanes."""
    return stage.fold.lanes if stage.fold and kernel.kind in _DOTS else 0


def multipliers(program: Program, stage: Stage) -> int:
    """Hardware multipliers: lanes of dot products whose weights take one, and one per requantized lane and factor that
    is not 1."""
    kernel = program.kernels[stage.kernel]
    m = kernel.constants.get("multiplier")
    if kernel.kind in ("add", "mul"):
        return stage.out.lanes * (int((m != 1).sum()) + (kernel.kind == "mul"))
    if kernel.kind == "softmax":
        return int(kernel.params["split"] > 0)
    folded = kernel.kind in _DOTS and not stage.fold.unrolled
    lanes = dot_lanes(kernel, stage) if folded and _multiplies(program, kernel) else 0
    return lanes + (0 if m is None or unit(m) else stage.out.lanes)


def _multiplies(program: Program, kernel: Kernel) -> bool:
    """Whether a lane is a multiplier: not where one bit is masked or inverted, or a small table does."""
    x = program.edges[kernel.inputs[0]]
    held = weights_of(kernel, x)
    return held.kind == PRODUCT and not x.bipolar and x.bits + held.bits > SMALL


def weights(program: Program, stage: Stage) -> dict[str, int | str]:
    """How the weights of a dot product are held, for the report."""
    kernel, fold = program.kernels[stage.kernel], stage.fold
    if kernel.kind not in _DOTS:
        return {}
    held = weights_of(kernel, program.edges[kernel.inputs[0]])
    book, lanes = stage.codebook, fold.lanes // (stage.codebook.vector if stage.codebook else 1)
    style = rom_style(replace(held, bits=book.bits) if book else held, fold.per_pixel, lanes)
    facts = {"weight_bits": held.bits, "weight_form": FORMS[held.kind], "weight_memory": STYLES[style]}
    if book:
        what = "values" if book.vector == 1 else f"vectors of {book.vector} weights"
        taken = [fold.per_pixel * lanes * width for width in (book.bits, book.width)]
        facts["codebook"] = (
            f"{len(book.codes)} {what}: indices take {taken[0]:,} bits of ROM, weights {taken[1]:,}; tables of about "
            f"{lanes * book.luts:,} LUTs"
        )
    if fold.kept:
        whole = fold.groups * fold.chunks
        facts["zeros"] = f"{fold.per_pixel:,} of {whole:,} beats for a pixel: the weights of the others are zero"
    if fold.select:
        facts["select"] = _select(fold, program.edges[kernel.inputs[0]].bits)
    return facts


def _select(fold: Fold, bits: int) -> str:
    some = fold.select
    alike = f"the same for {some.share} outputs" if some.share > 1 else "for each output"
    return (
        f"{some.n} of every {some.m} channels, {alike}: the weights of the others are zero. {fold.lanes:,} lanes do what takes "
        f"{fold.lanes * some.m // some.n:,}, with {fold.muxes:,} multiplexers of {some.ways} inputs, about "
        f"{fold.muxes * some.luts(bits):,} LUTs, and {fold.per_pixel * fold.muxes * some.bits:,} bits of indices"
    )


def logic(program: Program, plan: DataflowPlan) -> int:
    """LUTs of multiplexers that choose channels, and of tables of codebooks."""
    found = 0
    for stage in plan.stages:
        if program.kernels[stage.kernel].kind in _DOTS and not stage.fold.unrolled:
            found += choosing([stage.fold], program.edges[program.kernels[stage.kernel].inputs[0]].bits)
            found += stage.fold.lanes // stage.codebook.vector * stage.codebook.luts if stage.codebook else 0
    return found


def skipped(program: Program, stage: Stage) -> int:
    """Weights of zero that no product is made of."""
    kernel, f = program.kernels[stage.kernel], stage.fold
    if kernel.kind not in _DOTS:
        return 0
    weight = kernel.constants["weight"]
    if f.unrolled:
        return int((weight == 0).sum())
    return round(weight.size * (1 - f.per_pixel * f.simd / (f.groups * f.chunks * f.read)))


def weight_bits(program: Program, stage: Stage) -> dict[str, int]:
    """Bits of ROM that hold weights, idle lanes included, and those that say which beats and channels they belong to."""
    kernel, f = program.kernels[stage.kernel], stage.fold
    if kernel.kind not in _DOTS or f.unrolled:
        return {"weight_rom_bits": 0, "index_rom_bits": 0}
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    book = stage.codebook
    stored = f.lanes // book.vector * book.bits if book else f.lanes * weights_of(kernel, x).bits
    index = f.per_pixel * f.muxes * f.select.bits if f.select else 0
    if f.kept:
        words, bits = walk_words(schedule(kernel, stage, x, y), stage)
        index += words.size * (bits + 1)
    return {"weight_rom_bits": f.per_pixel * stored, "index_rom_bits": index}


def rom_bits(program: Program, stage: Stage) -> int:
    """Bits of weights, biases, requantize constants and orders in ROM, idle lanes included."""
    kernel, f = program.kernels[stage.kernel], stage.fold
    bits = softmax.rom_bits(kernel) if kernel.kind == "softmax" else sum(weight_bits(program, stage).values())
    if kernel.kind in _DOTS and not f.unrolled:
        x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
        start, used = few.starts(kernel, x, y), few.used_lanes(kernel, stage, x, y)
        bits += len(start.values) * f.groups * f.sums * start.width + (0 if used is None else used.size)
    if (
        "requantize" in kernel.params
        and kernel.kind not in ("add", "mul")
        and not decides(kernel, program.edges[kernel.outputs[0]])
    ):
        bits += constant_bits(program, kernel, stage, sum_bits(program, kernel))
    if kernel.kind == "lut":
        bits += stage.out.lanes * kernel.constants["table"].size * stage.out.bits
    if stage.order and stage.out.lanes < len(stage.order):
        bits += _order_bits(len(stage.order), stage.out.lanes)
    for source in stage.sources:
        bits += sum(_order_bits(s.words * s.lanes, s.lanes) for s in source.steps if isinstance(s, Permute))
    return bits


def sum_bits(program: Program, kernel: Kernel) -> int:
    """Width of what the requantizers take."""
    x, y = program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
    if "acc_bits" in kernel.params:
        return few.starts(kernel, x, y).width if kernel.kind in _DOTS else kernel.params["acc_bits"]
    return (2 if x.bipolar else x.bits) + 1 + (not x.signed)


def source_bits(source: Source) -> int:
    """Bits of the FIFO, the registers of lane conversions and the frames of a permutation."""
    bits = source.depth * source.buffered.width + (2 * source.stream.width if source.late else 0)
    for step in source.steps:
        if isinstance(step, Permute):
            bits += step.lanes * (2 * step.words + 2) * step.lanes * source.stream.bits
        else:
            bits += step.register_lanes() * source.stream.bits
    return bits


def fifos(program: Program, plan: DataflowPlan) -> list[dict[str, str | int]]:
    """Every FIFO whose depth the plan has chosen: those of joins, and others of more than two words."""
    rows = []
    readers = plan.readers()
    for (index, position), source in plan.sources().items():
        kernel = program.kernels[index] if index != OUTPUT else None
        join = kernel is not None and len(kernel.inputs) > 1
        if not join and source.depth == 2:
            continue
        forked = len(readers[source.edge]) > 1
        why = "join" if join else "fork" if forked else "stream"
        name = kernel.name if kernel else plan.outputs[position].edge
        rows.append(_fifo_row(name, source.edge, source.depth, source.buffered.width, why))
    for s in plan.stages:
        if s.pads:
            source = s.sources[0]
            name = program.kernels[s.kernel].name
            rows.append(_fifo_row(name, source.edge, s.buffer, source.arrives.width, "padding"))
    return rows


def _fifo_row(reader: str, edge: str, words: int, width: int, why: str) -> dict[str, str | int]:
    return {"reader": reader, "stream": edge, "words": words, "word_bits": width, "bits": words * width, "why": why}


def buffer_bits(program: Program, stage: Stage) -> int:
    """Bits of FIFOs, window memory (all copies), max-pool lines, sums of frames, conversions, serializer registers."""
    kernel = program.kernels[stage.kernel]
    arrives = stage.sources[-1 if kernel.kind == "mul" else 0].arrives  # what the window buffer holds
    bits = sum(map(source_bits, stage.sources)) + stage.buffer * arrives.width
    if ahead(kernel, program.edges[kernel.inputs[0]]) and not stage.sources[0].steps:
        bits = stage.sources[0].depth * stage.out.width
    if stage.serialize:
        one = kernel.kind in _DOTS and decides(kernel, program.edges[kernel.outputs[0]])
        bits += stage.serialize.register_lanes() * (1 if one else kernel.params["acc_bits"])
    if stage.window and not stage.window.held:
        bits += stage.window.taps * stage.window.depth * arrives.width
    elif kernel.kind == "softmax":
        bits += softmax.buffer_bits(kernel, stage)
    elif kernel.kind == "maxpool2d":
        (kh, kw), (sh, sw) = kernel.params["kernel"], kernel.params["strides"]
        cols = program.edges[kernel.outputs[0]].shape[2]
        bits += (-(-kw // sw) + -(-kh // sh) * cols) * arrives.beats_per_pixel * arrives.width
    elif kernel.kind == "avgpool2d" and stage.fold is None:
        bits += arrives.beats_per_pixel * arrives.lanes * kernel.params["acc_bits"]
    if stage.order and (lanes := stage.out.lanes) < len(stage.order):
        bits += lanes * (2 * len(stage.order) // lanes + 2) * stage.out.width
    return bits


def _order_bits(elements: int, lanes: int) -> int:
    return elements * (max(1, (elements // lanes - 1).bit_length()) + (lanes - 1).bit_length())
