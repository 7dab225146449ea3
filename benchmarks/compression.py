"""Pruning, weight sharing and Huffman codes on two networks, without retraining: accuracy against bytes of the C product.

    python benchmarks/compression.py [--only NAME] [--again]

Whole test sets on the C product (engine `c`, equal to the reference bit by bit); unlabelled training images calibrate. Bytes and
instructions are those of the Cortex-M4 image (QEMU, exact). Writes docs/compression.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import accuracy
import numpy as np
from accuracy import ROOT, Network, networks, run_float_model

import hwcomp
from hwcomp import npz, samples
from hwcomp.backends.base import Product
from hwcomp.backends.c import CBackend
from hwcomp.product import load
from hwcomp.verify import engines, m4
from hwcomp.verify.engine import Built
from hwcomp.verify.evaluate import decisions

BARS = {"lenet300_100_mnist": 22.0, "lenet5_caffe_mnist": 36.0}  # times smaller than float32, at most LOST points lost
PUBLISHED = {"lenet300_100_mnist": "40x, 0.06 points gained", "lenet5_caffe_mnist": "39x, 0.06 points gained"}
LOST = 0.3
FLOAT = 4
MEMO = ROOT / "build" / "bench" / "compression.json"
PROGRAMS = ROOT / "build" / "bench" / "compression"  # NETWORK/PASSES: products, whose figures can be measured again
accuracy.CALIBRATION = 4096
# (what is done, fields of pass share or None, --c-weights)
SETTINGS = (
    ("int8", None, "packed"),
    ("int8, Huffman", None, "small"),
    ("prune 90 %, Huffman", {"bits": 8, "prune": 0.9}, "small"),
    ("share 4 bits", {"bits": 4}, "packed"),
    ("share 4 bits, Huffman", {"bits": 4}, "small"),
    ("prune 90 %, share 3 bits, Huffman", {"bits": 3, "prune": 0.9}, "small"),
    ("share 3 bits at rate 0.1, Huffman", {"bits": 3, "rate": 0.1}, "small"),
    ("share 3 bits at rate 0.3, Huffman", {"bits": 3, "rate": 0.3}, "small"),
    ("share 3 bits at rate 1, Huffman", {"bits": 3, "rate": 1.0}, "small"),
    ("share 3 bits at rate 2, Huffman", {"bits": 3, "rate": 2.0}, "small"),
    ("share 3 bits with loss 0.01, Huffman", {"bits": 3, "loss": 0.01}, "small"),
)


def compiled(network: Network, share: dict | None, again: bool) -> Path:
    """The folder of a product, made where it is not there, with decisions.json beside it: accuracy and that of float."""
    fields = "_".join(f"{n}_{v:g}" for n, v in share.items()) if share else "int8"
    folder = PROGRAMS / network.name / fields
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / "decisions.json").exists():
        return folder
    calibration, x, labels = network.load()
    import onnxruntime

    name = onnxruntime.InferenceSession(network.model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    calibration, x = ({name: a.astype(np.float32)} for a in (calibration, x))
    theirs, start = decisions(run_float_model(network, x), False), time.monotonic()
    passes = {"share": {"enabled": True, **share}} if share else {}
    built = hwcomp.compile(
        network.model, folder / "product", target="mcu", logits=True, calibration=calibration, passes=passes
    )
    seconds = time.monotonic() - start
    values = engines.engine("c").run(built, samples.to_stored(built.program, x), False).values
    mine = decisions(values[built.program.outputs[0]], False)
    found = {
        "accuracy": float((mine == labels).mean()), "float": float((theirs == labels).mean()), "seconds": seconds,
        "notes": json.loads((built.dir / "report.json").read_text())["passes"].get("share", []),
    }  # fmt: skip
    (folder / "decisions.json").write_text(json.dumps(found))
    return folder


def figures(folder: Path, form: str) -> dict:
    """Of the C that the present tree makes of a product's Program, with weights of `form`."""
    made, back_end = load(folder / "product"), CBackend()
    vectors = (npz.load(made.dir / "vectors" / f"{n}.npz") for n in ("inputs", "outputs"))
    plan = back_end.plan(made.program, {"c_weights": form})
    with tempfile.TemporaryDirectory() as aside:
        for path, content in back_end.emit(made.program, plan, Product(made.name, ("a benchmark",), *vectors)).items():
            (Path(aside) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(aside) / path).write_text(content, encoding="utf-8")
        counted = m4.measure(Built(Path(aside), made.manifest, made.program))
    dots = [k for k in made.program.kernels if "weight" in k.constants]
    weights = sum(k.constants["weight"].size for k in dots)
    kernels = back_end.report(made.program, plan)["kernels"]
    return {
        "weights": weights, "biases": sum(k.constants["bias"].size for k in dots),
        "zeros": 1 - sum(np.count_nonzero(k.constants["weight"]) for k in dots) / weights,
        "bytes": counted["weight_bytes"], "code": counted["code_bytes"], "ram": counted["ram_bytes"],
        "instructions": counted["instructions"],
        "layers": [dict(k["weights"], name=k["name"]) for k in kernels if k["weights"]],
    }  # fmt: skip


