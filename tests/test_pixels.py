"""Raw uint8 pixels: what a type says, and the way from and to the reals of the network."""

import numpy as np
import pytest

from hwcomp.errors import UsageError
from hwcomp.pixels import Pixels

EVERY = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize(("text", "mean", "std"), [
    ("uint8,0,1", (0.0,), (1.0,)), ("uint8,127.5,127.5", (127.5,), (127.5,)),
    ("uint8,123.675:116.28:103.53,58.4:57.1:57.4", (123.675, 116.28, 103.53), (58.4, 57.1, 57.4)),
    ("uint8,128,1:2:3", (128.0,), (1.0, 2.0, 3.0)), ("uint8,-4,1e2", (-4.0,), (100.0,)),
])  # fmt: skip
def test_text(text, mean, std):
    p = Pixels.parse(text)
    assert (p.mean, p.std) == (mean, std)
    assert Pixels.from_json({"mean": list(mean), "std": list(std)}) == p


@pytest.mark.parametrize(("text", "message"), [
    ("int8,0,1", "not a type"), ("uint8", "not a type"), ("uint8,0", "not a type"), ("uint8,0,1,2", "not a type"),
    ("uint8,a,1", "no number"), ("uint8,,1", "no number"), ("uint8,1:,1", "no number"), ("uint8,nan,1", "mean"),
    ("uint8,0,inf", "std"), ("uint8,0,0", "std"), ("uint8,0,-1", "std"), ("uint8,0,1:0", "std"), ("uint8,1e9,1", "mean"),
    ("uint8,1:2,1:2:3", "2 means and 3 stds"),
])  # fmt: skip
def test_bad_text(text, message):
    with pytest.raises(UsageError, match=message):
        Pixels.parse(text)


@pytest.mark.parametrize(("text", "zero", "affine"), [
    ("uint8,0,255", 0, True), ("uint8,128,64", 128, True), ("uint8,128:128,64:64", 128, True),
    ("uint8,128,64:65", 128, False), ("uint8,127.5,127.5", None, False), ("uint8,1:2,3", None, False),
    ("uint8,256,3", None, False), ("uint8,-1,3", None, False),
])  # fmt: skip
def test_the_pixel_that_is_zero(text, zero, affine):
    p = Pixels.parse(text)
    assert (p.zero, p.is_affine) == (zero, affine)
    q = p.qtype()
    assert (q.bits, q.signed, q.zero) == (8, False, zero or 0)
    assert q.scale == ((float(np.float32(1 / p.std[0])),) if affine else (1.0,))


@pytest.mark.parametrize("text", ["uint8,0,255", "uint8,127.5,127.5", "uint8,-300,0.01", "uint8,123.675,58.395"])
def test_every_pixel_comes_back(text):
    p = Pixels.parse(text)
    x = p.real(EVERY[:, None])
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[:, 0], ((np.arange(256) - p.mean[0]) / p.std[0]).astype(np.float32))
    assert p.stored(x).tolist() == EVERY[:, None].tolist()
    assert p.stored(x).dtype == np.uint8
    assert p.interval() == (pytest.approx(float(x.min())), pytest.approx(float(x.max())))


def test_reals_beyond_the_pixels_are_clipped():
    assert Pixels.parse("uint8,100,10").stored(np.float32([[-99, -10, 0.04, 15.5, 99]])).tolist() == [
        [0, 0, 100, 255, 255]
    ]


@pytest.mark.parametrize(("shape", "axis"), [((3, 4, 5), 0), ((4, 5, 3), 2), ((3,), 0), ((3, 2), 0), ((3, 2, 3), 0)])
def test_channels(shape, axis):
    p = Pixels.parse("uint8,1:2:4,1:2:8")
    x = p.real(np.full((2, *shape), 100, np.uint8))
    for c, want in enumerate((99.0, 49.0, 12.0)):
        assert (np.take(x, c, axis + 1) == want).all()
    assert p.interval() == (-1.0, 254.0)


@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 3), (), (1,)])
def test_wrong_channels(shape):
    with pytest.raises(UsageError, match="3 means or stds"):
        Pixels.parse("uint8,1:2:4,1").affine(shape)
