"""Synthesis of Verilog products with Yosys synth_xilinx -family xc7: cells by type, and what they are of LUTs and block RAMs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Logic that memories take: LUTs of each primitive.
MEMORIES = {
    "RAM16X1D": 1, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "SRL16E": 1, "SRLC32E": 1,
}  # fmt: skip
SCRIPT = """read_verilog -defer {files}
{memory}
hierarchy -check -top {top}
synth_xilinx -flatten -family xc7 -top {top} {options}
tee -o {out} stat
"""


def luts_of(cells: dict[str, int]) -> int:
    """Those of memories, shift registers and inverters included."""
    logic = sum(n for name, n in cells.items() if re.fullmatch(r"LUT\d|INV", name))
    return logic + sum(n * cells.get(name, 0) for name, n in MEMORIES.items())


def block_rams_of(cells: dict[str, int]) -> float:
    """In RAMB36."""
    return cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2


def synthesized(folder: Path, top: str, limit: int = 0) -> dict[str, int]:
    """Cells of the design in a product's folder, by type. TimeoutExpired beyond `limit` seconds (0: none)."""
    rtl = folder / "rtl"
    files = (rtl / f"{top.removesuffix('_top')}.f").read_text().split()
    takes = "MEM_DIR" in (rtl / f"{top}.v").read_text()
    memory = f'chparam -set MEM_DIR "{rtl / "mem"}" $abstract\\{top}' if takes else ""
    return cells_of(files, top, folder, memory=memory, cwd=rtl, limit=limit)


def layer(folder: Path, index: int) -> dict[str, int]:
    """Cells of the unrolled kernel `index` of the product `net`, by itself."""
    top, rtl = f"net_k{index}_unrolled", folder / "rtl"
    shutil.copy(rtl / "net.f", rtl / f"{top}.f")
    return synthesized(folder, top)


def cells_of(
    files: Sequence[str | Path], top: str, folder: Path, *, memory: str = "", options: str = "", cwd: Path | None = None, limit: int = 0
) -> dict[str, int]:  # fmt: skip
    """Cells of the module `top` by type; the script and its result lie in `folder`. As `synthesized`."""
    script, out = folder / "synth.ys", folder / "stat.txt"
    script.write_text(SCRIPT.format(files=" ".join(map(str, files)), memory=memory, top=top, options=options, out=out))
    # `timeout` also ends what Yosys started.
    command = ["timeout", str(limit), "yosys", "-q", "-s", str(script)]
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True)
    if done.returncode == 124:
        raise subprocess.TimeoutExpired(command, limit)
    done.check_returncode()
    return {name: int(count) for name, count in re.findall(r"^\s+(\w+)\s+(\d+)$", out.read_text(), re.MULTILINE)}
