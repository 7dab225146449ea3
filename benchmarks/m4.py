"""Builds bare-metal images for a Cortex-M4F and runs them in QEMU with exact instruction counts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from pathlib import Path

from hwcomp.verify.m4 import ARCH, CC, MACHINE, QEMU, SHIFT, SIZE


class ToolError(RuntimeError):
    """A tool failed; the message holds its last words."""


def call(command: list[object], cwd: Path | None = None, stdin=subprocess.DEVNULL) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{words[0]} ended with {done.returncode}:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def environment(folder: Path, *requirements: str) -> Path:
    """The interpreter of a virtual environment with these packages, made on the first call. Needs network access then."""
    python = folder / "bin" / "python"
    stamp = folder / f".installed-{'-'.join(requirements)}"
    if not stamp.exists():
        print(f"installing {' and '.join(requirements)} into {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        call([python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *requirements])
        stamp.touch()
    return python


def compile_unit(unit: Path, source: Path, flags: list[str]) -> None:
    call([CC, *ARCH, *flags, "-ffunction-sections", "-fdata-sections", "-c", source, "-o", unit])


def build(image: Path, sources: list[Path], board: Path, flags: list[str], stack_bytes: int) -> None:
    """Links `sources` (C or object files) with the board support of an hwcomp product (its folder src/baremetal)."""
    support = [board / name for name in ("startup.c", "semihost.c", "board.c")]
    link = ["-nostartfiles", "--specs=nano.specs", "-T", board / "link.ld",
            f"-Wl,--gc-sections,--defsym=__stack_size={stack_bytes}"]  # fmt: skip
    call([CC, *ARCH, *flags, f"-DICOUNT_SHIFT={SHIFT}", "-ffunction-sections", "-fdata-sections",
          f"-I{board}", *link, *support, *sources, "-lm", "-o", image])  # fmt: skip


def run(image: Path, frames: bytes, extra: tuple[str, ...] = ()) -> tuple[dict, bytes]:
    """Runs an image that reads in.bin, writes out.bin and prints one JSON object: (that object, out.bin)."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.bin").write_bytes(frames)
        text = call([QEMU, *MACHINE, *extra, "-kernel", image.resolve()], cwd=Path(folder))
        return json.loads(text), (Path(folder) / "out.bin").read_bytes()


def sizes(unit: Path) -> dict[str, int]:
    """Of an object file: flash (code, constants, initial values) and static RAM."""
    text, data, bss = (int(word) for word in call([SIZE, unit]).splitlines()[1].split()[:3])
    return {"flash_bytes": text + data, "static_ram_bytes": data + bss}


# Loads and stores: QEMU logs each translated block once and each executed block by its address.

_TRACE = re.compile(r"Trace \d+: (0x[0-9a-f]+) \[[0-9a-f]+/([0-9a-f]+)/[^\]]*\] ?(\S*)")
_CODE = re.compile(r"0x([0-9a-f]+):\s+(?:[0-9a-f]{4} ?){1,2}\s+(\S+)")
_LOADS = ("ldr", "ldm", "pop", "vldr", "vldm", "vpop")
_STORES = ("str", "stm", "push", "vstr", "vstm", "vpush")
_STOPPED = re.compile(r"Stopped execution of TB chain before (0x[0-9a-f]+)")
_BOARD = re.compile(r"(main|Reset_Handler|Fault_Handler|call|start|elapsed|board_.*|semihost_.*)(\..*)?$")


def memory_operations(image: Path, frames: bytes, only: str = "") -> dict[str, int]:
    """Executed instructions, loads and stores outside the board's own functions (one per LDM, PUSH or POP too), in those whose
    names `only` matches."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.bin").write_bytes(frames)
        pipe = Path(folder) / "trace"
        os.mkfifo(pipe)
        command = [QEMU, *MACHINE, "-d", "in_asm,exec,nochain", "-D", pipe, "-kernel", image.resolve()]
        with subprocess.Popen([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as qemu:  # fmt: skip
            totals = _count(pipe, re.compile(only))
        if qemu.returncode:
            raise ToolError(f"{QEMU} ended with {qemu.returncode}")
    return totals


def _count(pipe: Path, only: re.Pattern) -> dict[str, int]:
    fresh: dict[int, list[str]] = {}  # first address -> instructions of a block just translated
    blocks: dict[str, tuple[list[str], str]] = {}  # block -> instructions, function
    executed: Counter[str] = Counter()
    current: list[str] | None = None
    with pipe.open() as lines:
        for line in lines:
            if line.startswith("Trace"):
                block, address, function = _TRACE.match(line).groups()
                if (code := fresh.pop(int(address, 16), None)) is not None:
                    blocks[block] = (code, function)
                executed[block] += 1
            elif line.startswith("Stopped"):  # announced, but interrupted before its first instruction
                executed[_STOPPED.match(line)[1]] -= 1
            elif line.startswith("IN:"):
                current = []
            elif current is not None and (match := _CODE.match(line)):
                if not current:
                    fresh[int(match[1], 16)] = current
                current.append(match[2])
    totals = {"instructions": 0, "loads": 0, "stores": 0}
    for block, times in executed.items():
        code, function = blocks[block]
        if only.match(function) and not _BOARD.match(function):
            totals["instructions"] += times * len(code)
            totals["loads"] += times * sum(word.startswith(_LOADS) for word in code)
            totals["stores"] += times * sum(word.startswith(_STORES) for word in code)
    return totals
