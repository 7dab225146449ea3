"""Zeros inside layers: what criteria and scopes of the pass sparsify cost in accuracy, without retraining.

    python benchmarks/sparse_accuracy.py [--only NAME] [--images N]

Float graph, test images from the front; 2,048 training images calibrate. Prints the table of docs/sparsity.md, percent.
"""

from __future__ import annotations

from dataclasses import replace

import accuracy
import numpy as np
import records
from accuracy import networks
from float_graphs import right

from hwcomp.frontend.load import load_model
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


def main() -> None:
    parser = records.arguments(__doc__, "measure only this network")
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
        calibration, test, labels = network.samples()
        digits = name.endswith("mnist") and "fashion" not in name
        data = np.load(options.shared / "data" / ("mnist.npz" if digits else "fashion_mnist.npz"))
        classes = data["y_train"][: len(next(iter(calibration.values())))].astype(np.int64)
        graph, x = load_model(network.model).graph, {n: a[: options.images] for n, a in test.items()}
        ctx = PassContext(calibration=calibration, labels=classes)
        cells = []
        for criterion, scope in (("l1", None), *ROWS):
            wanted = {**amount, "criterion": criterion, "scope": scope} if scope else {}
            chain = configured({"sparsify": wanted})
            chain = chain[: [p.name for p in chain].index("sparsify") + 1]
            cells.append(f"{100 * right(run_passes(graph, replace(ctx, notes={}), chain), x, labels):.2f}")
        said = " ".join(f"{kind}={part:g}" for kind, part in amount.items())
        print(f"| {name}, {said} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
