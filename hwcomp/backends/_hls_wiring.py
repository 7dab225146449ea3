"""How streams get from engine to engine: forks, lane conversions, permutations, padding, window buffers. The depth of a
stream is what the plan gives the FIFOs along it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.backends._hls_design import Design, Net, integer
from hwcomp.plan.stages import Source, Stage, Window
from hwcomp.plan.streams import Convert


def fork(design: Design, net: Net, readers: int) -> list[Net]:
    """The stream for each reader, two at a time; what nobody reads is taken and thrown away."""
    if readers == 0:
        design.call("hwc_fork", "hwc_drain", [net.type, net.beats], [net.name])
        return []
    branches: list[Net] = []
    rest = net
    for i in range(readers - 1):
        last = i == readers - 2
        pair = [
            design.net(f"{net.name}_{i}", net.element, net.lanes, net.beats),
            design.net(f"{net.name}_{i + 1}" if last else f"{net.name}_from{i + 1}", net.element, net.lanes, net.beats),
        ]
        design.call("hwc_fork", "hwc_fork", [net.type, net.beats], [rest.name, *(n.name for n in pair)])
        branches.append(pair[0])
        rest = pair[1]
    return [*branches, rest]


def arrive(design: Design, source: Source, net: Net, name: str) -> Net:
    """The stream as the engine takes it; FIFOs on the way are depths of streams."""
    net.depth += 2 if source.late else source.depth
    for i, step in enumerate(source.steps):
        if isinstance(step, Convert):
            net = convert(design, net, f"{name}_width{i}", step)
        else:
            words, lanes = np.divmod(step.order().reshape(-1, step.lanes), step.lanes)
            net = _permute(design, net, f"{name}_permute{i}", words, lanes)
        net.depth += 2
    if source.late:
        net.depth += source.depth
    return net


def widened(design: Design, net: Net) -> Net:
    """Lanes of one bit as integers of 2 bits, -1 and +1."""
    made = design.net(f"{net.name}_integers", integer(2, True), net.lanes, net.beats)
    design.call("hwc_bits", "hwc_widen", [net.element, net.lanes, net.beats], [net.name, made.name])
    return made


def signs(design: Design, net: Net, name: str) -> Net:
    """Integers, -1 and +1, as lanes of one bit."""
    made = design.net(name, integer(1, False), net.lanes, net.beats)
    design.call("hwc_bits", "hwc_signs", [net.element, net.lanes, net.beats], [net.name, name])
    return made


def convert(design: Design, net: Net, name: str, c: Convert | None) -> Net:
    if c is None:
        return net
    block_in, block_out = (c.last_in, c.last_out) if c.blocks == 1 else (c.beats_in, c.beats_out)
    rounds, rest = divmod(net.beats, (c.blocks - 1) * block_in + c.last_in)
    if rest or net.lanes != c.lanes_in:
        raise ValueError(f"{name}: {net.beats} beats of {net.lanes} lanes do not fit {c}")
    made = design.net(name, net.element, c.lanes_out, rounds * ((c.blocks - 1) * block_out + c.last_out))
    params = [net.element, c.lanes_in, c.lanes_out, block_in, block_out, c.blocks, c.last_in, c.last_out, rounds]
    design.call("hwc_convert", "hwc_convert", params, [net.name, name])
    return made


def _permute(design: Design, net: Net, name: str, words: np.ndarray, lanes: np.ndarray) -> Net:
    """Blocks of len(words) beats in another order."""
    made = design.net(name, net.element, net.lanes, net.beats)
    roms = [_indices(design, f"{name}_word", words), _indices(design, f"{name}_lane", lanes)]
    params = [net.element, net.lanes, len(words), net.beats // len(words)]
    design.call("hwc_permute", "hwc_permute", params, [net.name, name, *roms])
    return made


def reorder(design: Design, net: Net, name: str, order: tuple[int, ...]) -> Net:
    """Channel i of every pixel is channel order[i]."""
    words, lanes = np.divmod(np.array(order).reshape(-1, net.lanes), net.lanes)
    if len(words) > 1:
        return _permute(design, net, name, words, lanes)
    made = design.net(name, net.element, net.lanes, net.beats)
    rom = _indices(design, f"{name}_lane", lanes)
    design.call("hwc_shuffle", "hwc_shuffle", [net.element, net.lanes, net.beats], [net.name, name, rom])
    return made


def _indices(design: Design, name: str, values: np.ndarray) -> str:
    return design.rom(name, max(1, int(values.max()).bit_length()), False, values)


def pad(design: Design, net: Net, name: str, stage: Stage, shape: tuple[int, ...], value: int) -> Net:
    """Padding around a map of `shape`; the stream in front of it holds what arrives in the meantime."""
    if stage.pads is None:
        return net
    net.depth += stage.buffer
    _, rows, cols = shape
    top, left, bottom, right = stage.pads
    words = net.beats // (rows * cols)
    made = design.net(name, net.element, net.lanes, (top + rows + bottom) * (left + cols + right) * words)
    params = [net.element, net.lanes, rows, cols, words, top, left, bottom, right, value]
    design.call("hwc_pad", "hwc_pad", params, [net.name, name])
    return made


def window(design: Design, net: Net, name: str, w: Window | None) -> Net:
    if w is None:
        return net
    if w.held:  # a buffer of one word would stop the stream in front of it while it is read
        w = replace(w, depth=2)
    (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
    steps, beats = window_steps(w)
    made = design.net(name, net.element, w.taps * net.lanes, beats)
    params = [
        net.element, net.lanes, w.taps, w.rows, w.cols, w.words, kh, kw, sh, sw, dh, dw, w.repeat, w.sets, w.depth, steps,
    ]  # fmt: skip
    design.call("hwc_window", "hwc_window", params, [net.name, name])
    return made


def window_steps(w: Window) -> tuple[int, int]:
    """(steps, beats) of hwc_window for a frame: a word comes in at every step that has room for it, a beat of a window
    leaves at every step that has it complete."""
    (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
    span = ((kh - 1) * dh * w.cols + (kw - 1) * dw + 1) * w.words
    down, across = (w.rows - (kh - 1) * dh - 1) // sh + 1, (w.cols - (kw - 1) * dw - 1) // sw + 1
    each = -(-kh * kw // w.taps) * w.words * w.repeat
    total = w.rows * w.cols * w.words
    step = got = 0
    for y in range(down):
        for x in range(across):
            first = (y * sh * w.cols + x * sw) * w.words
            wait = max(0, first + span - got)  # nothing leaves until the window is complete
            step += wait + each
            got = min(total, first + w.depth, got + wait + each)
    return step + total - got, down * across * each
