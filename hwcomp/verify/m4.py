"""Engine `c:m4`: the generated C on a simulated Cortex-M4, with exact counts of instructions and stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from hwcomp.backends._c_bits import packed
from hwcomp.backends.c import tap_ids
from hwcomp.errors import WorkFailed
from hwcomp.verify import cache as build_cache
from hwcomp.verify.c_host import compile_all, compiler_version, harness, logical, sources, tapped
from hwcomp.verify.engine import Built, Engine, Progress, RunResult
from sw_ref.program import Program

CC, SIZE, QEMU = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
ARCH = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
SHIFT = 7  # an instruction takes 2^7 ns, longer than a tick of the board's timer: the count is exact
FLAGS = ("-std=c99", "-O3", "-ffunction-sections", "-fdata-sections", f"-DICOUNT_SHIFT={SHIFT}")
LINK = ("-nostartfiles", "--specs=nano.specs", "-T", "link.ld", "-Wl,--gc-sections")
MACHINE = ("-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none", "-chardev", "stdio,id=host",
           "-semihosting-config", "enable=on,target=native,chardev=host", "-icount", f"shift={SHIFT}")  # fmt: skip
TIMEOUT = 600  # seconds for a batch
_BATCH = 20
_PACKAGES = {CC: "gcc-arm-none-eabi", SIZE: "binutils-arm-none-eabi", QEMU: "qemu-system-arm"}
_BOARD = ("startup.c", "semihost.c", "semihost.h", "board.c", "board.h", "link.ld")


class CM4(Engine):
    name = "c:m4"
    target = "mcu"
    default_samples = 20

    def missing(self) -> str:
        absent = [
            f"{tool} (Debian package: {package})" for tool, package in _PACKAGES.items() if not shutil.which(tool)
        ]
        if shutil.which(CC) and not _has_newlib():
            absent.append("nano.specs of the C library (Debian package: libnewlib-arm-none-eabi)")
        return "; ".join(absent)

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        """Counts are those of the first sample, in the code without taps."""
        program, folder = built.program, _image(built, "taps" if taps else "plain")
        frames = _frames(program, inputs)
        parts: dict[str, list[np.ndarray]] = {}
        counts: list[dict[str, int]] = []
        for first in range(0, len(frames), _BATCH):
            batch = frames[first : first + _BATCH]
            values, counted = _run(built, folder, batch, taps)
            counts += counted
            for name, array in values.items():
                parts.setdefault(name, []).append(array)
            progress(len(batch))
        values = {name: np.concatenate(chunks) for name, chunks in parts.items()}
        if taps:
            folder = _image(built, "plain")
            counts = _run(built, folder, frames[:1], False)[1]
        return RunResult(values, {**counts[0], **json.loads((folder / "size.json").read_text())})


@cache
def _has_newlib() -> bool:
    found = subprocess.run([CC, "-print-file-name=nano.specs"], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()).is_absolute()


def measure(folder: Path | str | Built) -> dict[str, int]:
    """Exact figures of a compiled folder on a Cortex-M4, for one sample at the zero points of the inputs.

    `flash_bytes` and `ram_bytes` are those of NAME.c, NAME_weights.c and NAME_static.c, without the caller's structs.
    """
    built = _load(folder)
    return CM4().run(built, _at_zero(built.program), taps=False).stats


def per_kernel(folder: Path | str | Built) -> dict[str, int]:
    """Instructions of each kernel by name, within the few that looking at the counter takes."""
    built = _load(folder)
    program = built.program
    marks = _run(built, _image(built, "marks"), _frames(program, _at_zero(program)), False)[1][0]["marks"]
    ids, counts = tap_ids(program), {}
    before = max((marks[ids[n]] for n in program.inputs), default=0)
    for k in program.kernels:
        counts[k.name] = marks[ids[k.outputs[0]]] - before
        before = marks[ids[k.outputs[0]]]
    return counts


def _load(folder: Path | str | Built) -> Built:
    from hwcomp import product

    return folder if isinstance(folder, Built) else product.load(folder)


def _at_zero(program: Program) -> dict[str, np.ndarray]:
    """One sample of real zeros."""
    edges = [program.edges[n] for n in program.inputs]
    return {e.name: np.full((1, *e.shape), min(max(e.zero, e.lo), e.hi), e.dtype) for e in edges}


def _frames(program: Program, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """One input struct per sample."""
    samples = len(next(iter(inputs.values())))
    frames = np.zeros(samples, _struct([program.edges[n] for n in program.inputs]))
    for i, name in enumerate(program.inputs):
        frames[f"f{i}"] = np.asarray(inputs[name]).reshape(samples, -1)
    return frames


def _run(built: Built, folder: Path, frames: np.ndarray, taps: bool) -> tuple[dict[str, np.ndarray], list[dict]]:
    """Boot the image in `folder` on some frames -> (logical values, what it printed per frame)."""
    program = built.program
    edges = [program.edges[n] for n in program.outputs]
    with tempfile.TemporaryDirectory(prefix="hwcomp-m4-") as temporary:
        where = Path(temporary)
        frames.tofile(where / "in.bin")
        printed = _boot(folder / "image.elf", where)
        found = _read(where / "out.bin", _struct(edges), len(frames))
        values = _taps(program, where / "taps.bin", len(frames)) if taps else {}
    for i, e in enumerate(edges):
        values[e.name] = found[f"f{i}"].reshape(len(frames), *e.shape)
    return values, printed


def _struct(edges: list) -> np.dtype:
    """The C struct of one frame, as the Arm ABI lays it out."""
    return np.dtype([(f"f{i}", e.dtype, (e.size,)) for i, e in enumerate(edges)], align=True)


def _image(built: Built, mode: str) -> Path:
    """The folder with image.elf. Modes: "plain" (the product's own object files, and size.json), "taps", "marks"."""
    name = built.name
    files = sources(built) | {n: (built.dir / "src" / "baremetal" / n).read_bytes() for n in _BOARD}
    files[f"{name}_static.c"] = (built.dir / "src" / f"{name}_static.c").read_bytes()
    files["harness.c"] = _harness(built, mode).encode()
    key = [compiler_version(CC), " ".join((*ARCH, *FLAGS, *LINK)), *(p for n in sorted(files) for p in (n, files[n]))]

    def build(folder: Path) -> None:
        for n, content in files.items():
            (folder / n).write_bytes(content)
        units = ["harness", "startup", "semihost", "board", f"{name}_weights", f"{name}_static"]
        units += [name] if mode == "plain" else []  # else the harness includes it
        compile_all([CC, *ARCH, *FLAGS, "-c", *(f"{u}.c" for u in units)], folder)
        compile_all([CC, *ARCH, *LINK, *(f"{u}.o" for u in units), "-o", "image.elf"], folder)
        if mode == "plain":
            (folder / "size.json").write_text(json.dumps(_sizes(folder, name)))

    return build_cache.built("m4", build_cache.digest(key), build)


def _harness(built: Built, mode: str) -> str:
    marks = len(built.program.edges) if mode == "marks" else 0
    return harness(built.program, built.name, "c/harness_m4.c.j2", mode == "taps", marks=marks)


def _sizes(folder: Path, name: str) -> dict[str, int]:
    objects = [f"{name}.o", f"{name}_weights.o", f"{name}_static.o"]
    table = [line.split() for line in compile_all([SIZE, *objects], folder).splitlines()[1:]]
    text, data, bss = (sum(int(row[i]) for row in table) for i in range(3))
    return {
        "flash_bytes": text + data,
        "ram_bytes": data + bss,
        "weight_bytes": int(table[1][0]),
        "code_bytes": int(table[0][0]),
    }


def _boot(image: Path, where: Path) -> list[dict[str, int]]:
    """Run the image on the frames in `where`; the counts it printed, one per frame."""
    command = [QEMU, *MACHINE, "-kernel", str(image)]
    try:
        done = subprocess.run(
            command, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise WorkFailed(
            f"the simulated Cortex-M4 did not finish in {TIMEOUT} s", fix="give it fewer samples"
        ) from None
    if done.returncode:
        why = (
            "it stopped at a fault"
            if done.returncode == 3
            else (done.stderr.strip().splitlines() or ["no message"])[-1]
        )
        raise WorkFailed(f"the simulated Cortex-M4 ended with code {done.returncode}", why=why)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _read(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    found = np.fromfile(path, dtype)
    if len(found) != count:
        raise WorkFailed(f"the simulated Cortex-M4 returned {len(found)} frames of {count}")
    return found


def _taps(program: Program, path: Path, count: int) -> dict[str, np.ndarray]:
    """Every tensor, in the order in which NAME_run_arena completes them, without padding between."""
    edges = [program.edges[n] for n in (*program.inputs, *(n for k in program.kernels for n in k.outputs))]
    bits = packed(program)
    rooms = [tapped(e, bits, 1) for e in edges]
    frames = _read(path, np.dtype([(f"f{i}", room.dtype, room.shape[1:]) for i, room in enumerate(rooms)]), count)
    return {e.name: logical(e, frames[f"f{i}"], bits.get(e.name)) for i, e in enumerate(edges)}
