"""Accuracy of the quantized networks on whole test sets: schemes, calibration methods and corrections beside float.

Every integer network is compiled for C and run on the host (engine `c`, which equals the reference bit by bit). Ranges,
corrections and the choice of a fixed-point format see training data only. Writes docs/accuracy.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import records
from records import DOCS, OUT, ROOT

import hwcomp
from hwcomp import samples
from hwcomp.verify import c_host, engines
from hwcomp.verify.engine import Built
from hwcomp.verify.evaluate import decisions
from hwcomp.verify.float_engine import run_model

CALIBRATION = 512
METHODS = ("minmax", "percentile", "mse", "kl")
ON = {"enabled": True}
# Several times as fast on whole test sets; the arithmetic is on integers, so no bit depends on it.
c_host.FLAGS = (*c_host.FLAGS, "-O3", "-march=native")


@dataclass(frozen=True)
class Network:
    """`load` gives calibration samples, test samples and labels (None: only the decisions of float are compared)."""

    name: str
    model: Path
    load: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    bars: tuple[tuple[str, float], ...] = (("int8", 0.2),)  # kind of scheme, most points that its best may lose

    def samples(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
        """What `load` gives; samples as float32, by the name of the input."""
        import onnxruntime

        *arrays, labels = self.load()
        name = onnxruntime.InferenceSession(self.model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
        calibration, test = ({name: a.astype(np.float32)} for a in arrays)
        return calibration, test, labels


@dataclass(frozen=True)
class Setting:
    column: str
    quant: str
    passes: dict


def settings() -> list[Setting]:
    found = [Setting(f"int8 {m}", "int8", {"calibrate": {"method": m}}) for m in METHODS]
    found += [
        Setting("int8 equalize", "int8", {"equalize": ON}),
        Setting("int8 bias_correction", "int8", {"bias_correction": ON}),
        Setting("int8 adaround", "int8", {"adaround": ON}),
        Setting("int8 mse, adaround", "int8", {"calibrate": {"method": "mse"}, "adaround": ON}),
        Setting("int16", "int16", {}),
    ]
    for quant in ("dfp8", "fixed"):
        found += [
            Setting(quant, quant, {}), Setting(f"{quant} equalize", quant, {"equalize": ON}),
            Setting(f"{quant} adaround", quant, {"adaround": ON}),
            Setting(f"{quant} equalize, adaround", quant, {"equalize": ON, "adaround": ON}),
        ]  # fmt: skip
    return [*found, Setting("dfp16", "dfp16", {})]


# --- data -------------------------------------------------------------------------------------------------------------


def networks(shared: Path) -> list[Network]:
    digits = ROOT / "examples" / "digits_cnn"
    found = [Network("digits_cnn", digits / "digits_cnn.onnx", lambda: _digits(digits))]
    floats, tiny, data = shared / "models" / "float", shared / "models" / "mlperf_tiny", shared / "data"
    if not (data / "mnist.npz").exists():
        return found
    lenet = (("int8", 0.2), ("dfp8", 0.2), ("fixed", 0.5))
    residual, compact = (("int8", 0.2), ("dfp8", 0.2)), (("int8", 0.2), ("dfp8", 0.5))
    unit, rows = (lambda x: x[:, None] / np.float32(255)), (lambda x: x / np.float32(255))
    found += [
        Network(f"{name}_mnist", floats / f"{name}_mnist.onnx", _pictures(data / "mnist.npz", form), bars)
        for name, form, bars in (
            ("lenet300_100", unit, lenet), ("lenet5_caffe", unit, lenet), ("conv1d", rows, residual),
        )
    ]  # fmt: skip
    found += [
        Network(f"{name}_fashion", floats / f"{name}_fashion.onnx", _pictures(data / "fashion_mnist.npz", form), bars)
        for name, form, bars in (
            ("resnet8_fused", _fashion, residual), ("mobilenetv2s", _fashion, compact),
            ("mobilenetv3s", _fashion, compact), ("shufflenets", _fashion, compact), ("squeezenets", _fashion_padded, compact),
        )
    ]  # fmt: skip
    return [
        *found,
        Network("ic_resnet8", tiny / "ic_resnet8_float.onnx", lambda: _cifar(data)),
        Network("kws_dscnn", tiny / "kws_dscnn_float.onnx", lambda: _keywords(data), bars=()),
        Network("vww_mobilenet", tiny / "vww_mobilenet_float.onnx", lambda: _persons(data), bars=()),
    ]


def _digits(folder: Path):
    calibration, test = np.load(folder / "calibration.npz"), np.load(folder / "test.npz")
    name = next(n for n in test.files if n != samples.LABELS)
    return calibration[name], test[name], test[samples.LABELS]


def _pictures(path: Path, form: Callable[[np.ndarray], np.ndarray]):
    def load():
        data = np.load(path)
        train, test, labels = data["x_train"][:CALIBRATION], data["x_test"], data["y_test"]
        return form(train.astype(np.float32)), form(test.astype(np.float32)), labels

    return load


def _fashion(x: np.ndarray) -> np.ndarray:
    return ((x[:, None] / np.float32(255)) - np.float32(0.2860)) / np.float32(0.3530)


def _fashion_padded(x: np.ndarray) -> np.ndarray:
    return _fashion(np.pad(x, ((0, 0), (2, 2), (2, 2))))


def _cifar(data: Path):
    train, test = np.load(data / "cifar10_train_calib.npz"), np.load(data / "cifar10_test_subset.npz")
    calibration, x = (d["x"].transpose(0, 3, 1, 2).astype(np.float32) for d in (train, test))
    return calibration, x, test["y"]


def _keywords(data: Path):
    """25 samples in all: every other one calibrates."""
    stored = np.load(data / "kws25_tflite_int8_ref.npz")
    x = ((stored["x"].astype(np.float32) - 83) * np.float32(0.5847029))[:, None]
    return x[::2], x[1::2], None


def _persons(data: Path):
    """No test set is at hand: CIFAR pictures, enlarged, and only whether the decisions are those of float."""
    few, many = (np.repeat(np.repeat(x[:500], 3, axis=2), 3, axis=3) / np.float32(255) for x in _cifar(data)[:2])
    return few, many, None


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    calibration: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    labels: np.ndarray | None
    theirs: np.ndarray  # decisions of the float model on the test samples


def decide(network: Network, quant: str, passes: dict, data: Data, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        built = hwcomp.compile(
            network.model, Path(folder) / "out", target="mcu", quant=quant, passes=passes, logits=True,
            calibration=data.calibration,
        )  # fmt: skip
        return decided(built, inputs)


def decided(built: Built, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Decisions of a C product, built for this machine."""
    values = engines.engine("c").run(built, samples.to_stored(built.program, inputs), False).values
    return decisions(values[built.program.outputs[0]], False)


