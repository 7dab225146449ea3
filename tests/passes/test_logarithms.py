"""LogSoftmax in integers: how far results are from the real function, and what is refused."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.lower.build import lower
from sw_ref.interp import run
from tests.models import model, quantized

FEW = {"calibrate": {"samples": 8}}


def program(n, interval, quant):
    proto = model([("LogSoftmax", ["x"], ["y"], {"axis": 1})], {"x": ("N", n)})
    return lower(quantized(proto, input_ranges={"x": interval}, quant=quant, passes=FEW)[0]).program


@pytest.mark.parametrize("interval", [(-0.5, 0.5), (-4.0, 4.0), (-30.0, 20.0)])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 1000])
@pytest.mark.parametrize(("quant", "bound"), [("int8", 0.5 + 1 / 16), ("dfp8", 0.5 + 1 / 16), ("int16", 3)])
def test_distance_from_the_real_function(n, interval, quant, bound):
    """In steps of the output, for inputs that are anywhere and for such as compete with the largest."""
    p = program(n, interval, quant)
    x, y, rng = p.edges["x"], p.edges["y"], np.random.default_rng(n)
    near = max(x.lo, x.hi - int(3 / float(x.scale)))
    q = np.concatenate([
        rng.integers(x.lo, x.hi + 1, (60, n)), rng.integers(near, x.hi + 1, (60, n)), np.full((1, n), x.lo), np.full((1, n), x.hi),
    ])  # fmt: skip
    d = (q - q.max(axis=1, keepdims=True)) * float(x.scale)
    real = (d - np.log(np.exp(d).sum(axis=1, keepdims=True))) / float(y.scale) + y.zero
    assert np.abs(run(p, {"x": q.astype(x.dtype)})["y"] - np.clip(real, *y.type_range)).max() <= bound


def test_no_batch_axis():
    proto = model([("LogSoftmax", ["x"], ["y"], {"axis": 0})], {"x": (5,)})
    with pytest.raises(UnsupportedError, match="without a batch axis") as caught:
        quantized(proto)
    assert caught.value.node == "LogSoftmax_0"
