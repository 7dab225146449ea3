"""Pruning, weight sharing and Huffman codes on two networks, without retraining: accuracy against bytes of the C product.

    python benchmarks/compression.py [--only NAME] [--again]

Whole test sets on the C product (engine `c`, equal to the reference bit by bit); unlabelled training images calibrate. Bytes and
instructions are those of the Cortex-M4 image (QEMU, exact). Writes docs/compression.md and its plot.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import accuracy
import numpy as np
import records
from accuracy import Network, networks
from c_products import factor, float_bytes, lost, on_test_set, report_of, size_of
from compression_plot import Point, svg
from records import DOCS, OUT

from hwcomp import npz
from hwcomp.backends.base import Product
from hwcomp.backends.c import CBackend
from hwcomp.export import half
from hwcomp.product import load
from hwcomp.verify.engine import Built
from hwcomp.verify.evaluate import decisions

BARS = {"lenet300_100_mnist": 22.0, "lenet5_caffe_mnist": 36.0}  # times smaller than float32, at most LOST points lost
PUBLISHED = {"lenet300_100_mnist": "40x, 0.06 points gained", "lenet5_caffe_mnist": "39x, 0.06 points gained"}
LOST = 0.3
MEMO = OUT / "compression.json"
PROGRAMS = OUT / "compression"  # NETWORK/PASSES: products, whose figures can be measured again
accuracy.CALIBRATION = 4096
HALF = "float16"


@dataclass(frozen=True)
class Setting:
    """A row: fields of pass share, or None; `--c-weights`, or HALF for the float model with weights in float16; its series in the
    plot and the label of its point there.
    """

    what: str
    share: dict | None
    form: str
    series: str
    label: str = ""


RATED = "share 3 bits, by rate"
SETTINGS = (
    Setting("float16", None, HALF, "float16"),
    Setting("int8", None, "packed", "int8"),
    Setting("int8, Huffman", None, "small", "int8"),
    Setting("prune 90 %", {"bits": 8, "prune": 0.9}, "packed", "prune 90 %"),
    Setting("prune 90 %, Huffman", {"bits": 8, "prune": 0.9}, "small", "prune 90 %"),
    Setting("share 4 bits", {"bits": 4}, "packed", "share 4 bits"),
    Setting("share 4 bits, Huffman", {"bits": 4}, "small", "share 4 bits"),
    Setting("prune 90 %, share 3 bits, Huffman", {"bits": 3, "prune": 0.9}, "small", "prune 90 %, share 3 bits"),
    Setting("share 3 bits at rate 1", {"bits": 3, "rate": 1.0}, "packed", RATED, "1"),
    *(
        Setting(f"share 3 bits at rate {r:g}, Huffman", {"bits": 3, "rate": r}, "small", RATED, f"{r:g}")
        for r in (0.1, 0.3, 1.0, 2.0)
    ),
    Setting("share 3 bits with loss 0.01, Huffman", {"bits": 3, "loss": 0.01}, "small", "share 3 bits, loss 0.01"),
)
BLIND = SETTINGS[-1].what  # whose rate comes from calibration samples that are held back, not from this table


def compiled(network: Network, share: dict | None, again: bool) -> Path:
    """The folder of a product, made where it is not there, with decisions.json beside it: accuracy and that of float."""
    fields = "_".join(f"{n}_{v:g}" for n, v in share.items()) if share else "int8"
    folder = PROGRAMS / network.name / fields
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / "decisions.json").exists():
        return folder
    passes = {"share": {"enabled": True, **share}} if share else {}
    built, found = on_test_set(network, folder / "product", passes=passes)
    (folder / "decisions.json").write_text(json.dumps(found | {"notes": report_of(built)["passes"].get("share", [])}))
    return folder


def figures(folder: Path, form: str) -> dict:
    """Of the C that the present tree makes of a product's Program, with weights of `form`."""
    made, back_end = load(folder / "product"), CBackend()
    vectors = (npz.load(made.dir / "vectors" / f"{n}.npz") for n in ("inputs", "outputs"))
    plan = back_end.plan(made.program, {"c_weights": form})
    with tempfile.TemporaryDirectory() as aside:
        records.write(Path(aside), back_end.emit(made.program, plan, Product(made.name, ("a benchmark",), *vectors)))
        found = size_of(Built(Path(aside), made.manifest, made.program))
    left = sum(np.count_nonzero(k.constants["weight"]) for k in made.program.kernels if "weight" in k.constants)
    kernels = back_end.report(made.program, plan)["kernels"]
    layers = [dict(k["weights"], name=k["name"]) for k in kernels if k["weights"]]
    return found | {"zeros": 1 - left / found["weights"], "layers": layers}