def best_format(network: Network, data: Data) -> str:
    """The 8-bit fixed-point format that decides most calibration samples as float does."""
    theirs = decisions(run_float_model(network, data.calibration), False)
    few = replace(data, calibration={n: x[:16] for n, x in data.calibration.items()})  # ranges do not matter here
    found = {}
    for m in range(6):
        quant = f"fixed:Q{m}.{7 - m}"
        found[quant] = float((decide(network, quant, {}, few, data.calibration) == theirs).mean())
    return max(found, key=found.get)


def run_float_model(network: Network, inputs: dict[str, np.ndarray]) -> np.ndarray:
    values = run_model(network.model, inputs)
    return next(iter(values.values()))


def measure(network: Network, limit: int | None) -> dict:
    calibration, test, labels = network.samples()
    test, labels = {n: x[:limit] for n, x in test.items()}, None if labels is None else labels[:limit].astype(np.int64)
    theirs = decisions(run_float_model(network, test), False)
    data = Data(calibration, test, labels, theirs)
    result = {
        "samples": len(theirs),
        "float": None if labels is None else float((theirs == labels).mean()),
        "settings": {},
    }
    fixed = best_format(network, data)
    for s in settings():
        start = time.monotonic()
        quant = fixed if s.quant == "fixed" else s.quant
        mine = decide(network, quant, s.passes, data, data.test)
        row = result["settings"][s.column] = {
            "quant": quant, "agreement": float((mine == theirs).mean()),
            "accuracy": None if labels is None else float((mine == labels).mean()),
        }  # fmt: skip
        note = "" if labels is None else f"{100 * row['accuracy']:.2f} "
        print(
            f"  {s.column:28} {quant:12} {note:7}same as float {100 * row['agreement']:.2f}"
            f"   {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True,
        )  # fmt: skip
    result["bars"] = [_bar(result, kind, most) for kind, most in network.bars]
    return result


