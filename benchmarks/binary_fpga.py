"""TFC_1W1A (MNIST, 784-64-64-64-10, bits throughout) in Verilog: LUTs of Yosys synth_xilinx against the measured interval.

    python benchmarks/binary_fpga.py [--shared DIR] [--budgets N,N,...]

For each budget of lanes: whether every tensor of 20 images is equal with random stalls, the measured cycles between frames,
LUTs (distributed RAM and shift registers included), block RAMs, DSPs, and LUT x interval / XNOR-MACs. The bars: at most 3.3 at
an interval of 64 (FINN's published folding), at most 2.5 at some interval below. Ends with 1 where one is missed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.frontend.load import load_model
from hwcomp.options import CompileOptions
from hwcomp.verify import compare, engines

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench" / "binary_fpga"
MACS = 784 * 64 + 2 * 64 * 64 + 64 * 10
BUDGETS = (976, 1910, 3800)  # intervals of 64, 32 and 16 cycles
# Logic that memories take: LUTs of each primitive.
MEMORIES = {
    "RAM16X1D": 1, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "SRL16E": 1, "SRLC32E": 1,
}  # fmt: skip
SCRIPT = """read_verilog -defer {files}
{memory}
hierarchy -check -top {top}
synth_xilinx -flatten -family xc7 -top {top}
tee -o {out} stat
"""


def synthesized(folder: Path, top: str) -> dict[str, int]:
    """Cells of the design by type."""
    rtl, out = folder / "rtl", folder / "stat.txt"
    files = " ".join((rtl / f"{top.removesuffix('_top')}.f").read_text().split())
    script = folder / "synth.ys"
    memory = f'chparam -set MEM_DIR "{rtl / "mem"}" $abstract\\{top}' if "MEM_DIR" in (rtl / f"{top}.v").read_text() else ""
    script.write_text(SCRIPT.format(files=files, memory=memory, top=top, out=out))
    subprocess.run(["yosys", "-q", "-s", script], cwd=rtl, check=True, capture_output=True)
    return {name: int(count) for name, count in re.findall(r"^\s+(\w+)\s+(\d+)$", out.read_text(), re.MULTILINE)}


def measure(model: Path, images: np.ndarray, budget: int) -> dict[str, float]:
    folder = OUT / str(budget)
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    (entry,) = load_model(model).graph.inputs
    options = CompileOptions(("fpga",), calibration={entry: images}, name="net", pe_simd_budget=budget)
    built = compile_model(model, folder, options)
    stored = samples.to_stored(built.program, {entry: images[:20]})
    outcome = compare.verify(built, stored, [engines.engine("verilator")])[0]
    cells = synthesized(folder, "net_top")
    luts = sum(n for name, n in cells.items() if re.fullmatch(r"LUT\d", name))
    luts += sum(n * cells.get(name, 0) for name, n in MEMORIES.items())
    interval = outcome.stats["cycles_per_frame"]
    return {
        "status": outcome.status, "interval": interval, "luts": luts,
        "rams": cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2, "dsps": cells.get("DSP48E1", 0),
        "ratio": luts * interval / MACS,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/ and data/")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="lanes in all")
    options = parser.parse_args()
    model = options.shared / "models" / "qonnx" / "TFC_1W1A.onnx"
    if not model.exists():
        print(f"{model} is not there: nothing measured")
        return 0
    with np.load(options.shared / "data" / "mnist.npz") as found:
        images = found["x_train"][:256, None].astype(np.float32) / np.float32(255)
    rows = []
    print(
        f"{MACS:,} XNOR-MACs\n{'lanes':>6} {'cycles':>7} {'LUT':>7} {'RAMB36':>7} {'DSP':>4} {'LUT x cycles / MAC':>19}  tensors"
    )
    for budget in map(int, options.budgets.split(",")):
        row = measure(model, images, budget)
        rows.append(row)
        print(
            f"{budget:6} {row['interval']:7.1f} {row['luts']:7} {row['rams']:7.1f} {row['dsps']:4} {row['ratio']:19.2f}  {row['status']}"
        )
    bad = [r for r in rows if r["status"] != "equal" or (r["interval"] == 64 and r["ratio"] > 3.3)]
    below = [r["ratio"] for r in rows if r["interval"] < 64]
    return int(bool(bad) or (bool(below) and min(below) > 2.5))


if __name__ == "__main__":
    sys.exit(main())
