"""The peer qonnx, the reference of its operators: installed into a virtual environment of its own; there this file is a script.

    python peer_qonnx.py MODEL.onnx INPUT.npz OUTPUT.npz

evaluates the model on all samples `x` at once; OUTPUT.npz holds `y`.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

VERSION = "1.0.0"


def install(folder: Path) -> Path:
    """The interpreter of the environment, which is made on the first call. Needs network access then."""
    import m4  # not there, where this is a script

    return m4.environment(folder, f"qonnx=={VERSION}")


def main() -> None:
    path, given, result = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        import numpy as np
        import qonnx.core.onnx_exec as oxe
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.util.cleanup import cleanup_model

        x = np.load(given)["x"]
        model = cleanup_model(ModelWrapper(path))
        source, output = model.graph.input[0].name, model.graph.output[0].name
        for tensor in (source, output, *(v.name for v in model.graph.value_info)):
            shape = model.get_tensor_shape(tensor)
            if model.get_initializer(tensor) is None and list(shape[:1]) == [1]:
                model.set_tensor_shape(tensor, [len(x), *shape[1:]])
        for node in model.graph.node:
            if node.op_type == "Reshape":  # of one sample, to a vector
                model.set_initializer(node.input[1], np.array([len(x), -1]))
        np.savez(result, y=oxe.execute_onnx(model, {source: x})[output])


if __name__ == "__main__":
    main()
