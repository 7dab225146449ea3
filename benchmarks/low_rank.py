"""Layers as chains of smaller ones, without retraining: accuracy and cost of forms, metrics and budgets.

    python benchmarks/low_rank.py [--only NAME] [--products] [--tables]

Float accuracy is that of the float graph on the first 2,000 test images; `--products` compiles the rows that are marked so to
int8 and measures the whole test set (engine `c`), bytes and instructions on a Cortex-M4 (QEMU). What was measured is kept in
build/bench/low_rank; docs/low-rank.md is written from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import accuracy as pictures
import numpy as np
from accuracy import ROOT, networks

import hwcomp
from hwcomp import samples
from hwcomp.errors import HwcompError
from hwcomp.frontend.float_run import run_float
from hwcomp.frontend.load import load_model
from hwcomp.passes._costs import cost
from hwcomp.passes.base import PassContext
from hwcomp.passes.low_rank import LowRank
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.quantize.low_rank_fit import FORMS
from hwcomp.verify import engines, m4
from hwcomp.verify.evaluate import decisions

NETWORKS = {  # name: (model, folder of its data in benchmarks/accuracy.py)
    "lenet300_100": "lenet300_100_mnist", "lenet5_caffe": "lenet5_caffe_mnist", "resnet8_bn": "resnet8_fused_fashion",
    "mobilenetv2s": "mobilenetv2s_fashion", "squeezenets": "squeezenets_fashion",
}  # fmt: skip
BUDGETS = (0.7, 0.5, 0.35)
FORMED = 0.5  # the budget at which forms are compared
TEST = 2000  # test images of a float graph
pictures.CALIBRATION = 2048
MEMO = ROOT / "build" / "bench" / "low_rank"
PAGE = ROOT / "docs" / "low-rank.md"
MARK = "<!-- Behind this line benchmarks/low_rank.py writes. -->"


def rows() -> dict[str, tuple[dict | None, bool]]:
    """By name: fields of the pass, None for the whole network; whether a product is made."""
    found: dict[str, tuple[dict | None, bool]] = {"whole": (None, True)}
    for budget in BUDGETS:
        found[f"{budget:.0%} of the MACs"] = ({"budget": budget}, True)
        found[f"{budget:.0%}, SVD of the weights"] = (
            {"budget": budget, "metric": "weights", "forms": "svd"},
            budget == FORMED,
        )
    for forms in ("svd", "rows,columns", "channels", "tucker"):
        found[f"{FORMED:.0%}, {forms.replace(',', ' and ')} only"] = ({"budget": FORMED, "forms": forms}, False)
    found["50% of the instructions"] = ({"budget": 0.5, "of": "instructions"}, True)
    return found


class Network:
    def __init__(self, name: str, shared: Path):
        known = {n.name: n for n in networks(shared)}[NETWORKS[name]]
        calibration, x, self.labels = known.load()
        self.path = shared / "models" / "float" / known.model.name.replace("resnet8_fused", "resnet8_bn")
        graph, self.ctx = load_model(self.path).graph, PassContext(logits=True)
        (self.input,) = graph.inputs
        self.calibration, self.test = ({self.input: a.astype(np.float32)} for a in (calibration, x))
        passes = configured({})
        self.graph = run_passes(graph, self.ctx, passes[: [p.name for p in passes].index("low_rank")])
        self.ctx.calibration = self.calibration

    def accuracy(self, graph) -> float:
        good = 0
        for start in range(0, TEST, 100):
            (scores,) = run_float(graph, {self.input: self.test[self.input][start : start + 100]}).values()
            good += int((scores.reshape(len(scores), -1).argmax(axis=1) == self.labels[start : start + 100]).sum())
        return good / TEST

    def measured(self, fields: dict | None, product: bool) -> dict:
        """Figures of the float graph, and of its product."""
        self.ctx.notes.clear()
        small = self.graph if fields is None else LowRank(enabled=True, **fields).run(self.graph, self.ctx)
        forms = {f: sum(f"{f} of rank" in line for line in self.ctx.notes.get("low_rank", ())) for f in FORMS}
        row = {"float": self.accuracy(small), "forms": forms, **{of: cost(small, of) for of in ("macs", "parameters")}}
        return {**row, **self.product(small if fields else None)} if product else row

    def product(self, small) -> dict:
        """The product of a network that the pass has made already: it isn't made twice."""
        passes = {"low_rank": {"enabled": True}} if small else {}
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(LowRank, "run", lambda *_: small):
            built = hwcomp.compile(
                self.path, Path(folder) / "out", target="mcu", logits=True, calibration=self.calibration, passes=passes
            )
            values = engines.engine("c").run(built, samples.to_stored(built.program, self.test), False).values
            mine, figures = decisions(values[built.program.outputs[0]], False), m4.measure(built)
        wanted = ("weight_bytes", "ram_bytes", "instructions")
        return {"int8": float((mine == self.labels).mean()), **{f: figures[f] for f in wanted}}


