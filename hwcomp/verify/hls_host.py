"""Engine `hls`: the generated HLS C++, built with g++ and the vendors' open headers, called through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp.backends.hls import environment
from hwcomp.errors import WorkFailed
from hwcomp.plan.stages import ALIASES
from hwcomp.plan.streams import Stream
from hwcomp.verify import cache as build_cache
from hwcomp.verify.c_host import compile_all, compiler_version
from hwcomp.verify.engine import Built, Engine, Progress, RunResult
from hwcomp.verify.hls_lint import lint

CXX = "g++"
# Measured on LeNet-5 and a MobileNetV2, both dialects: -O0 runs 7 to 17 times slower and saves at most a third of the build;
# -O2 builds up to 1.7 times as long and runs up to 1.5 times as fast.
# Without -w, which would let pass what is an error to others: a negative constant in an array of unsigned ones.
FLAGS = ("-std=c++14", "-O1", "-fPIC")
_HEADERS = {"vitis": "vivado/ap_types", "ac": "catapult/ac_types/include"}
_CHUNK = 16  # samples between two signs of progress


class HlsHost(Engine):
    name = "hls"
    target = "hls"
    default_samples = 20

    def missing(self) -> str:
        return missing()

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        program, facts = built.program, built.manifest["targets"]["hls"]
        streams = {n: Stream(**s) for n, s in facts["streams"].items()}
        alias = {k.outputs[0]: k.inputs[0] for k in program.kernels if k.kind in ALIASES}
        library = ctypes.CDLL(str(_library(built, facts)))
        total = len(next(iter(inputs.values())))
        parts: dict[str, list[np.ndarray]] = {}
        for first in range(0, total, _CHUNK):
            count = min(_CHUNK, total - first)
            feeds = [
                _packed(_outer(p), program.edges[p["name"]], inputs[p["name"]][first : first + count])
                for p in facts["inputs"]
            ]
            outs = [_room(_outer(p), count) for p in facts["outputs"]]
            seen = {n: _room(streams[n], count) for n in program.edges} if taps else {}
            watched = _pointers([seen[n] for n in program.edges]) if taps else None
            if library.hls_run(ctypes.c_int64(count), _pointers(feeds), _pointers(outs), watched):
                raise WorkFailed("a TLAST is not at the end of a frame")
            for name, kept in alias.items() if taps else ():
                seen[name] = seen[kept]
            found = {n: _unpacked(streams[n], program.edges[n], a) for n, a in seen.items()}
            for p, a in zip(facts["outputs"], outs, strict=True):
                values = _unpacked(_outer(p), program.edges[p["name"]], a)
                if taps and (values != found[p["name"]]).any():
                    raise WorkFailed(f"the stream and the port of output '{p['name']}' differ")
                found[p["name"]] = values
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
            progress(count)
        return RunResult({n: np.concatenate(parts[n]) for n in program.edges if n in parts})


def missing() -> str:
    """What is not installed, and how to get it; empty where all is there."""
    if importlib.util.find_spec("hls4ml") is None:
        return "the open ap_int and ac_int headers are not installed: pip install --no-deps hls4ml"
    return "" if shutil.which(CXX) else f"{CXX} is not installed (Debian package g++)"


def include(dialect: str) -> Path:
    """The folder of the dialect's headers inside hls4ml, which is only looked into, never imported."""
    return Path(importlib.util.find_spec("hls4ml").origin).parent / "templates" / _HEADERS[dialect]


def sources(built: Built) -> dict[str, str]:
    """The C++ files of the product that make the design, by name."""
    return {
        p.name: p.read_text(encoding="utf-8")
        for p in sorted((built.dir / "hls").glob("*"))
        if p.suffix in (".h", ".cpp")
    }


@cache
def headers_version() -> str:
    return metadata.version("hls4ml")


def compiled(files: dict[str, str], source: str, dialect: str, output: str, flags: tuple[str, ...] = FLAGS) -> Path:
    """`output`, a program or (with -shared) a library of C++ `source` and the `files` beside it; kept by their content."""
    key = [compiler_version(CXX), headers_version(), dialect, output, " ".join(flags), source]
    key += [part for item in sorted(files.items()) for part in item]

    def build(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)
        (folder / "main.cpp").write_text(source)
        compile_all([CXX, *flags, "-isystem", str(include(dialect)), "-I.", "main.cpp", "-o", output], folder)

    return build_cache.built("hls", build_cache.digest(key), build) / output


def _library(built: Built, facts: dict[str, Any]) -> Path:
    files = {n: t for n, t in sources(built).items() if n != "tb.cpp"}
    if faults := lint(files):
        raise WorkFailed(
            "the generated C++ can't be synthesized", why=faults[0], fix="report this as a fault of hwcomp"
        )
    streams = {n: Stream(**s) for n, s in facts["streams"].items()}
    text = environment().get_template("hls/harness.cpp.j2").render(
        name=built.name, top=f"{built.name}_top", inputs=facts["inputs"],
        beats=[streams[n].beats for n in built.program.edges],
        outputs=[
            {**p, "signed": str(streams[p["name"]].signed and not built.program.edges[p["name"]].bipolar).lower()}
            for p in facts["outputs"]
        ],
    )  # fmt: skip
    return compiled(files, text, facts["dialect"], "net.so", (*FLAGS, "-shared"))


def _outer(port: dict[str, Any]) -> Stream:
    return Stream(port["lanes"], port["channels"], port["pixels"], port["lane_bits"], True)


def _room(stream: Stream, count: int) -> np.ndarray:
    return np.zeros((count, stream.beats * stream.lanes), np.int64)


def _packed(stream: Stream, edge, values: np.ndarray) -> np.ndarray:
    """Logical integers [frames, *shape] -> int64 [frames, slots], zero in idle lanes."""
    return np.ascontiguousarray(stream.codes(edge, values).reshape(len(values), -1))


def _unpacked(stream: Stream, edge, values: np.ndarray) -> np.ndarray:
    """The inverse, as the edge's type and shape."""
    slots = stream.slots(edge)
    out = np.zeros((len(values), edge.size), np.int64)
    values = 2 * values - 1 if edge.bipolar else values
    out[:, slots[slots >= 0]] = values[:, slots >= 0]
    return out.reshape(len(values), *edge.shape).astype(edge.dtype)


def _pointers(arrays: list[np.ndarray]):
    return (ctypes.c_void_p * max(len(arrays), 1))(*(a.ctypes.data for a in arrays))
