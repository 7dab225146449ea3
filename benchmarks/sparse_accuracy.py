"""Zeros inside layers: what criteria and scopes of the pass sparsify cost in accuracy, without retraining.

    python benchmarks/sparse_accuracy.py [--only NAME] [--images N]

Float graph, test images from the front; 2,048 training images calibrate. Prints the table of docs/sparsity.md, percent.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import accuracy
import numpy as np
from accuracy import ROOT, networks

from hwcomp.frontend.load import load_model
from hwcomp.passes._mixed import outputs
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes

CASES = (
    ("lenet300_100_mnist", {"weight": 0.9}), ("lenet5_caffe_mnist", {"weight": 0.9}), ("resnet8_fused_fashion", {"block": 0.5}),
    ("mobilenetv2s_fashion", {"weight": 0.5}), ("squeezenets_fashion", {"block": 0.5}), ("shufflenets_fashion", {"kernel": 0.3}),
)  # fmt: skip
ROWS = (
    ("l1", "layer"), ("activation", "layer"), ("obs", "layer"), ("taylor", "layer"), ("random", "layer"), ("l1", "global"),
    ("l1", "sensitivity"), ("activation", "sensitivity"), ("taylor", "sensitivity"), ("obs", "sensitivity"),
)  # fmt: skip
accuracy.CALIBRATION = 2048


def right(graph, x: dict[str, np.ndarray], labels: np.ndarray) -> float:
    (scores,) = outputs(graph, x).values()
    return 100 * float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/ and data/")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument("--images", type=int, default=2000, help="of the test set")
    options = parser.parse_args()
    known = {n.name: n for n in networks(options.shared)}
    print(
        "| network | float |",
        " | ".join(f"{c}, {s}" for c, s in ROWS),
        "|\n| --- |",
        " | ".join(["---:"] * (len(ROWS) + 1)),
        "|",
    )
    for name, amount in CASES:
        if name not in (options.only or known):
            continue
        network = known[name]
        calibration, x, labels = network.load()
        digits = name.endswith("mnist") and "fashion" not in name
        data = np.load(options.shared / "data" / ("mnist.npz" if digits else "fashion_mnist.npz"))
        classes = data["y_train"][: len(calibration)].astype(np.int64)
        graph = load_model(network.model).graph
        x = {graph.inputs[0]: x[: options.images].astype(np.float32)}
        ctx = PassContext(calibration={graph.inputs[0]: calibration.astype(np.float32)}, labels=classes)
        cells = []
        for criterion, scope in (("l1", None), *ROWS):
            wanted = {**amount, "criterion": criterion, "scope": scope} if scope else {}
            chain = configured({"sparsify": wanted})
            chain = chain[: [p.name for p in chain].index("sparsify") + 1]
            cells.append(f"{right(run_passes(graph, replace(ctx, notes={}), chain), x, labels[: options.images]):.2f}")
        said = " ".join(f"{kind}={part:g}" for kind, part in amount.items())
        print(f"| {name}, {said} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
