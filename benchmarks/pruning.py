"""Filters pruned without retraining: accuracy of every criterion beside random ones, and what the products gain.

    python benchmarks/pruning.py [--only NAME] [--products] [--tables]

The sweep removes 30 % and 50 % of the multiply-accumulates of networks trained on Fashion-MNIST and measures the float graph on
the first 2,000 test images; all rows get the same least-squares reconstruction, random ones too. `--products` compiles the
best setting to int8 and measures the whole test set (engine `c`), instructions on a Cortex-M4 (QEMU) and the interval of the
Verilog at equal lanes. What was measured is kept in build/bench/pruning; the tables of docs/pruning.md are written from it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path

import accuracy as pictures
import numpy as np
import records
from accuracy import decided
from c_products import report_of
from float_graphs import in_front_of, right
from records import DOCS, OUT

import hwcomp
from hwcomp import samples
from hwcomp.errors import HwcompError
from hwcomp.passes._costs import cost
from hwcomp.passes._criteria import CRITERIA
from hwcomp.passes.base import PassContext
from hwcomp.passes.prune import Prune
from hwcomp.plan.dataflow import DOTS, fold_dataflow
from hwcomp.plan.work import macs
from hwcomp.verify import m4
from sw_ref.program import Kernel, Program

NETWORKS = ("resnet8_bn", "mobilenetv2s", "shufflenets", "squeezenets")
AMOUNTS = (0.3, 0.5)
SEEDS = 5
CALIBRATION = 2048  # labelled training images; the passes look at SAMPLES of them
SAMPLES = 512
SWEEP = 2000  # test images
VERIFIED = 3  # images that every product is verified with, on all engines
LANES = 256  # of the Verilog, whole and pruned
MULTIPLE = 4  # of filters, in the products
LOST = 2.0  # points that the ResNet may lose at 30 %
INSTRUCTIONS, CYCLES = 0.8, 0.9  # these fall at least so many times as much as the MACs
MEMO = OUT / "pruning"
PAGE = DOCS / "pruning.md"
MARK = "<!-- Behind this line benchmarks/pruning.py writes. -->"


class Network:
    def __init__(self, name: str, shared: Path):
        self.path = shared / "models" / "float" / f"{name}_fashion.onnx"
        form = pictures._fashion_padded if name.startswith("squeeze") else pictures._fashion
        train, labels, test, self.labels = _data(shared)
        self.ctx = PassContext(logits=True)
        self.graph = in_front_of("prune", self.path, self.ctx)
        (name,) = self.graph.inputs
        self.calibration, self.calibration_labels, self.test = {name: form(train)}, labels, {name: form(test)}
        self.ctx.calibration, self.ctx.labels = self.calibration, labels

    def accuracy(self, graph) -> float:
        return right(graph, {n: x[:SWEEP] for n, x in self.test.items()}, self.labels)


@cache
def _data(shared: Path):
    data = np.load(shared / "data" / "fashion_mnist.npz")
    train, labels = (data[n][:CALIBRATION] for n in ("x_train", "y_train"))
    return (
        train.astype(np.float32),
        labels.astype(np.int64),
        data["x_test"].astype(np.float32),
        data["y_test"].astype(np.int64),
    )


def settings(rows: dict) -> list[tuple[str, str, int]]:
    """(criterion, scope, seed): every criterion in scope layer first, then the other scopes of the best one."""
    found = [(c, "layer", 0) for c in CRITERIA if c not in ("threshold", "random")]
    found += [("random", "layer", seed) for seed in range(SEEDS)]
    done = {
        c: rows[key(c, s, n)]["accuracy"]
        for c, s, n in found
        if c != "random" and "accuracy" in rows.get(key(c, s, n), {})
    }
    if done:
        best = max(done, key=done.get)
        found += [(best, "global", 0), (best, "sensitivity", 0), ("random", "sensitivity", 0)]
    return found


def key(criterion: str, scope: str, seed: int) -> str:
    return f"{criterion} {scope} {seed}"


def sweep(network: Network, amount: float, rows: dict, keep) -> None:
    rows.setdefault("float", {"accuracy": network.accuracy(network.graph), "macs": cost(network.graph, "macs")})
    for _ in range(2):  # the second time the best criterion is known
        for criterion, scope, seed in settings(rows):
            if key(criterion, scope, seed) in rows:
                continue
            start = time.monotonic()
            try:
                options = Prune(filter=amount, criterion=criterion, scope=scope, seed=seed, samples=SAMPLES)
                small = options.run(network.graph, network.ctx)
                row = {
                    "accuracy": network.accuracy(small),
                    "macs": cost(small, "macs"),
                    "parameters": cost(small, "parameters"),
                }
            except HwcompError as error:
                row = {"refused": error.what}
            rows[key(criterion, scope, seed)] = row
            print(f"  {amount:.0%} {key(criterion, scope, seed):24} {row} {time.monotonic() - start:.0f} s", flush=True)
            keep()


def best_of(rows: dict) -> tuple[str, str]:
    found = {
        k: r["accuracy"] for k, r in rows.items() if "accuracy" in r and k != "float" and not k.startswith("random")
    }
    criterion, scope, _ = max(found, key=found.get).split()
    return criterion, scope


def product(network: Network, amount: float, rows: dict | None, whole: dict | None) -> dict:
    """The int8 product with the best setting of `rows`; whole where there are none. `whole`: the row of that."""
    options: dict = {"calibration": {**network.calibration, samples.LABELS: network.calibration_labels}, "logits": True}
    if rows is not None:
        criterion, scope = best_of(rows)
        fields = {"criterion": criterion, "scope": scope, "samples": SAMPLES, "multiple": MULTIPLE}
        options |= {"prune": {"filter": amount}, "passes": {"prune": fields}}
    with tempfile.TemporaryDirectory() as folder:
        built = hwcomp.compile(
            network.path, Path(folder) / "out", target="mcu,fpga,hls", pe_simd_budget=LANES, **options
        )
        mine, report = decided(built, network.test), report_of(built)
        fpga = report["targets"]["fpga"]
        outcomes = hwcomp.verify(built.dir, {n: a[:VERIFIED] for n, a in network.test.items()})
        assert all(o.status != "differs" for o in outcomes), outcomes
        counts = m4.per_kernel(built)
        lanes = {s["kernel"]: s["lanes"] for s in fpga["stages"]}
        layers = {
            k.name: [macs(built.program, k), counts[k.name], at, alone(built.program, k, at)]
            for k in built.program.kernels
            if k.kind in DOTS and (at := whole["layers"][k.name][2] if whole else lanes[k.name])
        }
        return {
            "accuracy": float((mine == network.labels).mean()), "macs": report["macs"], "instructions": m4.measure(built)["instructions"],
            "weight_bytes": report["targets"]["mcu"]["weight_bytes"], "interval": fpga["interval"], "lanes": fpga["lanes"],
            "layers": layers, "equal": [o.engine for o in outcomes if o.status == "equal"],
        }  # fmt: skip


def alone(program: Program, kernel: Kernel, lanes: int) -> int:
    """Cycles of a layer by itself with at most so many lanes."""
    edges = {n: program.edges[n] for n in (*kernel.inputs, *kernel.outputs)}
    return fold_dataflow(Program(kernel.inputs, kernel.outputs, edges, (kernel,)), lanes).interval


def over_pruned(whole: dict, row: dict) -> tuple[float, float]:
    """How many times as much as the MACs of the layers that have lost some fall their instructions, and their cycles at the
    lanes that each has in the whole network, times these lanes."""
    pairs = [(was, row["layers"][name]) for name, was in whole["layers"].items() if row["layers"][name][0] != was[0]]
    sums = np.array([[(m, i, lanes * beats) for m, i, lanes, beats in pair] for pair in pairs]).sum(axis=0)
    fall = 1 - sums[1] / sums[0]
    return float(fall[1] / fall[0]), float(fall[2] / fall[0])


# --- docs/pruning.md --------------------------------------------------------------------------------------------------


def tables(known: dict) -> str:
    parts = [
        "## Figures", "",
        f"Made by `python benchmarks/pruning.py --products`; no network was trained again. Float graph, the first {SWEEP:,} test images,",
        f"percent; {CALIBRATION:,} training images calibrate, {SAMPLES} of them give the least squares, which all rows get. `random` is",
        f"the mean of {SEEDS} seeds. Criteria are compared in scope `layer`, where all remove the same share of each layer; the last rows",
        "are the best of them in other scopes. 2,000 images tell settings apart that are more than about a point from each other.", "",
    ]  # fmt: skip
    for amount in AMOUNTS:
        mine = {n: known[n][str(amount)] for n in NETWORKS if str(amount) in known.get(n, {})}
        if not mine:
            continue
        parts += [
            f"### {amount:.0%} of the multiply-accumulates gone",
            "",
            *_sweep_table(mine),
            "",
            *_verdicts(mine, amount),
            "",
        ]
    parts += [*_first_norm(known), "", *_with_scan(known), ""]
    products = {n: known[n]["products"] for n in NETWORKS if known.get(n, {}).get("products")}
    if products:
        parts += ["### Products", "", *_product_table(products), ""]
    return "\n".join(parts)


def _first_norm(known: dict) -> list[str]:
    """How often the claim of the literature holds."""
    means = [_means(known[n][str(a)]) for n in known for a in AMOUNTS if str(a) in known[n]]
    means = [m for m in means if None not in (m["l1"], m["l2"], m["random"])]
    over = [sum(m["l1"] > m[c] for m in means) for c in ("random", "l2")]
    words = ["reproduced" if n == len(means) else "mostly so" if n > 0.75 * len(means) else "refuted" for n in over]
    return [
        f'L1 is above the mean of random in {over[0]} of {len(means)} cases and above L2 in {over[1]}: "L1 is better than random" is',
        f'{words[0]}, "L1 is better than L2" is {words[1]}.',
    ]


def _with_scan(known: dict) -> list[str]:
    """How much the criterion matters where a scan gives each layer its ratio."""
    lines = [
        "In scope sensitivity, where the scan chooses how much of each layer goes, best criterion minus random (one seed), points:"
    ]
    for amount in AMOUNTS:
        cells = []
        for name, mine in known.items():
            rows = {
                k.split()[0]: r.get("accuracy") for k, r in mine.get(str(amount), {}).items() if " sensitivity " in k
            }
            best = [a for c, a in rows.items() if c != "random" and a is not None]
            if best and rows.get("random") is not None:
                cells.append(f"{name} {100 * (best[0] - rows['random']):+.2f}")
        lines.append(f"{amount:.0%}: {', '.join(cells)}.")
    return lines


def _means(rows: dict) -> dict[str, float | None]:
    """Accuracy by criterion in scope layer; the mean of the seeds of random."""
    found = {c: rows.get(key(c, "layer", 0), {}).get("accuracy") for c in CRITERIA if c not in ("threshold", "random")}
    seeds = [r["accuracy"] for k, r in rows.items() if k.startswith("random layer") and "accuracy" in r]
    return {**found, "random": float(np.mean(seeds)) if seeds else None}


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _sweep_table(mine: dict) -> list[str]:
    lines = ["| criterion | " + " | ".join(mine) + " |", "| --- |" + " ---: |" * len(mine)]
    lines.append("| not pruned | " + " | ".join(_cell(rows["float"]["accuracy"]) for rows in mine.values()) + " |")
    means = {n: _means(rows) for n, rows in mine.items()}
    for criterion in next(iter(means.values())):
        lines.append(f"| {criterion} | " + " | ".join(_cell(m[criterion]) for m in means.values()) + " |")
    for scope, random in (("global", False), ("sensitivity", False), ("sensitivity", True)):
        cells = []
        for rows in mine.values():
            found = {
                k: r.get("accuracy")
                for k, r in rows.items()
                if k.split()[1:2] == [scope] and k.startswith("random") == random
            }
            made = [_cell(v) if random else f"{_cell(v)} ({k.split()[0]})" for k, v in found.items()]
            cells += made[:1] or ["-"]
        lines.append(f"| scope {scope}{', random' if random else ''} | " + " | ".join(cells) + " |")
    return lines


def _verdicts(mine: dict, amount: float) -> list[str]:
    lines = []
    for name, rows in mine.items():
        means = _means(rows)
        random = means["random"]
        if random is None:
            continue
        same = max((c for c, a in means.items() if c != "random" and a is not None), key=means.get)
        criterion, scope = best_of(rows)
        lost = 100 * (rows["float"]["accuracy"] - rows[key(criterion, scope, 0)]["accuracy"])
        text = (
            f"- {name}: best in scope layer is {same}, {100 * (means[same] - random):+.2f} points beside random; best of all is"
            f" {criterion} in scope {scope}, {lost:.2f} points lost"
        )
        if name.startswith("resnet8") and amount == AMOUNTS[0]:
            text += f" (at most {LOST:g} allowed: {'held' if lost <= LOST else 'missed'})"
        l1 = "reproduced" if means["l1"] > max(means["l2"], random) else "refuted"
        lines.append(f'{text}. "L1 is better than L2 and random": {l1}.')
    return lines


_COLUMNS = (
    "network", "gone", "accuracy", "MACs", "bytes", "instructions, M4", "factor", "of pruned layers", "lanes", "interval",
    "factor", "of pruned layers", "equal",
)  # fmt: skip


def _product_table(products: dict) -> list[str]:
    lines = [
        "int8, whole test set on the C product; instructions of one inference on a Cortex-M4 (QEMU); interval between frames of",
        f"the Verilog with at most {LANES} lanes. Rows and columns are kept in multiples of {MULTIPLE}. A factor says how many times",
        f"as much as the MACs a figure falls: at least {INSTRUCTIONS} of the instructions of the whole network, and {CYCLES} of the cycles",
        "of the pruned layers at equal lanes, are asked for. Cycles of a layer are those by itself with the lanes that it has in the whole",
        "network, layers weighted by these lanes; the interval is that of all, whose lanes are shared out anew. `equal`: engines that",
        f"give the reference's bits on every tensor of {VERIFIED} test images.", "",
        f"| {' | '.join(_COLUMNS)} |", f"| --- |{' ---: |' * (len(_COLUMNS) - 2)} --- |",
    ]  # fmt: skip
    for name, rows in products.items():
        whole = rows["0"]
        for row in rows.values():
            gone = 1 - row["macs"] / whole["macs"]
            whole_network = [(1 - row[f] / whole[f]) / gone if gone else None for f in ("instructions", "interval")]
            pruned = over_pruned(whole, row) if gone else (None, None)
            lines.append(
                f"| {name} | {gone:.0%} | {100 * row['accuracy']:.2f} | {row['macs']:,} | {row['weight_bytes']:,} |"
                f" {row['instructions']:,} | {_factor(whole_network[0], INSTRUCTIONS)} | {_factor(pruned[0])} | {row['lanes']} |"
                f" {row['interval']:,} | {_factor(whole_network[1])} | {_factor(pruned[1], CYCLES)} | {', '.join(row['equal'])} |"
            )
    return lines


def _factor(value: float | None, bar: float = 0.0) -> str:
    return "" if value is None else f"{value:.2f}" if value >= bar else f"{value:.2f} (missed)"


def main() -> int:
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--products", action="store_true", help="compile and measure the best settings, too")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    options = parser.parse_args()
    for name in () if options.tables else options.only or NETWORKS:
        print(name, flush=True)
        network, mine = Network(name, options.shared), records.kept(memo(name))
        keep = partial(records.keep, memo(name), mine)
        for amount in AMOUNTS:
            sweep(network, amount, mine.setdefault(str(amount), {}), keep)
        if options.products:
            for amount in (0, *AMOUNTS):
                done = mine.setdefault("products", {})
                if str(amount) not in done:
                    done[str(amount)] = product(network, amount, mine[str(amount)] if amount else None, done.get("0"))
                    print(f"  {amount:.0%} product {done[str(amount)]}", flush=True)
                    keep()
    known = {n: mine for n in NETWORKS if (mine := records.kept(memo(n)))}
    records.write_behind(PAGE, MARK, tables(known))
    return 0


def memo(name: str) -> Path:
    return MEMO / f"{name}.json"


if __name__ == "__main__":
    sys.exit(main())
