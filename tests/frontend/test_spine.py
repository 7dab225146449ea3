"""The networks of the project's shared folder against recorded outputs of onnxruntime, and after the float passes."""

from pathlib import Path

import numpy as np
import pytest

from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.frontend.load import load_model
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes

SHARED = Path(__file__).parents[3] / "shared"
MACS = {
    "lenet300_100_mnist": 266_200, "lenet5_caffe_mnist": 2_293_000, "lenet5_caffe_mnist_dynamo": 2_293_000,
    "conv1d_mnist": 345_856, "mobilenetv2s_fashion": 4_186_592, "mobilenetv2s_fashion_dynamo": 4_186_592,
    "resnet8_bn_fashion": 2_211_872, "resnet8_dynamo_fashion": 2_211_872, "resnet8_fused_fashion": 2_211_872,
    "shufflenets_fashion": 767_248, "shufflenets_fashion_dynamo": 767_248, "shufflenets_fashion_dynbatch": 767_248,
    "squeezenets_fashion": 2_266_336, "ad_autoencoder_float": 264_192, "ic_resnet8_float": 12_501_632,
    "kws_dscnn_float": 2_656_768, "vww_mobilenet_float": 7_489_664, "mobilenetv3s_fashion": 1_697_480,
    "mobilenetv3s_fashion_op11": 1_697_480, "lstm_mnist": 660_096,
}  # fmt: skip


def model_of(name):
    for folder in ("float", "mlperf_tiny"):
        path = SHARED / "models" / folder / f"{name}.onnx"
        if path.exists():
            return path
    pytest.skip(f"{name} is not in the shared folder")
    return None


@pytest.mark.parametrize("name", MACS)
def test_equals_the_recorded_outputs(name):
    from hwcomp.registry import OPS

    path, vectors = model_of(name), SHARED / "vectors" / f"{name}.npz"
    if not vectors.exists():
        pytest.skip(f"no vectors of {name} in the shared folder")
    graph = load_model(path).graph
    with np.load(vectors) as data:
        x, want = data["x"][:100], data["y"][:100]
    x = {graph.inputs[0]: x.reshape(-1, *graph.tensors[graph.inputs[0]].shape[1:])}
    have = run_float(graph, x)[graph.outputs[0]]
    np.testing.assert_allclose(have, want.reshape(have.shape), rtol=0, atol=1e-5 * np.abs(want).max())
    assert sum(OPS[n.op].cost(n, graph).macs for n in graph.nodes) == MACS[name]
    assert batch_size(graph) > 100
    passes = [p for p in configured({}) if p.kind != "lossy" and p.name != "calibrate"]
    fused = run_passes(graph, PassContext(), passes, check=True)
    assert not {n.op for n in fused.nodes} & {"Transpose", "Pad", "Identity", "BatchNormalization", "Clip"}
    assert sum(n.op == "Reshape" for n in fused.nodes) <= 2
    again = run_float(fused, x)[graph.outputs[0]]
    np.testing.assert_allclose(again, want.reshape(have.shape), rtol=0, atol=1e-5 * np.abs(want).max())
