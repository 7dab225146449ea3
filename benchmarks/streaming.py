"""Cycles of the generated Verilog in Verilator: LeNet-5 and LeNet-300-100 for several lane budgets, and the accuracy.

Per budget N: lanes used, the largest engine's beats, measured steady-state cycles per frame, their ratios to the largest
engine's beats and to MACs / N, the latency of a single frame, and whether every tensor of the simulated frames was equal.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import records

OUT = records.OUT / "streaming"
NETWORKS = ("lenet5_caffe_mnist", "lenet5_caffe_mnist_dynamo", "lenet300_100_mnist")


def hwcomp(*words: object) -> tuple[str, float]:
    """Standard output of a command, and the processor seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "hwcomp.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def prepare(shared: Path) -> dict[str, Path]:
    """Calibration and test samples as the commands take them."""
    OUT.mkdir(parents=True, exist_ok=True)
    mnist = np.load(shared / "data" / "mnist.npz")
    paths = {}
    for what, split, count in (("calibration", "train", 512), ("test", "test", 10000), ("few", "test", 20)):
        images = mnist[f"x_{split}"][:count, None].astype(np.float32) / np.float32(255)
        labels = {} if what == "calibration" else {"labels": mnist[f"y_{split}"][:count].astype(np.int64)}
        paths[what] = OUT / f"{what}.npz"
        np.savez(paths[what], input=images, **labels)
    return paths


def measure(shared: Path, name: str, budget: int, data: dict[str, Path]) -> dict[str, float]:
    folder = OUT / f"{name}_{budget}"
    model = shared / "models" / "float" / f"{name}.onnx"
    _, seconds = hwcomp(
        "compile", model, "--target", "mcu,fpga", "-o", folder, "--calibration", data["calibration"],
        "--pe-simd-budget", budget, "--quiet",
    )  # fmt: skip
    outcome = json.loads(hwcomp("verify", folder, "-i", data["few"], "--engines", "verilator", "--json", "--quiet")[0])[
        0
    ]
    report = json.loads((folder / "report.json").read_text())
    stats = outcome["stats"]
    return {
        "lanes": report["targets"]["fpga"]["lanes"], "beats": stats["largest_engine_beats"],
        "cycles": stats["cycles_per_frame"], "cycles_to_beats": stats["cycles_per_frame"] / stats["largest_engine_beats"],
        "cycles_to_macs_per_lane": stats["cycles_per_frame"] * budget / report["macs"], "latency": stats["latency_cycles"],
        "compile_seconds": seconds,
    }  # fmt: skip


def main() -> int:
    parser = records.arguments(__doc__)
    parser.add_argument("--budgets", default="64,256,1024")
    options = parser.parse_args()
    if not (options.shared / "data" / "mnist.npz").exists():
        print("streaming: skipped, the MNIST networks and images are not here (see --shared)")
        return 0
    data = prepare(options.shared)
    results: dict[str, dict] = {}
    print(
        f"{'network':<28}{'N':>6}{'lanes':>7}{'beats':>9}{'cycles':>10}{'/beats':>8}{'/(MACs/N)':>11}{'latency':>9}{'compile CPU s':>15}"
    )
    for name in NETWORKS:
        for budget in map(int, options.budgets.split(",")):
            row = results[f"{name}/{budget}"] = measure(options.shared, name, budget, data)
            print(
                f"{name:<28}{budget:>6}{row['lanes']:>7}{row['beats']:>9}{row['cycles']:>10.1f}{row['cycles_to_beats']:>8.3f}"
                f"{row['cycles_to_macs_per_lane']:>11.3f}{row['latency']:>9}{row['compile_seconds']:>15.1f}"
            )
    print(f"\n{'network':<28}{'float %':>9}{'int8 %':>8}{'lost points':>13}   10,000 test images")
    for name in NETWORKS:
        folder = OUT / f"{name}_{options.budgets.split(',')[0]}"
        row = json.loads(hwcomp("eval", folder, "--data", data["test"], "--json", "--quiet")[0])
        results[name] = {k: row[k] for k in ("accuracy", "float_accuracy", "loss_points", "agreement")}
        print(f"{name:<28}{100 * row['float_accuracy']:>9.2f}{100 * row['accuracy']:>8.2f}{row['loss_points']:>13.2f}")
    records.keep(OUT.parent / "streaming.json", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