def measure(network: Network, share: dict | None, form: str, again: bool) -> dict:
    folder = compiled(network, share, again)
    return json.loads((folder / "decisions.json").read_text()) | figures(folder, form)


def factor(row: dict) -> float:
    return FLOAT * (row["weights"] + row["biases"]) / row["bytes"]


def lost(row: dict) -> float:
    return 100 * (row["float"] - row["accuracy"])


def best(rows: dict[str, dict]) -> str | None:
    """The smallest of those that lose little."""
    fit = [n for n, r in rows.items() if lost(r) <= LOST + 1e-9]
    return max(fit, key=lambda n: factor(rows[n]), default=None)


def markdown(results: dict[str, dict[str, dict]]) -> str:
    parts = [
        "# Compression without retraining", "",
        "Made by `python benchmarks/compression.py`: all 10,000 test images on the C product, networks trained in float, no training",
        f"after that; {accuracy.CALIBRATION:,} unlabelled training images calibrate. Bytes are all constants of the Cortex-M4",
        "image: codes of weights, their tables, biases, and what requantization has per channel; the factor is against weights",
        "and biases in float32. Code (with the decoder) and RAM (with the rows that are decoded at a time) stand beside.",
        "Instructions: one inference (QEMU).",
        "[Quantization](quantization.md#weight-sharing---share-bits) says what the methods are.", "",
    ]  # fmt: skip
    for name, rows in results.items():
        first, chosen = next(iter(rows.values())), best(rows)
        size = FLOAT * (first["weights"] + first["biases"])
        parts += [
            f"## {name}", "", f"Float: {100 * first['float']:.2f} %, {size:,} bytes.", "",
            "| method | accuracy, percent | lost points | zeros, percent | bytes | factor | code | RAM | instructions, M4 |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]  # fmt: skip
        for what, r in rows.items():
            parts.append(
                f"| {what} | {100 * r['accuracy']:.2f} | {lost(r):+.2f} | {100 * r['zeros']:.1f} | {r['bytes']:,} | {factor(r):.1f}x |"
                f" {r['code']:,} | {r['ram']:,} | {r['instructions']:,} |"
            )
        if chosen:
            row = rows[chosen]
            verdict = "held" if factor(row) >= BARS[name] else "missed"
            parts += [
                "", f"At least {BARS[name]:g}x at no more than {LOST} points lost: {verdict}, {factor(row):.1f}x with {chosen}.",
                f"Deep Compression, with retraining (Han et al., ICLR 2016; its own network): {PUBLISHED[name]}.",
                "What the bytes of that row are, stage by stage:", "",
                "| layer | weights | float32 | int8 | zeros left out | shared | stored | form |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            ]  # fmt: skip
            for layer in row["layers"]:
                s = layer["stages"]
                parts.append(
                    f"| {layer['name']} | {layer['weights']:,} | {s['float']:,} | {s['integers']:,} | {s['sparse']:,} | {s['shared']:,} |"
                    f" {layer['bytes']:,} | {layer['form']} |"
                )
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/ and data/")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument("--again", action="store_true", help="compile and measure again what an earlier run has")
    parser.add_argument(
        "--figures", action="store_true", help="bytes, code, RAM and instructions again, of the same Programs"
    )
    options = parser.parse_args()
    MEMO.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(MEMO.read_text()) if MEMO.exists() else {}
    for network in networks(options.shared):
        if network.name not in (options.only or BARS):
            continue
        for what, share, form in SETTINGS:
            rows = known.setdefault(network.name, {})
            if what in rows and not (options.again or options.figures):
                continue
            row = rows[what] = measure(network, share, form, options.again)
            print(
                f"{network.name} {what}: {100 * row['accuracy']:.2f} of {100 * row['float']:.2f}, {row['bytes']:,} bytes,"
                f" {factor(row):.1f}x, {row['instructions']:,} instructions, {row['seconds']:.0f} s",
                flush=True,
            )
            MEMO.write_text(json.dumps(known, indent=2) + "\n")
    known = {n: {w: known[n][w] for w, _, _ in SETTINGS if w in known[n]} for n in BARS if n in known}
    (ROOT / "docs" / "compression.md").write_text(markdown(known), encoding="utf-8")
    reached = {n: best(rows) for n, rows in known.items()}
    return 0 if all(b and factor(known[n][b]) >= BARS[n] for n, b in reached.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