def _bar(result: dict, kind: str, most: float) -> dict:
    """The best setting of a kind of scheme, against the points that it may lose."""
    mine = {c: r["accuracy"] for c, r in result["settings"].items() if c.split()[0] == kind}
    best = max(mine, key=mine.get)
    lost = round(100 * (result["float"] - mine[best]), 3)
    return {"kind": kind, "best": best, "lost_points": lost, "allowed_points": most, "held": lost <= most}


# --- docs/accuracy.md -------------------------------------------------------------------------------------------------


def markdown(results: dict[str, dict]) -> str:
    labelled = {n: r for n, r in results.items() if r["float"] is not None}
    parts = [
        "# Accuracy", "",
        "Made by `python benchmarks/accuracy.py`: whole test sets on the C product. Ranges, corrections and the fixed-point",
        "format come from training data. [Quantization](quantization.md) says what the columns are. Test sets of 10,000 samples",
        "give figures that are uncertain by some tenths of a point, so the second table, how often the decision is that of the",
        "float model, tells settings apart better.", "",
        "## Accuracy, percent", "", *_table(labelled, "accuracy"), "",
        "## Same decision as the float model, percent", "", *_table(results, "agreement"), "",
        "## Best of each scheme against float", "",
        "The best setting is the one with the best figure on the test set itself, of up to eight: that flatters a scheme by some",
        "hundredths of a point. The defaults are the rows `int8 minmax` and `dfp8`.", "",
        "| network | scheme | best setting | lost points | allowed |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, result in results.items():
        for b in result["bars"]:
            parts.append(
                f"| {name} | {b['kind']} | {b['best']} | {b['lost_points']:+.2f} | {b['allowed_points']}"
                f"{'' if b['held'] else ' (missed)'} |"
            )
    small = [f"{n}: {r['samples']:,}" for n, r in results.items()]
    return "\n".join([*parts, "", f"Test samples: {'; '.join(small)}.", *_NOTES, ""])


_NOTES = (
    "", "`kws_dscnn` has 25 samples in all, of which 13 calibrate; `vww_mobilenet` has no test set here and is given enlarged",
    "CIFAR-10 pictures; both are only compared with their float decisions. The pictures of `ic_resnet8` were re-encoded as JPEG,",
    "which costs the float model 12 points already.",
)  # fmt: skip


def _table(results: dict[str, dict], figure: str) -> list[str]:
    """A row per setting, a column per network."""
    lines = ["| setting | " + " | ".join(results) + " |", "| --- |" + " ---: |" * len(results)]
    if figure == "accuracy":
        lines.append("| float | " + " | ".join(f"{100 * r['float']:.2f}" for r in results.values()) + " |")
    for s in settings():
        cells = []
        for r in results.values():
            row = r["settings"][s.column]
            made = f" ({row['quant'].removeprefix('fixed:')})" if s.quant == "fixed" else ""
            cells.append(f"{100 * row[figure]:.2f}{made}")
        lines.append(f"| {s.column} | " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--limit", type=int, help="test samples per network; nothing is written then")
    options = parser.parse_args()
    path = OUT / "accuracy.json"
    every = [n.name for n in networks(options.shared)]
    results: dict[str, dict] = {}
    for network in networks(options.shared):
        if options.only and network.name not in options.only:
            continue
        print(network.name, file=sys.stderr)
        results[network.name] = measure(network, options.limit)
        if options.limit is None:  # others may be measured at the same time
            known = records.kept(path) | results
            known = {n: known[n] for n in every if n in known}
            records.keep(path, known)
            (DOCS / "accuracy.md").write_text(markdown(known), encoding="utf-8")
    print(markdown(results))
    return 0 if all(b["held"] for r in results.values() for b in r["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
