"""C products of networks: what they decide on whole test sets, and what they take on a Cortex-M4."""

from __future__ import annotations

import json
import time
from pathlib import Path

from accuracy import Network, decided, run_float_model

import hwcomp
from hwcomp.verify import m4
from hwcomp.verify.engine import Built
from hwcomp.verify.evaluate import decisions

FLOAT = 4  # bytes of a weight


def on_test_set(network: Network, folder: Path, **options) -> tuple[Built, dict]:
    """(a product in `folder`; parts of the test images that it, and the float model, decide as labelled, that they decide alike,
    seconds of the compile)."""
    calibration, x, labels = network.samples()
    theirs, start = decisions(run_float_model(network, x), False), time.monotonic()
    built = hwcomp.compile(network.model, folder, target="mcu", logits=True, calibration=calibration, **options)
    seconds, mine = time.monotonic() - start, decided(built, x)
    return built, {
        "images": len(labels), "accuracy": float((mine == labels).mean()), "float": float((theirs == labels).mean()),
        "agreement": float((mine == theirs).mean()), "seconds": seconds,
    }  # fmt: skip


def report_of(built: Built) -> dict:
    return json.loads((built.dir / "report.json").read_text(encoding="utf-8"))


def size_of(built: Built) -> dict[str, int]:
    """Weights and biases, bytes of constants, code and RAM, and instructions of one inference (QEMU)."""
    dots, figures = [k for k in built.program.kernels if "weight" in k.constants], m4.measure(built)
    return {
        "weights": sum(k.constants["weight"].size for k in dots), "biases": sum(k.constants["bias"].size for k in dots),
        "bytes": figures["weight_bytes"], "code": figures["code_bytes"], "ram": figures["ram_bytes"],
        "instructions": figures["instructions"],
    }  # fmt: skip


def float_bytes(row: dict) -> int:
    return FLOAT * (row["weights"] + row["biases"])


def factor(row: dict) -> float:
    """How many times smaller than weights and biases in float32."""
    return float_bytes(row) / row["bytes"]


def lost(row: dict) -> float:
    """Points of accuracy."""
    return 100 * (row["float"] - row["accuracy"])
