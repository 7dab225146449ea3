"""Instructions, flash and RAM of one inference on a Cortex-M4: hwcomp beside emx-onnx-cgen, in one run.

Both sides are compiled by the same compiler at -O3, linked with the same start-up code and run in the same QEMU.
The peer gets the float model and the QDQ model that hwcomp wrote; the ratio is against the better of the two.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import m4
import numpy as np
import onnxruntime
import peer_emx
import records
from records import OUT, ROOT

FIGURES = ("instructions", "flash_bytes", "ram_bytes")


@dataclass(frozen=True)
class Network:
    name: str
    model: Path
    calibration: np.ndarray  # [samples, ...]: also the source of the measured frame
    qdq: tuple[Path, ...] = ()  # further quantized forms of the same network for the peer


def networks(shared: Path) -> list[Network]:
    digits = ROOT / "examples" / "digits_cnn"
    found = [Network("digits_cnn", digits / "digits_cnn.onnx", np.load(digits / "calibration.npz")["image"])]
    mnist, models = shared / "data" / "mnist.npz", shared / "models"
    if mnist.exists():
        images = np.load(mnist)["x_train"][:200, None].astype(np.float32) / np.float32(255)
        found += [
            Network("lenet300_100_mnist", models / "float" / "lenet300_100_mnist.onnx", images),
            Network("lenet5_caffe_mnist", models / "float" / "lenet5_caffe_mnist.onnx", images,
                    (models / "qdq" / "lenet5_qdq_pc_asym.onnx", models / "qdq" / "lenet5_qdq_pt_sym.onnx")),
        ]  # fmt: skip
    return found


def hwcomp_side(network: Network, product: Path, loads: bool) -> dict:
    """Compiles the network with hwcomp and measures the product.

    `measure` gives the figures, and for --loads may give the paths `image` (an ELF file) and `frame` (its in.bin).
    """
    from hwcomp.verify.m4 import measure

    product.parent.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(network.model, providers=["CPUExecutionProvider"])
    calibration = product.with_suffix(".calibration.npz")
    np.savez(calibration, **{session.get_inputs()[0].name: network.calibration})
    m4.call([sys.executable, "-m", "hwcomp.cli", "compile", network.model, "--target", "mcu", "--name", network.name,
             "--calibration", calibration, "-o", product])  # fmt: skip
    result = measure(product)
    result["ram_bytes"] += result["stack_bytes"]
    if loads and "image" in result and "frame" in result:
        counted = m4.memory_operations(Path(result["image"]), Path(result["frame"]).read_bytes())
        result |= {key: counted[key] for key in ("loads", "stores")}
    return {key: value for key, value in result.items() if isinstance(value, int)}


def peer_side(network: Network, model: Path, command: Path, folder: Path, board: Path, loads: bool) -> dict:
    frame = network.calibration[:1]
    result = peer_emx.measure(command, model, folder, board, frame, loads)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: frame})[0].ravel()
    result["max_error"] = float(np.max(np.abs(expected - np.array(result.pop("outputs"), np.float32))))
    return result


def bench(network: Network, command: Path, loads: bool) -> dict:
    product = OUT / "hwcomp" / network.name
    ours = hwcomp_side(network, product, loads)
    board = product / "src" / "baremetal"
    peers = {}
    for model in (network.model, product / "model.qdq.onnx", *network.qdq):
        if model.exists():
            label = model.name.removesuffix(".onnx")
            try:
                peers[label] = peer_side(network, model, command, OUT / "peer" / network.name / label, board, loads)
            except m4.ToolError as error:
                peers[label] = {"error": str(error)}
    measured = [peer for peer in peers.values() if "error" not in peer]
    best = {key: min(peer[key] for peer in measured) for key in FIGURES} if measured else {}
    ratios = {key: round(ours[key] / value, 4) for key, value in best.items()}
    return {"hwcomp": ours, "emx-onnx-cgen": peers, "ratio_to_better_peer": ratios}


def show(results: dict[str, dict]) -> None:
    loads = any("loads" in figures for entry in results.values() for figures in entry["emx-onnx-cgen"].values())
    columns = (*FIGURES, "loads", "stores") if loads else FIGURES
    print("One inference on a Cortex-M4 (QEMU, -O3)")
    for name, entry in results.items():
        print(f"\n{name:<42}" + "".join(f"{column:>14}" for column in columns))
        for label, figures in (("hwcomp", entry["hwcomp"]), *entry["emx-onnx-cgen"].items()):
            text = label if label == "hwcomp" else f"emx-onnx-cgen, {label}"
            if "error" in figures:
                print(f"  {text:<40}{figures['error'].splitlines()[0]}")
            else:
                cells = [f"{figures[key]:,}" if key in figures else "-" for key in columns]
                print(f"  {text:<40}" + "".join(f"{cell:>14}" for cell in cells))
        ratios = [f"{entry['ratio_to_better_peer'][key]:.3f}" for key in FIGURES if entry["ratio_to_better_peer"]]
        print(f"  {'hwcomp / better peer':<40}" + "".join(f"{ratio:>14}" for ratio in ratios))
    print("\nInstructions are not cycles. Flash and RAM are those of the network, without start-up code, C library and")
    print("the caller's buffers; RAM includes the stack that was used.")


def main() -> int:
    parser = records.arguments(__doc__, "measure only this network")
    parser.add_argument("--loads", action="store_true", help="count loads and stores too (traces every block: slow)")
    options = parser.parse_args()

    command = peer_emx.install(OUT / "peer-venv")
    results = {}
    for network in networks(options.shared):
        if not options.only or network.name in options.only:
            print(f"measuring {network.name}", file=sys.stderr)
            results[network.name] = bench(network, command, options.loads)
    records.keep(OUT / "results.json", results)
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
