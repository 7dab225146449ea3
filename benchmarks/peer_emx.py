"""The peer emx-onnx-cgen: installed from the package index into a virtual environment of its own, then measured."""

from __future__ import annotations

from pathlib import Path

import m4
import numpy as np
import onnx

VERSION = "1.4.0"
FLAGS = ["-O3", "-w"]  # GNU C as the compiler has it by default: float multiply-add may be fused, which helps the peer
STACK_BYTES = 3 << 20  # the peer keeps all temporaries on the stack
DRIVER = Path(__file__).with_name("peer_main.c")


def install(folder: Path) -> Path:
    """The peer's command, installed on the first call."""
    return m4.environment(folder, f"emx-onnx-cgen=={VERSION}").with_name("emx-onnx-cgen")


def _count(value: onnx.ValueInfoProto) -> int:
    if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise m4.ToolError(f"{value.name}: the peer's driver takes float inputs and outputs only")
    return int(np.prod([max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim]))


def measure(command: Path, model: Path, folder: Path, board: Path, frame: np.ndarray, loads: bool = False) -> dict:
    """Instructions, flash and RAM of one inference; `outputs` are the peer's, for the check against onnxruntime."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = onnx.load(model).graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise m4.ToolError(f"{model.name}: the peer's driver takes one input and one output")
    dims = graph.input[0].type.tensor_type.shape.dim
    symbols = {dim.dim_param for dim in dims if dim.dim_param}
    pins = [word for symbol in sorted(symbols) for word in ("--input-dim", f"{symbol}=1")]
    source = folder / "peer.c"
    m4.call([command, "compile", model, source, "--model-name", "peer", "--restrict-arrays",
             "--large-weight-threshold", "0", "--large-temp-threshold", "0", *pins])  # fmt: skip
    image = folder / "peer.elf"
    counts = [f"-DINPUTS={_count(graph.input[0])}", f"-DOUTPUTS={_count(graph.output[0])}"]
    unit = folder / "peer.o"
    m4.compile_unit(unit, source, FLAGS)
    m4.build(image, [DRIVER, unit], board, [*FLAGS, *counts], STACK_BYTES)
    frames = np.ascontiguousarray(frame, np.float32).tobytes()
    told, out = m4.run(image, frames)
    size = m4.sizes(unit)
    result = {
        "instructions": told["instructions"],
        "flash_bytes": size["flash_bytes"],
        "ram_bytes": size["static_ram_bytes"] + told["stack_bytes"],
        "stack_bytes": told["stack_bytes"],
        "outputs": np.frombuffer(out, np.float32).tolist(),
    }
    if loads:
        counted = m4.memory_operations(image, frames)
        result |= {key: counted[key] for key in ("loads", "stores")}
    return result
