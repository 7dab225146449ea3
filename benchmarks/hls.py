"""HLS C++ beside hls4ml on the quantized jet-tagging network of the QONNX model zoo, in one run.

    python benchmarks/hls.py [--samples N] [--shared DIR]

Both convert the same QONNX file, compile their C simulation with g++ and run it on the same inputs, which lie on hls4ml's grid
of input values (ap_fixed<16,6>), so that neither rounds them. What the model itself says comes from qonnx. Two forms: as it
is, with its Softmax (decisions are compared), and without it (every output is compared).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import m4
import numpy as np
import onnx
import peer_hls4ml
import records

import hwcomp
from hwcomp.samples import to_stored
from hwcomp.verify.hls_host import HlsHost

OUT = records.OUT / "hls"
NETWORK = "qkeras_jettagging"
STEP, LIMIT = 2.0**-10, 32.0  # of ap_fixed<16,6>
REST = "int16"  # for what the model leaves in float; on the range above, the input takes the same values


def inputs(shared: Path, samples: int) -> np.ndarray:
    """float32 [samples, 16]: the recorded vectors, then standard normal ones (features are standardised)."""
    with np.load(shared / "vectors" / f"{NETWORK}.npz") as found:
        recorded = found["x"]
    more = np.random.default_rng(0).standard_normal((samples, *recorded.shape[1:]))
    x = np.concatenate([recorded, more])[:samples]
    return (np.clip(np.rint(x / STEP), -LIMIT / STEP, LIMIT / STEP - 1) * STEP).astype(np.float32)


def without_softmax(path: Path, to: Path) -> None:
    model = onnx.load(path)
    last = model.graph.node.pop()
    if last.op_type != "Softmax":
        raise SystemExit(f"{path.name} does not end in a Softmax")
    output = last.input[0]
    model.graph.output[0].name = output
    for known in [v for v in model.graph.value_info if v.name == output]:
        model.graph.value_info.remove(known)
    onnx.save(model, to)


def ours(model: Path, x: np.ndarray, folder: Path, dialect: str) -> tuple[np.ndarray, dict]:
    """(outputs in float, seconds by phase)."""
    clock, source = peer_hls4ml.Clock(), onnx.load(model).graph.input[0].name
    os.environ["HWCOMP_CACHE"] = str(folder / "cache")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with clock.phase("convert"):
        built = hwcomp.compile(
            model, folder / "product", target="hls", calibration={source: x[:256]}, rest=REST, hls_dialect=dialect,
            input_ranges={source: (-LIMIT, LIMIT - STEP)},
        )  # fmt: skip
    stored = to_stored(built.program, {source: x})
    with clock.phase("compile"):
        HlsHost().run(built, {source: stored[source][:1]}, False)
    with clock.phase("run"):
        found = HlsHost().run(built, stored, False).values
    name = built.program.outputs[0]
    return built.program.edges[name].to_real(found[name]).reshape(len(x), -1), clock.phases


def compare(wanted: np.ndarray, found: np.ndarray) -> dict:
    away = np.abs(wanted.astype(np.float64) - found)
    return {
        "decisions": len(wanted), "decisions differing": int((wanted.argmax(1) != found.argmax(1)).sum()),
        "outputs": away.size, "outputs differing": int((away > 0).sum()), "largest difference": float(away.max()),
    }  # fmt: skip


def measure(model: Path, x: np.ndarray, folder: Path, python: Path) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "inputs.npz", x=x)
    script = Path(peer_hls4ml.__file__)
    phases = json.loads(m4.call([python, script, model, folder / "inputs.npz", folder]))
    with np.load(folder / "results.npz") as found:
        wanted, peer = (found[k].reshape(len(x), -1) for k in ("model", "peer"))
    rows = {"hls4ml": {"seconds": phases, **compare(wanted, peer)}}
    for dialect in ("vitis", "ac"):
        found, seconds = ours(model, x, folder / dialect, dialect)
        rows[f"hwcomp, {dialect}"] = {"seconds": seconds, **compare(wanted, found)}
    return rows


def show(results: dict[str, dict]) -> None:
    columns = ("decisions differing", "outputs differing", "largest difference")
    print("Seconds of processor time (imports left out); what differs from the model as qonnx evaluates it")
    for form, rows in results.items():
        few = next(iter(rows.values()))
        print(f"\n{form}: {few['decisions']:,} samples, {few['outputs']:,} outputs")
        print(f"{'':16}{'convert':>10}{'compile':>10}{'run':>10}" + "".join(f"{c:>22}" for c in columns))
        for name, row in rows.items():
            times = [f"{row['seconds'][p]['processor']:.2f}" for p in ("convert", "compile", "run")]
            cells = [f"{row[c]:,}" if isinstance(row[c], int) else f"{row[c]:.4f}" for c in columns]
            print(f"{name:16}" + "".join(f"{t:>10}" for t in times) + "".join(f"{c:>22}" for c in cells))
        for name in list(rows)[1:]:
            ratios = [
                rows[name]["seconds"][p]["processor"] / rows["hls4ml"]["seconds"][p]["processor"]
                for p in ("convert", "compile", "run")
            ]
            print(f"{name + ' / hls4ml':16}" + "".join(f"{r:>{10 if i else 7}.3f}" for i, r in enumerate(ratios)))


def main() -> int:
    parser = records.arguments(__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    python = peer_hls4ml.install(OUT / "peer-venv")
    model, cut = options.shared / "models" / "qonnx" / f"{NETWORK}.onnx", OUT / f"{NETWORK}_logits.onnx"
    without_softmax(model, cut)
    x = inputs(options.shared, options.samples)
    results = {
        "as it is": measure(model, x, OUT / "whole", python),
        "without its Softmax": measure(cut, x, OUT / "logits", python),
    }
    records.keep(OUT / "results.json", results)
    show(results)
    mine = [row for name, row in results["without its Softmax"].items() if name != "hls4ml"]
    return int(any(row["outputs differing"] or row["decisions differing"] for row in mine))


if __name__ == "__main__":
    sys.exit(main())
