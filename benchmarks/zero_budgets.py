"""Budgets of zeros: what the pass sparsify expects to save of a target, beside what the products take.

    python benchmarks/zero_budgets.py [--only NAME]

For each network and wish: instructions as the pass estimates them in float, as the plan of the int8 product expects of the forms that
it chose, and as QEMU counts them, each relative to the network without zeros; flash as bytes of constants; cycles of the Verilog plan.
Prints the table of docs/sparsity.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import accuracy
import records
from accuracy import Network, networks
from c_products import report_of

import hwcomp
from hwcomp.passes._zero_budget import WORDS
from hwcomp.plan.dataflow import fold_dataflow
from hwcomp.verify import m4
from hwcomp.verify.engine import Built
from tests.sparse_nets import planned

CASES = (
    ("lenet300_100_mnist", {"weight": 0.5}, "instructions"), ("lenet300_100_mnist", {"weight": 0.8}, "flash"),
    ("resnet8_fused_fashion", {"block": 0.3}, "instructions"), ("resnet8_fused_fashion", {"block": 0.5}, "flash"),
    ("resnet8_fused_fashion", {"nm": "2:4", "shared": 4}, "instructions"), ("resnet8_fused_fashion", {"block": 0.4}, "cycles"),
    ("mobilenetv2s_fashion", {"block": 0.2}, "instructions"),
)  # fmt: skip
STEM = {"resnet8_fused_fashion": "/stem/stem.0/Conv"}  # one input channel: N:M does not divide it
LANES = 64
accuracy.CALIBRATION = 512


def estimated(notes: list[str]) -> tuple[int, int]:
    """(left, of all) by the note of the pass."""
    text = next(n for n in notes if any(word in n for word in WORDS.values()))
    left, whole = text.split(" of ")[:2]
    return int(left.replace(",", "")), int(whole.split(" ")[0].replace(",", ""))


def main() -> None:
    options = records.arguments(__doc__, "measure only this network").parse_args()
    known = {n.name: n for n in networks(options.shared)}
    print(
        "| network, wish | of | estimate | product | dot products, estimate | dot products, plan |\n|---|---|---:|---:|---:|---:|"
    )
    whole: dict[tuple[str, str], tuple[Built, int]] = {}
    for name, amount, of in CASES:
        if name in (options.only or known):
            with tempfile.TemporaryDirectory() as folder:
                print(row(Path(folder), known[name], amount, of, whole), flush=True)


def row(folder: Path, network: Network, amount: dict, of: str, whole: dict) -> str:
    calibration = network.samples()[0]

    def built(label: str, passes: dict) -> Built:
        target = "fpga" if of == "cycles" else "mcu"
        return hwcomp.compile(
            network.model, folder / label, target=target, logits=True, calibration=calibration, passes=passes
        )

    def taken(product: Built) -> int:
        if of == "cycles":
            return fold_dataflow(product.program, LANES).interval
        return (
            report_of(product)["targets"]["mcu"]["constant_bytes"]
            if of == "flash"
            else m4.measure(product)["instructions"]
        )

    if (at := (network.name, of)) not in whole:
        dense = built("dense", {})
        whole[at] = dense.program, taken(dense)
    skip = {"skip": STEM[network.name]} if "nm" in amount else {}
    sparse = built("sparse", {"sparsify": {**amount, **skip, "of": of}})
    left, before = estimated(sparse.manifest["notes"]["sparsify"])
    cells = [left / before, taken(sparse) / whole[at][1]]
    if of == "instructions":
        dots = planned(whole[at][0])
        cells += [1 - (before - left) / dots, planned(sparse.program) / dots]
    wish = " ".join(f"{k}={v}" for k, v in amount.items())
    return (
        f"| {network.name}, {wish} | {of} | " + " | ".join(f"{c:.3f}" for c in cells) + " |" + " |" * (4 - len(cells))
    )


if __name__ == "__main__":
    main()
