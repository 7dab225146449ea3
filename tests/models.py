"""Small ONNX models for tests, the steps of a compile one by one, and where the larger models are."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
IR_VERSION = 10


def model(nodes, inputs, constants=None, outputs=("y",), *, opset=17, name="net", types=None):
    """A ModelProto of `nodes`: (op, inputs, outputs, attributes[, name]); `inputs`: shape by name (a str is symbolic).

    `outputs`: names; `types`: {"y": "int64"} where one is not float.
    """
    from onnx import TensorProto, helper, numpy_helper

    made = []
    for n, (op, ins, outs, attrs, *rest) in enumerate(nodes):
        made.append(helper.make_node(op, ins, outs, name=rest[0] if rest else f"{op}_{n}", **attrs))
    kinds = {n: TensorProto.INT64 if t == "int64" else TensorProto.FLOAT for n, t in (types or {}).items()}
    graph = helper.make_graph(
        made, name,
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def saved(proto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def loaded(proto):
    """ModelProto -> hwcomp's Model, through a file."""
    from hwcomp.frontend.load import load_model

    with tempfile.TemporaryDirectory() as folder:
        return load_model(saved(proto, Path(folder) / "model.onnx"))


def quantized(proto, *, check=True, **options):
    """ModelProto -> (graph after all passes, PassContext)."""
    from hwcomp.driver import Watch, quantized_graph
    from hwcomp.options import CompileOptions

    return quantized_graph(loaded(proto), CompileOptions(targets=("mcu",), **options), Watch(check_passes=check))


def values(label, *shape, scale=1.0):
    """float32 in [-scale, scale], alike in every run for the same label."""
    rng = np.random.default_rng(list(label.encode()))
    return (rng.uniform(-1, 1, shape) * scale).astype(np.float32)


def shared(*parts: str) -> Path:
    """A file of the folder `shared` beside the repository; the test is skipped where that is missing."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(('..', 'shared', *parts))} beside the repository")
    return path


SPINE = ("lenet300_100_mnist", "lenet5_caffe_mnist", "lenet5_caffe_mnist_dynamo")


def spine(name: str) -> Path:
    return shared("models", "float", f"{name}.onnx")


def op_cases():
    """[(id, Case)] of every registered operator."""
    from hwcomp.registry import OPS

    return [(f"{name}: {case.label}", case) for name in OPS for case in OPS[name].cases()]
