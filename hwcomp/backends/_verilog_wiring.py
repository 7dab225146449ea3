"""How streams get from engine to engine: forks, FIFOs, lane conversions, permutations, padding, window buffers."""

from __future__ import annotations

import numpy as np

from hwcomp.backends import _verilog_rom as rom
from hwcomp.backends._verilog_netlist import Netlist, Nets, Sized, slave
from hwcomp.plan.stages import Source, Stage
from hwcomp.plan.streams import Convert, Permute


def fork(netlist: Netlist, stream: Nets, readers: int) -> list[Nets]:
    """The stream for each reader; what nobody reads is taken and thrown away."""
    if readers == 1:
        return [stream]
    section = netlist.sections[-1]
    if readers == 0:
        section.unread.append(stream)
        return []
    branches = [netlist.nets(f"{stream.name}_{i}", stream.width) for i in range(readers)]
    ports = {
        **slave(stream), "m_valid_o": packed(branches, "valid"), "m_ready_i": packed(branches, "ready"),
        "m_data_o": f"{branches[0].name}_data",
    }  # fmt: skip
    netlist.instance("hwc_fork", f"{stream.name}_fork", {"W": stream.width, "N": readers}, ports)
    section.assigns += [(f"{b.name}_data", f"{branches[0].name}_data") for b in branches[1:]]
    return branches


def packed(nets: list[Nets], part: str) -> str:
    """The same net of several streams as one bus, the first at the bottom."""
    return f"{{{', '.join(f'{n.name}_{part}' for n in reversed(nets))}}}"


def join(netlist: Netlist, source: Nets, target: Nets, *, data: bool = True) -> None:
    """Two streams that are one."""
    assigns = [(f"{target.name}_valid", f"{source.name}_valid"), (f"{source.name}_ready", f"{target.name}_ready")]
    netlist.sections[-1].assigns += assigns + ([(f"{target.name}_data", f"{source.name}_data")] if data else [])


def same(netlist: Netlist, source: Nets, name: str) -> Nets:
    """A stream under another name."""
    made = netlist.nets(name, source.width)
    join(netlist, source, made)
    return made


def widened(netlist: Netlist, source: Nets) -> Nets:
    """Lanes of one bit as integers of 2 bits, -1 and +1."""
    return lanes(netlist, "hwc_bipolar", source, f"{source.name}_wide", 2 * source.width, {"LANES": source.width})


def signs(netlist: Netlist, source: Nets, name: str) -> Nets:
    """Integers of 2 bits, -1 and +1, as lanes of one bit."""
    count = source.width // 2
    return lanes(netlist, "hwc_sign", source, name, count, {"LANES": count, "W": 2})


def lanes(netlist: Netlist, cell: str, source: Nets, name: str, width: int, params: dict[str, object]) -> Nets:
    """A combinational cell on the data of a stream."""
    made = netlist.nets(name, width)
    ports = {"data_i": f"{source.name}_data", "data_o": f"{name}_data"}
    netlist.instance(cell, name, params, ports, clocked=False)
    join(netlist, source, made, data=False)
    return made


