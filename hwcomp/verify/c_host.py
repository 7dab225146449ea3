"""Engine `c`: the generated C, built for the host and called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from hwcomp.backends._c_bits import Bits, packed, unpack
from hwcomp.backends._c_text import render
from hwcomp.backends.c import ports, tap_ids
from hwcomp.errors import WorkFailed
from hwcomp.verify import cache as build_cache
from hwcomp.verify.engine import Built, Engine, Progress, RunResult
from sw_ref.program import Edge, Program

CC = "gcc"
FLAGS = ("-std=c99", "-O2", "-fPIC", "-shared")
_CHUNK = 64  # samples between two signs of progress


class CHost(Engine):
    name = "c"
    target = "mcu"

    def missing(self) -> str:
        return "" if shutil.which(CC) else f"{CC} (Debian package: gcc)"

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        program = built.program
        library = ctypes.CDLL(str(_library(built, taps)))
        samples = len(next(iter(inputs.values())))
        given = [np.ascontiguousarray(inputs[n], program.edges[n].dtype) for n in program.inputs]
        outs = [np.zeros((samples, program.edges[n].size), program.edges[n].dtype) for n in program.outputs]
        bits = packed(program)
        seen = [tapped(e, bits, samples) for e in program.edges.values()] if taps else []
        for first in range(0, samples, _CHUNK):
            count = min(_CHUNK, samples - first)
            library.harness_run(
                ctypes.c_size_t(first), ctypes.c_size_t(count), _pointers(given), _pointers(outs), _pointers(seen)
            )
            progress(count)
        values = {n: a.reshape(samples, *program.edges[n].shape) for n, a in zip(program.outputs, outs, strict=True)}
        if taps:
            carried = {n: logical(program.edges[n], a, bits.get(n)) for n, a in zip(program.edges, seen, strict=True)}
            values = carried | values
        return RunResult(values)


def tapped(edge: Edge, bits: dict[str, Bits], samples: int) -> np.ndarray:
    """Room for what a tap shows of an edge: elements [samples, size], or words of bits."""
    if edge.name in bits:
        return np.zeros((samples, bits[edge.name].bytes // 4), np.uint32)
    return np.zeros((samples, edge.size), edge.dtype)


def logical(edge: Edge, carried: np.ndarray, bits: Bits | None = None) -> np.ndarray:
    """Undo the layout: elements [samples, size] (or words of bits) as the edge carries them -> [samples, *shape]."""
    if bits is not None:
        carried = unpack(carried, bits).astype(edge.dtype)
    found = np.empty_like(carried)
    found[:, edge.layout.order()] = carried
    return found.reshape(len(carried), *edge.shape)


def sources(built: Built) -> dict[str, bytes]:
    """The C files of the product that an engine compiles, by name."""
    folder = built.dir / "src"
    names = (f"{built.name}.c", f"{built.name}.h", f"{built.name}_weights.c", f"{built.name}_weights.h")
    return {name: (folder / name).read_bytes() for name in names}


def harness(program: Program, name: str, template: str, taps: bool, **more: object) -> str:
    """The text of a harness file; `taps` gives it the bytes of every edge, by tap id."""
    ins, outs = ports(program)
    bits = packed(program)
    sizes = [tapped(program.edges[n], bits, 1).nbytes for n in tap_ids(program)] if taps else []
    return render(template, p=name, ins=[p.values for p in ins], outs=[p.values for p in outs], taps=sizes, **more)


def compile_all(command: list[str], folder: Path) -> str:
    """Run a compiler in `folder`; WorkFailed with its first complaint. Returns what it printed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines()
        overflow = [line for line in lines if "overflowed" in line or "data and stack do not fit" in line]
        if overflow:
            raise WorkFailed("the network does not fit the simulated board", why=overflow[0].split(": ", 1)[-1])
        lines = [line for line in lines if "error" in line] or lines
        why = lines[0].strip() if lines else f"exit code {done.returncode}"
        raise WorkFailed(
            f"{command[0]} does not compile the generated C", why=why, fix="report this as a fault of hwcomp"
        )
    return done.stdout


@cache
def compiler_version(cc: str) -> str:
    return subprocess.run([cc, "--version"], capture_output=True, text=True, check=False).stdout


def _library(built: Built, taps: bool) -> Path:
    files = sources(built)
    text = harness(built.program, built.name, "c/harness_host.c.j2", taps)
    key = [text, compiler_version(CC), " ".join(FLAGS), *(part for item in sorted(files.items()) for part in item)]

    def build(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "harness.c").write_text(text)
        compile_all([CC, *FLAGS, "harness.c", f"{built.name}_weights.c", "-o", "net.so"], folder)

    return build_cache.built("c", build_cache.digest(key), build) / "net.so"


def _pointers(arrays: list[np.ndarray]):
    return (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
