"""Post-training schemes of few bits on three networks: accuracy, bits, bytes, instructions and LUTs of the products.

    python benchmarks/post_training.py [--only NAME] [--quant SCHEME] [--lut]

Whole test sets on the C product (engine `c`, equal to the reference bit by bit); scales, rounding and the choice of `auto` see
unlabelled training images only. Weight bytes and instructions are those of the Cortex-M4 image (QEMU, exact); `--lut` adds
Yosys synth_xilinx of the Verilog product where the fpga target takes it. Writes docs/few-bits.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import accuracy
import numpy as np
from accuracy import ROOT, Network, networks, run_float_model

import hwcomp
from hwcomp import samples
from hwcomp.errors import HwcompError
from hwcomp.verify import engines, m4
from hwcomp.verify.evaluate import decisions

NETWORKS = ("lenet300_100_mnist", "lenet5_caffe_mnist", "resnet8_fused_fashion")
SCHEMES = ("int8", "int4", "int2", "ternary", "binary-weights", "binary", "auto")
BARS = {"lenet300_100_mnist": 3.0, "lenet5_caffe_mnist": 3.0, "resnet8_fused_fashion": 5.0}  # bits of auto at most
LOST = 0.3  # points that auto may lose
SYNTHESIS = 1800  # seconds
FLOAT = 4  # bytes of a weight
accuracy.CALIBRATION = 4096
MEMO = ROOT / "build" / "bench" / "post_training.json"


def measure(network: Network, quant: str, lut: bool) -> dict:
    calibration, x, labels = network.load()
    import onnxruntime

    name = onnxruntime.InferenceSession(network.model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    calibration, x = ({name: a.astype(np.float32)} for a in (calibration, x))
    theirs, start = decisions(run_float_model(network, x), False), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        built = hwcomp.compile(
            network.model, Path(folder) / "out", target="mcu", quant=quant, logits=True, calibration=calibration
        )
        seconds = time.monotonic() - start
        values = engines.engine("c").run(built, samples.to_stored(built.program, x), False).values
        mine = decisions(values[built.program.outputs[0]], False)
        figures = m4.measure(built)
        report = json.loads((built.dir / "report.json").read_text(encoding="utf-8"))
        notes = report["passes"].get("few_bits", [])
        used = luts(network, quant, calibration, Path(folder) / "fpga") if lut else None
    average = next((float(line.split()[0]) for line in notes if line.endswith("bits per weight on average")), 8.0)
    return {
        "accuracy": float((mine == labels).mean()), "float": float((theirs == labels).mean()),
        "agreement": float((mine == theirs).mean()), "bits": average, "weights": report["weights"],
        "weight_bytes": report["targets"]["mcu"]["weight_bytes"], "instructions": figures["instructions"], "lut": used,
        "compile_seconds": seconds, "notes": notes,
    }  # fmt: skip


def luts(network: Network, quant: str, calibration: dict[str, np.ndarray], folder: Path) -> str:
    """LUTs of the Verilog product, or why there are none."""
    try:
        built = hwcomp.compile(network.model, folder, target="fpga", quant=quant, logits=True, calibration=calibration)
    except HwcompError as error:
        return error.what
    sources = [str(p) for p in sorted((built.dir / "rtl").glob("*.v")) if p.name != "tb.v"]
    script = f"read_verilog {' '.join(sources)}; synth_xilinx -flatten -noiopad; tee -o stat.txt stat"
    try:
        subprocess.run(["yosys", "-q", "-p", script], cwd=built.dir / "rtl", check=True, timeout=SYNTHESIS)
    except subprocess.TimeoutExpired:
        return f"more than {SYNTHESIS} s"
    cells = {
        c: int(n)
        for c, n in re.findall(r"^\s+([A-Z0-9_]+)\s+(\d+)\s*$", (built.dir / "rtl" / "stat.txt").read_text(), re.M)
    }
    blocks = cells.get("RAMB18E1", 0) / 2 + cells.get("RAMB36E1", 0)
    return f"{sum(n for c, n in cells.items() if re.fullmatch('LUT[1-6]', c)):,} + {blocks:g} RAMB36"


def held(name: str, row: dict) -> bool:
    return 100 * (row["float"] - row["accuracy"]) <= LOST + 1e-9 and row["bits"] <= BARS[name]


def markdown(results: dict[str, dict[str, dict]]) -> str:
    parts = [
        "# Few bits after training", "",
        "Made by `python benchmarks/post_training.py --lut`: whole test sets on the C product, networks trained in float, no training",
        f"after that. {accuracy.CALIBRATION:,} unlabelled training images calibrate; fewer are used where tensors are large.",
        "[Quantization](quantization.md) says what the schemes are and which layers stay int8. Bits are the average of all weights;",
        "bytes are those of the weights in the C product, the factor is against float32; instructions are those of one inference on a",
        "Cortex-M4 (QEMU); LUTs those of Yosys synth_xilinx (\"-\": not measured).", "",
    ]  # fmt: skip
    for name, rows in results.items():
        first = next(iter(rows.values()))
        parts += [
            f"## {name}", "", f"Float: {100 * first['float']:.2f} %, {first['weights']:,} weights, {FLOAT * first['weights']:,} bytes.",
            "", "| scheme | accuracy, percent | lost points | same as float | bits | weight bytes | factor | instructions, M4 | LUT |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        ]  # fmt: skip
        for quant, r in rows.items():
            parts.append(
                f"| {quant} | {100 * r['accuracy']:.2f} | {100 * (r['float'] - r['accuracy']):+.2f} | {100 * r['agreement']:.2f} |"
                f" {r['bits']:.2f} | {r['weight_bytes']:,} | {FLOAT * r['weights'] / r['weight_bytes']:.1f}x |"
                f" {r['instructions']:,} | {r['lut'] or '-'} |"
            )
        if "auto" in rows:
            row = rows["auto"]
            verdict = "held" if held(name, row) else "missed"
            parts += [
                "", f"`auto` may lose {LOST} points at {BARS[name]:g} bits: {verdict}. What it chose:", "",
                "```", *(line for line in row["notes"] if not line.startswith(("Conv", "Dense"))), "```",
            ]  # fmt: skip
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/ and data/")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument("--quant", action="append", metavar="SCHEME", help="measure only this scheme (repeatable)")
    parser.add_argument("--lut", action="store_true", help="synthesize the Verilog products, too")
    options = parser.parse_args()
    MEMO.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(MEMO.read_text()) if MEMO.exists() else {}
    for network in networks(options.shared):
        if network.name not in (options.only or NETWORKS):
            continue
        for quant in options.quant or SCHEMES:
            row = known.setdefault(network.name, {})[quant] = measure(network, quant, options.lut)
            print(
                f"{network.name} {quant}: {100 * row['accuracy']:.2f} of {100 * row['float']:.2f}, {row['bits']:.2f} bits,"
                f" {row['weight_bytes']:,} bytes, {row['instructions']:,} instructions, {row['compile_seconds']:.0f} s",
                flush=True,
            )
            MEMO.write_text(json.dumps(known, indent=2) + "\n")
    known = {n: {q: known[n][q] for q in SCHEMES if q in known[n]} for n in NETWORKS if n in known}
    (ROOT / "docs" / "few-bits.md").write_text(markdown(known), encoding="utf-8")
    return 0 if all(held(n, rows["auto"]) for n, rows in known.items() if "auto" in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
