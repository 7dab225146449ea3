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

    path = shared("models", "mlperf_tiny" if name in TINY else "float", f"{name}.onnx")
    graph = onnx.load(path, load_external_data=False).graph
    constants = {c.name for c in graph.initializer}
    entry = next(i.name for i in graph.input if i.name not in constants)
    if name in MNIST or name in FASHION:
        *images, labels = _pixels("mnist" if name in MNIST else "fashion_mnist")
        calibration, test = (prepared(name, x) for x in images)
        return Member(path, entry, calibration, test, labels)
    if name == "ic_resnet8_float":
        with np.load(shared("data", "cifar10_train_calib.npz")) as data:
            calibration = data["x"]
        with np.load(shared("data", "cifar10_test_subset.npz")) as data:
            test, labels = data["x"][:1000], data["y"][:1000].astype(np.int64)
        planes = (np.ascontiguousarray(x.transpose(0, 3, 1, 2).astype(np.float32)) for x in (calibration, test))
        return Member(path, entry, *planes, labels)
    with np.load(shared("vectors", f"{name}.npz")) as data:
        return Member(path, entry, data["x"], data["x"], data["label"].astype(np.int64) if data["label"].size else None)


def test_images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 test images and labels for a network trained on MNIST (LeNets) or Fashion-MNIST."""
    return _pixels("mnist" if name.startswith("lenet") else "fashion_mnist")[1:]


test_images.__test__ = False  # it is no test


def prepared(name: str, pixels: np.ndarray) -> np.ndarray:
    """Images as the network expects them."""
    x = pixels.astype(np.float32) / np.float32(255)
    if name not in MNIST and not name.startswith("lenet"):
        x = (x - MEAN) / DEVIATION
    if name.startswith("squeezenets"):
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)), constant_values=-MEAN / DEVIATION)
    return x if name == "conv1d_mnist" else np.ascontiguousarray(x[:, None])


def vectors(name: str) -> np.ndarray:
    """The recorded inputs [16, *shape of one sample]."""
    with np.load(shared("vectors", f"{name}.npz")) as data:
        return data["x"].astype(np.float32)
