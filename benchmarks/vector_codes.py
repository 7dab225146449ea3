"""Vector codes beside scalar codebooks, without retraining: accuracy against bytes of the C product.

    python benchmarks/vector_codes.py [--only NAME] [--again]

Whole test sets on the C product (engine `c`, equal to the reference bit by bit); unlabelled training images calibrate. Bytes and
instructions are those of the Cortex-M4 image (QEMU, exact). Writes docs/vector-codes.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import accuracy
import records
from accuracy import Network, networks
from c_products import factor, float_bytes, lost, on_test_set, report_of, size_of
from records import DOCS, OUT

accuracy.CALIBRATION = 4096
NETWORKS = ("lenet300_100_mnist", "lenet5_caffe_mnist", "ic_resnet8", "resnet8_fused_fashion")
FULL = "ic_resnet8"  # where codes lose most; the others are measured with MAIN
MEMO = OUT / "vector_codes.json"
# (what is done, pass, its fields)
SETTINGS = (
    ("int8", "", {}),
    ("scalar, 4 bits", "share", {"bits": 4}),
    ("scalar, 3 bits", "share", {"bits": 3}),
    ("scalar, 2 bits", "share", {"bits": 2}),
    ("4 x 256", "vectors", {}),
    ("4 x 256, order of channels as it was", "vectors", {"permute": False}),
    ("4 x 256, not annealed", "vectors", {"noise": 0.0}),
    ("4 x 256, a scale per channel", "vectors", {"by_channel": True}),
    ("2 x 16", "vectors", {"size": 2, "codewords": 16}),
    ("4 x 64 for each of 4 parts (product)", "vectors", {"codewords": 64, "parts": 4}),
    ("4 x 16 + 16 (residual)", "vectors", {"codewords": 16, "stages": 2}),
    ("4 x 16", "vectors", {"codewords": 16}),
    ("8 x 256", "vectors", {"size": 8}),
)
MAIN = (
    "scalar, 4 bits",
    "scalar, 2 bits",
    "4 x 256",
    "4 x 256, order of channels as it was",
    "4 x 16 + 16 (residual)",
    "4 x 16",
)
HEAD = """# Vector codes without retraining

Made by `python benchmarks/vector_codes.py`: whole test sets on the C product, networks trained in float, no training after that;
unlabelled training images calibrate. `N x C`: N weights at a time are one of C codewords. Bits: what
indices and codebooks take per weight of a layer that is coded. Bytes are all constants of the Cortex-M4 image: indices, codebooks,
Huffman codes of the layers that are not coded, biases and requantization; the factor is against weights and biases
in float32. Code and RAM (with the rows that are decoded at a time) stand beside. Instructions: one inference (QEMU).
All forms are `--c-weights small`; scalar codebooks are Huffman coded there.
[Quantization](quantization.md#vector-codes---share-vectors-sizexcodewords) says what the methods are.
"""


def measure(network: Network, passes: dict) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        built, row = on_test_set(network, Path(folder) / "out", passes=passes, c_weights="small")
        row, report = row | size_of(built), report_of(built)
    forms = [k["weights"]["form"] for k in report["targets"]["mcu"]["kernels"] if k["weights"]]
    return row | {"notes": report["passes"].get("vectors", []), "forms": forms}


def markdown(results: dict[str, dict[str, dict]]) -> str:
    parts = [HEAD]
    for name, rows in results.items():
        first = next(iter(rows.values()))
        parts += [
            f"## {name}", "", f"Float: {100 * first['float']:.2f} % of {first['images']:,} images, {float_bytes(first):,} bytes.", "",
            "| codes | bits | accuracy, percent | lost points | bytes | factor | code | RAM | instructions, M4 |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]  # fmt: skip
        for what, r in rows.items():
            bits = r["notes"][-1].split()[0] if r["notes"] and "coded" in r["notes"][-1] else ""
            parts.append(
                f"| {what} | {bits} | {100 * r['accuracy']:.2f} | {lost(r):+.2f} | {r['bytes']:,} | {factor(r):.1f}x | {r['code']:,} |"
                f" {r['ram']:,} | {r['instructions']:,} |"
            )
        parts += ["", *remarks(rows), ""]
    return "\n".join(parts)


def remarks(rows: dict[str, dict]) -> list[str]:
    """What pays, by the figures: each pair of settings with the same bits."""
    found = []
    pairs = (
        ("The order of channels", "4 x 256", "4 x 256, order of channels as it was"), ("Annealing", "4 x 256", "4 x 256, not annealed"),
        ("A scale per channel", "4 x 256, a scale per channel", "4 x 256"),
    )  # fmt: skip
    for what, one, other in pairs:
        if one in rows and other in rows:
            gain = 100 * (rows[one]["accuracy"] - rows[other]["accuracy"])
            spread = 100 * (rows[one]["accuracy"] * (1 - rows[one]["accuracy"]) / rows[one]["images"]) ** 0.5
            found.append(f"- {what}: {gain:+.2f} points ({one}); the standard error of an accuracy is {spread:.2f}.")
    return found


def main() -> int:
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--again", action="store_true", help="measure again what an earlier run has")
    options = parser.parse_args()
    known = records.kept(MEMO)
    for network in networks(options.shared):
        if network.name not in (options.only or NETWORKS):
            continue
        for what, name, fields in SETTINGS:
            rows = known.setdefault(network.name, {})
            spared = network.name != FULL and what not in MAIN
            if spared or (what in rows and not options.again):
                continue
            row = rows[what] = measure(network, {name: {"enabled": True, **fields}} if name else {})
            print(
                f"{network.name} {what}: {100 * row['accuracy']:.2f} of {100 * row['float']:.2f}, {row['bytes']:,} bytes,"
                f" {factor(row):.1f}x, {row['instructions']:,} instructions, {row['seconds']:.0f} s",
                flush=True,
            )
            records.keep(MEMO, known)
    known = {n: {w: known[n][w] for w, _, _ in SETTINGS if w in known[n]} for n in NETWORKS if n in known}
    (DOCS / "vector-codes.md").write_text(markdown(known), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