def extended(netlist: Netlist, source: Nets, name: str, count: int, bits: int, signed: bool) -> Nets:
    """Lanes of more bits."""
    params: dict[str, object] = {"LANES": count, "IN_W": source.width // count, "OUT_W": bits, "IS_SIGNED": int(signed)}
    return lanes(netlist, "hwc_extend", source, name, count * bits, params)


def arrive(netlist: Netlist, source: Source, stream: Nets, name: str) -> Nets:
    """The FIFO and the conversions in front of an engine or port."""
    last = fifo(netlist, stream, f"{name}_fifo", 2 if source.late else source.depth)
    for i, step in enumerate(source.steps):
        at = f"{name}_{'width' if isinstance(step, Convert) else 'permute'}{i or ''}"
        if isinstance(step, Convert):
            last = convert(netlist, last, at, step, source.stream.bits)
        else:
            last = _permute(netlist, last, at, step, source.stream.bits)
    return fifo(netlist, last, f"{name}_late", source.depth) if source.late else last


def fifo(netlist: Netlist, source: Nets, name: str, depth: int) -> Nets:
    return netlist.stage("hwc_fifo", source, name, source.width, {"W": source.width, "DEPTH": depth})


def convert(netlist: Netlist, source: Nets, name: str, c: Convert | None, bits: int) -> Nets:
    if c is None:
        return source
    params = {
        "EW": bits, "LANES_I": c.lanes_in, "LANES_O": c.lanes_out, "BEATS_I": c.beats_in, "BEATS_O": c.beats_out,
        "BLOCKS": c.blocks, "LAST_I": c.last_in, "LAST_O": c.last_out,
    }  # fmt: skip
    return netlist.stage("hwc_width", source, name, c.lanes_out * bits, params)


def _permute(netlist: Netlist, source: Nets, name: str, step: Permute, bits: int) -> Nets:
    words, width = rom.order_words(step.order(), step.lanes)
    params = {
        "DW": bits, "LANES": step.lanes, "N": step.words, "MEM_FILE": netlist.rom(f"{name}.mem", rom.hex_words(words, width)),
    }  # fmt: skip
    return netlist.stage("hwc_permute", source, name, source.width, params)


def reorder(netlist: Netlist, source: Nets, name: str, out: str, order: tuple[int, ...], lanes: int, bits: int) -> Nets:
    """Channel i of every pixel is channel order[i]."""
    params: dict[str, object] = {"EW": bits, "LANES": lanes, "C": len(order)}
    if lanes == len(order):
        params["ORDER"] = Sized(sum(c << (16 * i) for i, c in enumerate(order)), 16 * lanes)
    else:
        words, width = rom.order_words(np.array(order), lanes)
        params["MEM_FILE"] = netlist.rom(f"{name}_order.mem", rom.hex_words(words, width))
    return netlist.stage("hwc_chanperm", source, out, lanes * bits, params)


def pad(netlist: Netlist, source: Nets, name: str, stage: Stage, shape: tuple[int, ...], value: int) -> Nets:
    """Padding around a map of `shape`, behind the FIFO that holds what arrives in the meantime."""
    if stage.pads is None:
        return source
    arrives = stage.sources[0].arrives
    source = fifo(netlist, source, f"{name}_fifo", stage.buffer)
    top, left, bottom, right = stage.pads
    bits = source.width // arrives.lanes
    beat = sum((value & ((1 << bits) - 1)) << (i * bits) for i in range(arrives.lanes))
    params = {
        "DW": source.width, "H": shape[1], "WD": shape[2], "G": arrives.beats // (shape[1] * shape[2]), "PT": top,
        "PL": left, "PB": bottom, "PR": right, "VALUE": Sized(beat, source.width),
    }  # fmt: skip
    return netlist.stage("hwc_pad", source, name, source.width, params)


def window(netlist: Netlist, source: Nets, name: str, stage: Stage, beats: np.ndarray | None = None) -> Nets:
    """`beats`: the schedule of an engine that leaves some out."""
    if (w := stage.window) is None:
        return source
    if w.held:
        return netlist.stage("hwc_repeat", source, name, source.width, {"W": source.width, "N": w.repeat})
    params = {
        "DW": source.width, "P": w.taps, "HP": w.rows, "WP": w.cols, "G": w.words, "KH": w.kernel[0], "KW": w.kernel[1],
        "SH": w.strides[0], "SW": w.strides[1], "DILH": w.dilations[0], "DILW": w.dilations[1], "REP": w.repeat,
        "SETS": w.sets, "DEPTH": w.depth,
    }  # fmt: skip
    if beats is not None:
        words, bits = rom.walk_words(beats, stage)
        params |= {"BEATS": len(beats), "S_FILE": netlist.rom(f"{name}_skip.mem", rom.hex_words(words, bits))}
    return netlist.stage("hwc_window", source, name, w.taps * source.width, params)
