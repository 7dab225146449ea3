"""Whole networks for L3: the spine models with MNIST, and the repository's own example. Compiled once per worker."""

import functools
import re

import numpy as np
import pytest

import hwcomp
from hwcomp import npz
from tests.models import ROOT, SPINE, shared, spine

EXAMPLE = ROOT / "examples" / "digits_cnn"
NETWORKS = (*SPINE, "digits_cnn")


@functools.cache
def _mnist():
    """Calibration images, and the test set with labels."""
    with np.load(shared("data", "mnist.npz")) as data:
        few, x, labels = data["x_train"][:256], data["x_test"], data["y_test"]
    few, x = (np.ascontiguousarray(a[:, None].astype(np.float32) / np.float32(255)) for a in (few, x))
    return few, x, labels.astype(np.int64)


@functools.cache
def _example():
    if not EXAMPLE.exists():
        pytest.skip("the repository has no examples/digits_cnn")
    test = npz.load(EXAMPLE / "test.npz")
    return npz.load(EXAMPLE / "calibration.npz")["image"], test["image"], test["labels"]


class Network:
    """A network with its data; `product(budget)` is compiled once per worker."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.is_example = name == "digits_cnn"
        self.path = EXAMPLE / "digits_cnn.onnx" if self.is_example else spine(name)
        self.input = "image" if self.is_example else "input"
        self.calibration, self.images, self.labels = _example() if self.is_example else _mnist()
        self.product = functools.cache(self._product)

    def _product(self, budget, target="mcu,fpga", dialect="vitis"):
        where = self.folder / re.sub(r"\W", "_", f"{self.name}-{budget}-{target}-{dialect}")
        return hwcomp.compile(
            self.path, where, target=target, pe_simd_budget=budget, calibration={self.input: self.calibration},
            hls_dialect=dialect,
        )  # fmt: skip

    def stored(self, count):
        """The first test images as stored integers."""
        from hwcomp.samples import to_stored

        return to_stored(self.product(256).program, {self.input: self.images[:count]})


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """name -> Network."""

    @functools.cache
    def get(name):
        return Network(name, tmp_path_factory.mktemp("networks"))

    return get
