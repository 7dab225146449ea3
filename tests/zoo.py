"""The networks of the folder `shared`, each with images as it expects them: for calibration, and for tests with labels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.models import shared

MEAN, DEVIATION = np.float32(0.2860), np.float32(0.3530)  # of Fashion-MNIST
MNIST = ("conv1d_mnist", "lenet300_100_mnist", "lenet5_caffe_mnist", "lenet5_caffe_mnist_dynamo")
FASHION = (
    "mobilenetv2s_fashion", "mobilenetv2s_fashion_dynamo", "mobilenetv3s_fashion", "mobilenetv3s_fashion_op11",
    "resnet8_bn_fashion", "resnet8_dynamo_fashion", "resnet8_fused_fashion", "shufflenets_fashion",
    "shufflenets_fashion_dynamo", "shufflenets_fashion_dynbatch", "squeezenets_fashion",
)  # fmt: skip
TINY = ("ad_autoencoder_float", "ic_resnet8_float", "kws_dscnn_float", "vww_mobilenet_float")
ZOO = (*MNIST, *FASHION, *TINY)
QUANTIZED = (
    "lenet5_qdq_pc_asym", "lenet5_qdq_pt_sym", "lenet5_qop_pt_uint8", "mobilenetv2s_qdq_pc", "resnet8_qdq_pc_asym",
    "resnet8_qdq_pt_sym", "resnet8_qop_pc",
)  # fmt: skip
TINY_INT8 = ("ad_autoencoder_int8", "ic_resnet8_int8", "kws_dscnn_int8", "vww_mobilenet_int8")
QONNX = ("TFC_1W1A", "TFC_1W2A", "TFC_2W2A", "kwsmlp_w3a3", "qkeras_jettagging")
BINARY = ("bnn_mlp_mnist", "bnn_cnn_fashion")
FOLDERS = {"qdq": QUANTIZED, "mlperf_tiny": (*TINY, *TINY_INT8), "qonnx": QONNX, "bnn": BINARY}
# The others have the weights of one of these.
DISTINCT = (
    "conv1d_mnist", "lenet300_100_mnist", "lenet5_caffe_mnist", "mobilenetv2s_fashion", "mobilenetv3s_fashion",
    "resnet8_bn_fashion", "shufflenets_fashion", "squeezenets_fashion", *TINY,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """`calibration`, `images`: float32 [samples, *shape of one sample]; `labels` of the images, or None."""

    path: Path
    input: str
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray | None


@functools.cache
def _pixels(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 images for calibration, test images, their labels."""
    with np.load(shared("data", f"{name}.npz")) as data:
        return data["x_train"][:512], data["x_test"], data["y_test"].astype(np.int64)


@functools.cache
def member(name: str) -> Member:
    """A network by name; skips the test where the folder is missing."""
    import onnx

    folder = next((f for f, names in FOLDERS.items() if name in names), "float")
    path = shared("models", folder, f"{name}.onnx")
    graph = onnx.load(path, load_external_data=False).graph
    constants = {c.name for c in graph.initializer}
    entry = next(i.name for i in graph.input if i.name not in constants)
    if name in (*MNIST, *FASHION, *QUANTIZED, *BINARY) or name.startswith("TFC"):
        *images, labels = _pixels("mnist" if _on_mnist(name) else "fashion_mnist")
        calibration, test = (prepared(name, x) for x in images)
        return Member(path, entry, calibration, test, labels)
    if name.startswith("ic_resnet8"):
        with np.load(shared("data", "cifar10_train_calib.npz")) as data:
            calibration = data["x"]
        with np.load(shared("data", "cifar10_test_subset.npz")) as data:
            test, labels = data["x"][:1000], data["y"][:1000].astype(np.int64)
        kind, zero = (np.int8, 128) if name in TINY_INT8 else (np.float32, 0)
        planes = ((x.transpose(0, 3, 1, 2).astype(np.int16) - zero).astype(kind) for x in (calibration, test))
        return Member(path, entry, *map(np.ascontiguousarray, planes), labels)
    with np.load(shared("vectors", f"{name}.npz")) as data:
        labels = data["label"] if "label" in data and data["label"].size and (data["label"] >= 0).all() else None
        return Member(path, entry, data["x"], data["x"], None if labels is None else labels.astype(np.int64))


def _on_mnist(name: str) -> bool:
    """Whether a network was trained on MNIST, others on Fashion-MNIST."""
    return "mnist" in name or name.startswith(("lenet", "TFC"))


def test_images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 test images and labels for a network trained on MNIST (LeNets) or Fashion-MNIST."""
    return _pixels("mnist" if name.startswith("lenet") else "fashion_mnist")[1:]


test_images.__test__ = False  # it is no test


def prepared(name: str, pixels: np.ndarray) -> np.ndarray:
    """Images as the network expects them."""
    x = pixels.astype(np.float32) / np.float32(255)
    if not _on_mnist(name):
        x = (x - MEAN) / DEVIATION
    if name.startswith("squeezenets"):
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)), constant_values=-MEAN / DEVIATION)
    return x if name == "conv1d_mnist" else np.ascontiguousarray(x[:, None])


def vectors(name: str) -> np.ndarray:
    """The recorded inputs [16, *shape of one sample]: reals, or the integers that the model takes."""
    with np.load(shared("vectors", f"{name}.npz")) as data:
        return data["x"] if name in TINY_INT8 else data["x"].astype(np.float32)
