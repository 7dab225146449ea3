"""TFC_1W1A (MNIST, 784-64-64-64-10, bits throughout) in Verilog: LUTs of Yosys synth_xilinx against the measured interval.

    python benchmarks/binary_fpga.py [--shared DIR] [--budgets N,N,...]

For each budget of lanes: whether every tensor of 20 images is equal with random stalls, the measured cycles between frames,
LUTs (distributed RAM and shift registers included), block RAMs, DSPs, and LUT x interval / XNOR-MACs. The bars: at most 3.3 at
an interval of 64 (FINN's published folding), at most 2.5 at some interval below. Ends with 1 where one is missed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import records
from yosys import block_rams_of, luts_of, synthesized

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.frontend.load import load_model
from hwcomp.options import CompileOptions
from hwcomp.verify import compare, engines

OUT = records.OUT / "binary_fpga"
MACS = 784 * 64 + 2 * 64 * 64 + 64 * 10
BUDGETS = (976, 1910, 3800)  # intervals of 64, 32 and 16 cycles


def model_and_images(shared: Path) -> tuple[Path, np.ndarray] | None:
    """The file, and float32 [256, 1, 28, 28] of the training images; None where they are not there."""
    model = shared / "models" / "qonnx" / "TFC_1W1A.onnx"
    if not model.exists():
        print(f"{model} is not there: nothing measured")
        return None
    return model, mnist(shared, 256)


def mnist(shared: Path, count: int) -> np.ndarray:
    with np.load(shared / "data" / "mnist.npz") as found:
        return found["x_train"][:count, None].astype(np.float32) / np.float32(255)


def measure(model: Path, images: np.ndarray, budget: int) -> dict[str, float]:
    folder = OUT / str(budget)
    shutil.rmtree(folder, ignore_errors=True)
    (entry,) = load_model(model).graph.inputs
    options = CompileOptions(("fpga",), calibration={entry: images}, name="net", pe_simd_budget=budget)
    built = compile_model(model, folder, options)
    stored = samples.to_stored(built.program, {entry: images[:20]})
    outcome = compare.verify(built, stored, [engines.engine("verilator")])[0]
    cells = synthesized(folder, "net_top")
    luts, interval = luts_of(cells), outcome.stats["cycles_per_frame"]
    return {
        "status": outcome.status, "interval": interval, "luts": luts,
        "rams": block_rams_of(cells), "dsps": cells.get("DSP48E1", 0),
        "ratio": luts * interval / MACS,
    }  # fmt: skip


def main() -> int:
    parser = records.arguments(__doc__)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="lanes in all")
    options = parser.parse_args()
    if (found := model_and_images(options.shared)) is None:
        return 0
    rows = []
    print(
        f"{MACS:,} XNOR-MACs\n{'lanes':>6} {'cycles':>7} {'LUT':>7} {'RAMB36':>7} {'DSP':>4} {'LUT x cycles / MAC':>19}  tensors"
    )
    for budget in map(int, options.budgets.split(",")):
        row = measure(*found, budget)
        rows.append(row)
        print(
            f"{budget:6} {row['interval']:7.1f} {row['luts']:7} {row['rams']:7.1f} {row['dsps']:4} {row['ratio']:19.2f}  {row['status']}"
        )
    bad = [r for r in rows if r["status"] != "equal" or (r["interval"] == 64 and r["ratio"] > 3.3)]
    below = [r["ratio"] for r in rows if r["interval"] < 64]
    return int(bool(bad) or (bool(below) and min(below) > 2.5))


if __name__ == "__main__":
    sys.exit(main())
