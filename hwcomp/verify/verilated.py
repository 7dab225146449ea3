"""Engine `verilator`: the generated Verilog as a shared library, whole frames with random stalls on both sides."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwcomp.errors import WorkFailed
from hwcomp.plan.stages import ALIASES
from hwcomp.plan.streams import Stream
from hwcomp.verify import verilator_build
from hwcomp.verify.engine import Built, Engine, Progress, RunResult
from sw_ref.program import Edge

_STALL = 64  # of 256 cycles, on each side
_SEED = 0x9E3779B97F4A7C15
_STEADY_FRAMES = 6  # frames of the run without stalls that measures interval and latency
_FAILURES = {
    -1: "the design stopped moving", -2: "the design reported a frame error", -3: "a TLAST is not at the end of a frame",
}  # fmt: skip


@dataclass(frozen=True)
class _Design:
    """The loaded library and how its streams carry elements."""

    handle: ctypes.CDLL
    interface: dict[str, Any]
    taps: list[tuple[str, Stream]]
    interval: int


class Verilated(Engine):
    name = "verilator"
    target = "fpga"
    default_samples = 20

    def missing(self) -> str:
        return verilator_build.missing()

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        design = _load(built)
        values, _, _ = _simulate(built, design, inputs, taps, _STALL)
        count = len(next(iter(inputs.values())))
        progress(count)
        few = {n: a[np.arange(_STEADY_FRAMES) % count] for n, a in inputs.items()}
        steady, first, done = _simulate(built, design, few, False, 0)
        for name in built.program.outputs:
            if (steady[name] != values[name][np.arange(_STEADY_FRAMES) % count]).any():
                raise WorkFailed("the design gives other bits with other stalls", why=f"output '{name}' changed")
        settled = done[_STEADY_FRAMES // 2 :]
        stats = {
            "cycles_per_frame": float((settled[-1] - settled[0]) / (len(settled) - 1)),
            "latency_cycles": int(done[0] - first + 1),
            "largest_engine_beats": design.interval,
            "frames_with_stalls": count,
        }
        return RunResult(values, stats)


def _load(built: Built) -> _Design:
    rtl = built.dir / "rtl"
    top = f"{built.name}_top"
    names = (rtl / f"{built.name}.f").read_text(encoding="utf-8").split()
    interface = built.manifest["targets"]["fpga"]
    streams = {n: Stream(**s) for n, s in interface["streams"].items()}
    index = {n: i for i, n in enumerate(built.program.edges)}
    alias = {k.outputs[0] for k in built.program.kernels if k.kind in ALIASES}
    taps = [(n, s) for n, s in streams.items() if n not in alias]
    nets = [{"net": f"e{index[n]}", "beats": s.beats, "bytes": _bytes(s.width)} for n, s in taps]
    harness = _harness(top, interface, nets)
    public = [f"{t['net']}_{part}" for t in nets for part in ("valid", "ready", "data")]
    path = verilator_build.library([rtl / n for n in names], sorted((rtl / "mem").glob("*.mem")), top, harness, public)
    handle = ctypes.CDLL(str(path))
    handle.design_new.restype = ctypes.c_void_p
    handle.design_run.restype = ctypes.c_int64
    handle.design_delete.argtypes = [ctypes.c_void_p]
    return _Design(handle, interface, taps, interface["interval"])


def _harness(top: str, interface: dict[str, Any], taps: list[dict[str, Any]]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from hwcomp.templates_dir import templates

    env = Environment(
        loader=FileSystemLoader(templates() / "verilog"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    ports = {
        side: [{"prefix": p["prefix"], "beats": p["beats"], "tdata": p["tdata_bits"]} for p in interface[side]]
        for side in ("inputs", "outputs")
    }
    return env.get_template("harness.cpp.j2").render(top=top, taps=taps, **ports)


def _simulate(
    built: Built, design: _Design, inputs: dict[str, np.ndarray], taps: bool, stall: int
) -> tuple[dict[str, np.ndarray], int, np.ndarray]:
    """Values by edge name, the cycle of the first input beat, the cycles in which frames were complete."""
    program, streams = built.program, {n: Stream(**s) for n, s in design.interface["streams"].items()}
    count = len(next(iter(inputs.values())))
    outer = {
        side: [(p["name"], _outer(p, streams[p["name"]])) for p in design.interface[side]]
        for side in ("inputs", "outputs")
    }
    feeds = [pack(s, program.edges[n], inputs[n]) for n, s in outer["inputs"]]
    outs = [np.zeros((count * s.beats, _bytes(s.width)), np.uint8) for _, s in outer["outputs"]]
    seen = [np.zeros((count * s.beats, _bytes(s.width)), np.uint8) for _, s in design.taps] if taps else []
    first, done = ctypes.c_int64(), np.zeros(count, np.int64)
    limit = 20 * (count + 2) * (design.interval + sum(s.beats for s in streams.values())) + 100_000
    top = ctypes.c_void_p(design.handle.design_new())
    try:
        cycles = design.handle.design_run(
            top, ctypes.c_int64(count), _pointers(feeds), _pointers(outs), _pointers(seen) if taps else None,
            ctypes.c_uint64(_SEED), ctypes.c_uint32(stall), ctypes.c_uint32(stall), ctypes.c_int64(limit),
            ctypes.byref(first), done.ctypes.data_as(ctypes.c_void_p),
        )  # fmt: skip
    finally:
        design.handle.design_delete(top)
    if cycles < 0:
        raise WorkFailed(_FAILURES[cycles], why=f"{count} frames, a pause in {stall} of 256 cycles")
    ports = {n: _unpacked(built, n, s, a) for (n, s), a in zip(outer["outputs"], outs, strict=True)}
    if not taps:
        return ports, first.value, done
    beats = {n: a for (n, _), a in zip(design.taps, seen, strict=True)}
    for kernel in program.kernels:
        if kernel.kind in ALIASES:
            beats[kernel.outputs[0]] = beats[kernel.inputs[0]]
    named = {n: _unpacked(built, n, streams[n], a) for n, a in beats.items()}
    for name, values in ports.items():
        if (values != named[name]).any():
            raise WorkFailed(f"the stream and the port of output '{name}' differ")
    return {n: named[n] for n in program.edges}, first.value, done


def _unpacked(built: Built, name: str, stream: Stream, beats: np.ndarray) -> np.ndarray:
    edge = built.program.edges[name]
    return unpack(stream, stream.slots(edge), edge, beats)


def _outer(port: dict[str, Any], inner: Stream) -> Stream:
    return Stream(port["lanes"], port["channels"], port["pixels"], inner.bits, inner.signed)


def _bytes(bits: int) -> int:
    return (bits + 7) // 8


def _pointers(arrays: list[np.ndarray]):
    return (ctypes.c_void_p * max(len(arrays), 1))(*(a.ctypes.data for a in arrays))


def pack(stream: Stream, edge: Edge, values: np.ndarray) -> np.ndarray:
    """Logical integers [frames, *shape] -> uint8 [frames * beats, bytes per beat], lane 0 lowest, idle lanes zero."""
    lanes = stream.codes(edge, values)
    bits = ((lanes[:, :, None] >> np.arange(stream.bits)) & 1).astype(np.uint8).reshape(len(lanes), -1)
    return np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little"))  # of frames of one beat it is not


def unpack(stream: Stream, slots: np.ndarray, edge: Edge, beats: np.ndarray) -> np.ndarray:
    """The inverse of `pack`, as the edge's type and shape."""
    bits = np.unpackbits(beats, axis=1, bitorder="little")[:, : stream.width]
    lanes = bits.reshape(-1, stream.lanes, stream.bits).astype(np.int64)
    values = (lanes << np.arange(stream.bits)).sum(axis=2)
    if edge.bipolar:
        values = 2 * values - 1
    elif stream.signed:
        values -= (lanes[:, :, -1] << stream.bits).astype(np.int64)
    frames = values.reshape(-1, len(slots))
    out = np.zeros((len(frames), edge.size), np.int64)
    out[:, slots[slots >= 0]] = frames[:, slots >= 0]
    return out.reshape(len(frames), *edge.shape).astype(edge.dtype)
