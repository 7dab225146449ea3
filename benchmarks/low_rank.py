"""Layers as chains of smaller ones, without retraining: accuracy and cost of forms, metrics and budgets.

    python benchmarks/low_rank.py [--only NAME] [--products] [--tables]

Float accuracy is that of the float graph on the first 2,000 test images; `--products` compiles the rows that are marked so to
int8 and measures the whole test set (engine `c`), bytes and instructions on a Cortex-M4 (QEMU). What was measured is kept in
build/bench/low_rank; docs/low-rank.md is written from it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import accuracy as pictures
import records
from accuracy import decided, networks
from float_graphs import in_front_of, right
from records import DOCS, OUT

import hwcomp
from hwcomp.errors import HwcompError
from hwcomp.passes._costs import cost
from hwcomp.passes.base import PassContext
from hwcomp.passes.low_rank import LowRank
from hwcomp.quantize.low_rank_fit import FORMS
from hwcomp.verify import m4

NETWORKS = {  # name: (model, folder of its data in benchmarks/accuracy.py)
    "lenet300_100": "lenet300_100_mnist", "lenet5_caffe": "lenet5_caffe_mnist", "resnet8_bn": "resnet8_fused_fashion",
    "mobilenetv2s": "mobilenetv2s_fashion", "squeezenets": "squeezenets_fashion",
}  # fmt: skip
BUDGETS = (0.7, 0.5, 0.35)
FORMED = 0.5  # the budget at which forms are compared
TEST = 2000  # test images of a float graph
pictures.CALIBRATION = 2048
MEMO = OUT / "low_rank"
PAGE = DOCS / "low-rank.md"
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
        self.calibration, self.test, self.labels = known.samples()
        self.path = shared / "models" / "float" / known.model.name.replace("resnet8_fused", "resnet8_bn")
        self.ctx = PassContext(logits=True)
        self.graph = in_front_of("low_rank", self.path, self.ctx)
        self.ctx.calibration = self.calibration

    def measured(self, fields: dict | None, product: bool) -> dict:
        """Figures of the float graph, and of its product."""
        self.ctx.notes.clear()
        small = self.graph if fields is None else LowRank(enabled=True, **fields).run(self.graph, self.ctx)
        forms = {f: sum(f"{f} of rank" in line for line in self.ctx.notes.get("low_rank", ())) for f in FORMS}
        accuracy = right(small, {n: x[:TEST] for n, x in self.test.items()}, self.labels)
        row = {"float": accuracy, "forms": forms, **{of: cost(small, of) for of in ("macs", "parameters")}}
        return {**row, **self.product(small if fields else None)} if product else row

    def product(self, small) -> dict:
        """The product of a network that the pass has made already: it isn't made twice."""
        passes = {"low_rank": {"enabled": True}} if small else {}
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(LowRank, "run", lambda *_: small):
            built = hwcomp.compile(
                self.path, Path(folder) / "out", target="mcu", logits=True, calibration=self.calibration, passes=passes
            )
            mine, figures = decided(built, self.test), m4.measure(built)
        wanted = ("weight_bytes", "ram_bytes", "instructions")
        return {"int8": float((mine == self.labels).mean()), **{f: figures[f] for f in wanted}}


def measure(name: str, network: Network, products: bool) -> None:
    kept = records.kept(memo(name))
    for what, (fields, made) in rows().items():
        row = kept.setdefault(what, {})
        start = time.monotonic()
        try:
            if "refused" not in row and ("float" not in row or (products and made and "int8" not in row)):
                row |= network.measured(fields, products and made)
        except HwcompError as error:
            row["refused"] = f"{error.what}; {error.why}"
        print(f"  {what:32} {row} {time.monotonic() - start:.0f} s", flush=True)
        records.keep(memo(name), kept)


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
        return f"| {what} | - | | | | | | out of reach: {row['refused'].partition('; ')[2]} |"
    forms = ", ".join(f"{n} {f}" for f, n in row["forms"].items() if n)
    made = ["", "", ""]
    if "int8" in row:
        share = f" ({row['instructions'] / whole['instructions']:.2f})" if row is not whole else ""
        made = [f"{100 * row['int8']:.2f}", f"{row['weight_bytes']:,}", f"{row['instructions']:,}{share}"]
    parts = [f"{row[of] / whole[of]:.2f}" for of in ("macs", "parameters")]
    return f"| {what} | {100 * row['float']:.2f} | {made[0]} | {' | '.join(parts)} | {made[1]} | {made[2]} | {forms} |"


def main() -> int:
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--products", action="store_true", help="compile and measure products, too")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    options = parser.parse_args()
    for name in () if options.tables else options.only or NETWORKS:
        print(name, flush=True)
        measure(name, Network(name, options.shared), options.products)
    known = {n: mine for n in NETWORKS if (mine := records.kept(memo(n)))}
    records.write_behind(PAGE, MARK, tables(known))
    return 0


def memo(name: str) -> Path:
    return MEMO / f"{name}.json"


if __name__ == "__main__":
    sys.exit(main())
