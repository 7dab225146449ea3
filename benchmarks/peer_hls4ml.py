"""The peer hls4ml: installed into a virtual environment of its own; there this file is run as a script.

    python peer_hls4ml.py MODEL.onnx INPUT.npz FOLDER

converts the model with hls4ml, compiles its C simulation, runs it, evaluates the same model with qonnx, and prints the times
as JSON. FOLDER/results.npz holds `peer` and `model`: the outputs of both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

VERSIONS = ("hls4ml==1.3.0", "qonnx==1.0.0")


def install(folder: Path) -> Path:
    """The interpreter of the environment, which is made on the first call. Needs network access then."""
    import m4  # not there, where this is a script

    return m4.environment(folder, *VERSIONS)


class Clock:
    """Seconds by phase: elapsed, and of the processor (with those of the programs that were started)."""

    def __init__(self):
        self.phases: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def phase(self, name: str):
        before = self._now()
        yield
        self.phases[name] = {k: round(v - before[k], 3) for k, v in self._now().items()}

    @staticmethod
    def _now() -> dict[str, float]:
        import resource

        spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return {"elapsed": time.monotonic(), "processor": sum(r.ru_utime + r.ru_stime for r in spent)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    clock, said = Clock(), sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # hls4ml talks
        with clock.phase("import"):
            import hls4ml
            import numpy as np
            import qonnx.core.onnx_exec as oxe
            from qonnx.core.modelwrapper import ModelWrapper
            from qonnx.transformation.gemm_to_matmul import GemmToMatMul
            from qonnx.util.cleanup import cleanup_model
        x = np.load(options.data)["x"]
        with clock.phase("convert"):  # the steps that its documentation gives, its own choice of types
            model = cleanup_model(ModelWrapper(str(options.model)))
            model = cleanup_model(model.transform(GemmToMatMul()))
            types = hls4ml.utils.config.config_from_onnx_model(model, granularity="name", backend="Vitis")
            made = hls4ml.converters.convert_from_onnx_model(
                model, hls_config=types, output_dir=str(options.folder / "hls"), backend="Vitis"
            )
            made.write()
        with clock.phase("compile"):
            made.compile()
        with clock.phase("run"):
            peer = made.predict(x)
        model = ModelWrapper(str(options.model))
        source, result = model.graph.input[0].name, model.graph.output[0].name
        for tensor in (source, result, *(v.name for v in model.graph.value_info)):  # all samples at once
            shape = model.get_tensor_shape(tensor)
            if model.get_initializer(tensor) is None and list(shape[:1]) == [1]:
                model.set_tensor_shape(tensor, [len(x), *shape[1:]])
        wanted = oxe.execute_onnx(model, {source: x})[result]
        np.savez(options.folder / "results.npz", peer=peer, model=wanted)
    json.dump(clock.phases, said)


if __name__ == "__main__":
    main()
