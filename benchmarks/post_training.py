"""Post-training schemes of few bits on three networks: accuracy, bits, bytes, instructions and LUTs of the products.

    python benchmarks/post_training.py [--only NAME] [--quant SCHEME] [--lut]

Whole test sets on the C product (engine `c`, equal to the reference bit by bit); scales, rounding and the choice of `auto` see
unlabelled training images only. Weight bytes and instructions are those of the Cortex-M4 image (QEMU, exact); `--lut` adds
Yosys synth_xilinx of the Verilog product where the fpga target takes it, and measures only what is missing in the file of
results. Writes docs/few-bits.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import accuracy
import records
from accuracy import Network, networks
from c_products import FLOAT, lost, on_test_set, report_of
from records import DOCS, OUT
from yosys import block_rams_of, luts_of, synthesized

import hwcomp
from hwcomp.errors import HwcompError
from hwcomp.verify import m4

NETWORKS = ("lenet300_100_mnist", "lenet5_caffe_mnist", "resnet8_fused_fashion")
SCHEMES = ("int8", "int4", "int2", "ternary", "binary-weights", "binary", "auto")
BARS = {"lenet300_100_mnist": 3.0, "lenet5_caffe_mnist": 3.0, "resnet8_fused_fashion": 5.0}  # bits of auto at most
LOST = 0.3  # points that auto may lose
SYNTHESIS = 1800  # seconds
accuracy.CALIBRATION = 4096
MEMO = OUT / "post_training.json"


def measure(network: Network, quant: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        built, row = on_test_set(network, Path(folder) / "out", quant=quant)
        instructions, report = m4.measure(built)["instructions"], report_of(built)
    notes = report["passes"].get("few_bits", [])
    average = next((float(line.split()[0]) for line in notes if line.endswith("bits per weight on average")), 8.0)
    return row | {
        "bits": average, "weights": report["weights"], "weight_bytes": report["targets"]["mcu"]["weight_bytes"],
        "instructions": instructions, "lut": None, "notes": notes,
    }  # fmt: skip


def lut(network: Network, quant: str, folder: Path) -> str:
    """LUTs of the Verilog product, or why there are none."""
    try:
        built = hwcomp.compile(
            network.model, folder, target="fpga", quant=quant, logits=True, calibration=network.samples()[0]
        )
    except HwcompError as error:
        return error.what
    try:
        cells = synthesized(built.dir, f"{built.name}_top", SYNTHESIS)
    except subprocess.TimeoutExpired:
        return f"over {SYNTHESIS // 60} min"
    return f"{luts_of(cells):,} + {block_rams_of(cells):g} RAMB36 + {cells.get('DSP48E1', 0)} DSP48"


def held(name: str, row: dict) -> bool:
    return lost(row) <= LOST + 1e-9 and row["bits"] <= BARS[name]


def markdown(results: dict[str, dict[str, dict]]) -> str:
    parts = [
        "# Few bits after training", "",
        "Made by `python benchmarks/post_training.py --lut`: whole test sets on the C product, networks trained in float, no training",
        f"after that. {accuracy.CALIBRATION:,} unlabelled training images calibrate; fewer are used where tensors are large.",
        "[Quantization](quantization.md) says what the schemes are and which layers stay int8. Bits are the average of all weights;",
        "bytes are those of the weights in the C product, the factor is against float32; instructions are those of one inference on a",
        "Cortex-M4 (QEMU); LUTs, those of memories included, are those of Yosys synth_xilinx at the default number of lanes (\"-\":",
        "not measured).", "",
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
                f"| {quant} | {100 * r['accuracy']:.2f} | {lost(r):+.2f} | {100 * r['agreement']:.2f} |"
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
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--quant", action="append", metavar="SCHEME", help="measure only this scheme (repeatable)")
    parser.add_argument("--lut", action="store_true", help="synthesize the Verilog products, too")
    options = parser.parse_args()
    known = records.kept(MEMO)
    for network in networks(options.shared):
        if network.name not in (options.only or NETWORKS):
            continue
        for quant in options.quant or SCHEMES:
            rows = known.setdefault(network.name, {})
            if not options.lut or quant not in rows:
                rows[quant] = measure(network, quant)
            row = rows[quant]
            if options.lut and not row["lut"]:
                with tempfile.TemporaryDirectory() as folder:
                    row["lut"] = lut(network, quant, Path(folder) / "out")
            print(
                f"{network.name} {quant}: {100 * row['accuracy']:.2f} of {100 * row['float']:.2f}, {row['bits']:.2f} bits,"
                f" {row['weight_bytes']:,} bytes, {row['instructions']:,} instructions,"
                f" LUT {row['lut'] or '-'}",
                flush=True,
            )
            records.keep(MEMO, known)
    known = {n: {q: known[n][q] for q in SCHEMES if q in known[n]} for n in NETWORKS if n in known}
    (DOCS / "few-bits.md").write_text(markdown(known), encoding="utf-8")
    return 0 if all(held(n, rows["auto"]) for n, rows in known.items() if "auto" in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