def halved(network: Network, like: dict) -> dict:
    """The row of float16: no C; weights and biases as many as in the row `like`."""
    import onnx
    import onnxruntime

    _, x, labels = network.load()
    session = onnxruntime.InferenceSession(half.export(onnx.load(network.model)), providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    parts = np.split(x.astype(np.float32), len(x)) if port.shape[0] == 1 else [x.astype(np.float32)]
    found = np.concatenate([session.run(None, {port.name: part})[0] for part in parts])
    mine = decisions(found, False)
    fields = {n: like[n] for n in ("float", "weights", "biases")}
    none = dict.fromkeys(("code", "ram", "instructions"))
    return fields | none | {
        "accuracy": float((mine == labels).mean()), "zeros": 0.0, "bytes": float_bytes(like) // 2, "seconds": 0.0, "layers": [], "notes": []
    }  # fmt: skip


def measure(network: Network, setting: Setting, again: bool) -> dict:
    share = setting.share
    folder = compiled(network, share, again)
    found = json.loads((folder / "decisions.json").read_text()) | figures(
        folder, "packed" if setting.form == HALF else setting.form
    )
    return halved(network, found) if setting.form == HALF else found


def best(rows: dict[str, dict]) -> str | None:
    """The smallest of those that lose little."""
    fit = [n for n, r in rows.items() if lost(r) <= LOST + 1e-9]
    return max(fit, key=lambda n: factor(rows[n]), default=None)


def shown(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def verdict(name: str, row: dict) -> str:
    held = factor(row) >= BARS[name] and lost(row) <= LOST + 1e-9
    return f"{'held' if held else 'missed'}, {factor(row):.1f}x and {lost(row):+.2f} points"


def plot(results: dict[str, dict[str, dict]]) -> str:
    panels = {
        name: [
            Point(s.series, "filled" if s.form == "small" else "hollow", factor(rows[s.what]), lost(rows[s.what]), s.label)
            for s in SETTINGS if s.what in rows
        ]
        for name, rows in results.items()
    }  # fmt: skip
    return svg(panels, LOST, BARS)


def markdown(results: dict[str, dict[str, dict]]) -> str:
    parts = [
        "# Compression without retraining", "",
        "Made by `python benchmarks/compression.py`: all 10,000 test images on the C product, networks trained in float, no training",
        f"after that; {accuracy.CALIBRATION:,} unlabelled training images calibrate. Bytes are all constants of the Cortex-M4",
        "image: codes of weights, their tables, biases, and what requantization has per channel; the factor is against weights",
        "and biases in float32. Code (with the decoder) and RAM (with tables and what is decoded at a time) stand beside.",
        "Instructions: one inference (QEMU). Rows with Huffman are `--c-weights small`, the others `packed`; float16 is",
        "`model.fp16.onnx` of `--float16` in onnxruntime. [Quantization](quantization.md#weight-sharing---share-bits) says what the",
        "methods are and what each form of weights costs.", "",
        "![Points lost against size](compression.svg)", "",
    ]  # fmt: skip
    for name, rows in results.items():
        first, chosen = next(iter(rows.values())), best(rows)
        parts += [
            f"## {name}", "", f"Float: {100 * first['float']:.2f} %, {float_bytes(first):,} bytes.", "",
            "| method | accuracy, percent | lost points | zeros, percent | bytes | factor | code | RAM | instructions, M4 |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]  # fmt: skip
        for what, r in rows.items():
            parts.append(
                f"| {what} | {100 * r['accuracy']:.2f} | {lost(r):+.2f} | {100 * r['zeros']:.1f} | {r['bytes']:,} | {factor(r):.1f}x |"
                f" {shown(r['code'])} | {shown(r['ram'])} | {shown(r['instructions'])} |"
            )
        if chosen:
            row, blind = rows[chosen], rows.get(BLIND)
            asked = f"At least {BARS[name]:g}x at no more than {LOST} points lost"
            parts += ["", f"{asked}: {verdict(name, row)} with {chosen}, the smallest row of this table that does so."]
            if blind:
                text = "Chosen without the test set, by the loss on calibration samples that are held back"
                parts.append(f"{text} ({blind['notes'][-1]}): {verdict(name, blind)}.")
            parts += [
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
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--again", action="store_true", help="compile and measure again what an earlier run has")
    parser.add_argument(
        "--figures", action="store_true", help="bytes, code, RAM and instructions again, of the same Programs"
    )
    options = parser.parse_args()
    known = records.kept(MEMO)
    for network in networks(options.shared):
        if network.name not in (options.only or BARS):
            continue
        for setting in SETTINGS:
            rows, what = known.setdefault(network.name, {}), setting.what
            if what in rows and not (options.again or options.figures):
                continue
            row = rows[what] = measure(network, setting, options.again)
            print(
                f"{network.name} {what}: {100 * row['accuracy']:.2f} of {100 * row['float']:.2f}, {row['bytes']:,} bytes,"
                f" {factor(row):.1f}x, {shown(row['instructions'])} instructions, {row['seconds']:.0f} s",
                flush=True,
            )
            records.keep(MEMO, known)
    known = {n: {s.what: known[n][s.what] for s in SETTINGS if s.what in known[n]} for n in BARS if n in known}
    (DOCS / "compression.md").write_text(markdown(known), encoding="utf-8")
    (DOCS / "compression.svg").write_text(plot(known), encoding="utf-8")
    reached = {n: best(rows) for n, rows in known.items()}
    return 0 if all(b and factor(known[n][b]) >= BARS[n] for n, b in reached.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