def measure(network: Network, kept: dict, products: bool, keep) -> None:
    for name, (fields, made) in rows().items():
        row = kept.setdefault(name, {})
        start = time.monotonic()
        try:
            if "refused" not in row and ("float" not in row or (products and made and "int8" not in row)):
                row |= network.measured(fields, products and made)
        except HwcompError as error:
            row["refused"] = f"{error.what}; {error.why}"
        print(f"  {name:32} {row} {time.monotonic() - start:.0f} s", flush=True)
        keep()


def tables(known: dict) -> str:
    parts = [
        "## Figures", "",
        "Made by `python benchmarks/low_rank.py --products`; no network was trained again.",
        f"{pictures.CALIBRATION:,} unlabelled training images calibrate. Float: the first {TEST:,} test images; int8: the whole test set",
        "on the C product, with its bytes of constants and instructions of one inference on a Cortex-M4 (QEMU).",
        "Forms: layers that took each one. `SVD of the weights` is the textbook's: what is lost of the weights counts,",
        "nothing is corrected (`metric=weights`, `forms=svd`).", "",
    ]  # fmt: skip
    for name, kept in known.items():
        whole = kept["whole"]
        parts += [
            f"### {name}", "", f"{whole['macs']:,} MACs, {whole['parameters']:,} parameters.", "",
            "| | float, percent | int8, percent | MACs | parameters | bytes | instructions, M4 | forms |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        ]  # fmt: skip
        parts += [_line(what, row, whole) for what in rows() if (row := kept.get(what))]
        parts.append("")
    return "\n".join(parts)


def _line(what: str, row: dict, whole: dict) -> str:
    if "refused" in row:
        return f"| {what} | {row['refused']} | | | | | | |"
    forms = ", ".join(f"{n} {f}" for f, n in row["forms"].items() if n)
    made = ["", "", ""]
    if "int8" in row:
        share = f" ({row['instructions'] / whole['instructions']:.2f})" if row is not whole else ""
        made = [f"{100 * row['int8']:.2f}", f"{row['weight_bytes']:,}", f"{row['instructions']:,}{share}"]
    parts = [f"{row[of] / whole[of]:.2f}" for of in ("macs", "parameters")]
    return f"| {what} | {100 * row['float']:.2f} | {made[0]} | {' | '.join(parts)} | {made[1]} | {made[2]} | {forms} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/ and data/")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument("--products", action="store_true", help="compile and measure products, too")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    options = parser.parse_args()
    MEMO.mkdir(parents=True, exist_ok=True)
    for name in () if options.tables else options.only or NETWORKS:
        print(name, flush=True)
        mine = _kept(name)

        def keep(name=name, mine=mine) -> None:
            (MEMO / f"{name}.json").write_text(json.dumps(mine, indent=1) + "\n")

        measure(Network(name, options.shared), mine, options.products, keep)
    known = {n: mine for n in NETWORKS if (mine := _kept(n))}
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"{MARK}\n"
    PAGE.write_text(text.partition(MARK)[0] + MARK + "\n\n" + tables(known), encoding="utf-8")
    return 0


def _kept(name: str) -> dict:
    path = MEMO / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
