"""N:M patterns recognised from integers, and the weights that are left of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.plan import folding, selects
from hwcomp.plan.selects import Select
from hwcomp.plan.skips import Used
from tests.sparse_nets import n_of_m


def used(kept):
    """Of bool [sets, outputs, taps, channels]."""
    return Used(kept.shape, np.packbits(kept).tobytes())


def free(rng, sets, outputs, taps, channels, n, m, shared=1):
    """bool [sets, outputs, taps, channels]; the last group may be shorter."""
    columns = -(-channels // m) * m
    kept = n_of_m(rng, (sets * outputs, taps * columns), n, m, shared).reshape(sets, outputs, taps, columns)
    return kept[..., :channels]


@pytest.mark.parametrize(
    ("n", "m", "shared", "channels"),
    [(2, 4, 4, 16), (2, 4, 1, 16), (1, 4, 4, 12), (1, 2, 8, 10), (2, 4, 4, 14), (3, 8, 1, 24), (5, 16, 2, 40)],
)
def test_patterns_are_recognised(n, m, shared, channels):
    rng = np.random.default_rng(1)
    found = selects.selects(used(free(rng, 2, 16, 9, channels, n, m, shared)))
    assert Select(n, m, shared) in found
    assert all(s.n / s.m < t.n / t.m for s, t in zip(found[1:], found[:-1], strict=True))


def test_what_follows_no_pattern_has_none():
    rng = np.random.default_rng(1)
    assert selects.selects(used(rng.random((1, 64, 9, 32)) < 0.8)) == ()
    kept = free(rng, 1, 64, 9, 32, 2, 4)
    kept[0, 7, 3, 8:12] = True  # one group of four is enough
    assert all(s.m > 4 for s in selects.selects(used(kept)))
    assert selects.selects(used(np.ones((1, 8, 9, 1), bool))) == ()


def test_one_empty_layer_still_takes_a_lane():
    (first, *_, last) = selects.selects(used(np.zeros((1, 6, 1, 32), bool)))
    assert (first.n, first.m, last.n, last.m) == (1, 2, 1, 16)


@given(
    st.integers(0, 9), st.sampled_from([(1, 2), (1, 4), (2, 4), (3, 8)]), st.sampled_from([1, 2, 4]), st.integers(1, 13)
)
def test_no_weight_is_lost(seed, pattern, shared, pe):
    """The products of all outputs with the channels that are chosen are those with all channels."""
    rng, (n, m) = np.random.default_rng(seed), pattern
    outputs, groups = 12, 3
    weight = np.where(
        free(rng, 1, outputs, 1, groups * m, n, m, shared)[0, :, 0], rng.integers(1, 99, (outputs, groups * m)), 0
    )
    weight[rng.random(weight.shape) < 0.2] = 0  # fewer than N here and there
    select = Select(n, m, shared).of(pe, outputs)
    full = np.zeros((-(-outputs // pe) * pe, groups * m), np.int64)
    full[:outputs] = weight
    words = full.reshape(-1, pe * groups * m)
    packed, index = selects.packed(words, pe, select)
    assert packed.shape == (len(words), pe * groups * n)
    assert 0 <= index.min() <= index.max() < select.ways <= 1 << select.bits
    x = rng.integers(-99, 99, groups * m)
    lane = np.arange(groups * n)
    taken = x[lane // n * m + lane % n + index.reshape(len(words), -1, groups * n)]  # [words, selections, lanes]
    taken = np.repeat(taken, select.share, axis=1)[:, :pe]
    assert ((packed.reshape(taken.shape) * taken).sum(2).ravel()[:outputs] == weight @ x).all()


@given(
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([(1, 2), (2, 4)]),
    st.sampled_from([1, 2, 4]),
)
def test_folds_of_a_pattern(outputs, taps, channels, pattern, shared):
    """Every fold reads all channels, and one that chooses needs fewer lanes for as many beats."""
    kept = free(np.random.default_rng(1), 1, 12, taps, channels, *pattern, shared)[:, :outputs]
    folds = folding.conv_folds(outputs, taps, channels, 5, 5, 10, used=used(kept))
    for f in folds.all:
        assert f.chunks == -(-taps // f.taps) * -(-channels // f.read)
        assert f.lanes == f.pe * f.taps * f.simd <= f.pe * f.taps * f.read
        if f.select:
            assert f.read * f.select.n == f.simd * f.select.m
            assert f.muxes * f.select.share >= f.lanes
            assert f.select.share <= f.pe
    for f in folds.frontier:
        twins = [g for g in folds.all if (g.lanes, g.beats) == (f.lanes, f.beats)]
        assert f.select is None or all(g.select for g in twins), "lanes that choose bring nothing here"


@pytest.mark.parametrize("density", [0.02, 0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("channels", [32, 128])
def test_single_weights_follow_the_pattern_that_the_curve_expects(density, channels):
    """In the middle of 31 layers with weights at random places."""
    rng, found = np.random.default_rng(7), []
    for _ in range(31):
        some = selects.selects(used(rng.random((1, 32, 1, channels)) < density))
        found.append(min((s.n / s.m for s in some), default=1.0))
    assert abs(np.median(found) - selects.scattered(density, 32 * channels)) <= 1 / 16


def test_patterns_take_what_they_keep():
    assert [selects.pattern(d) for d in (0.25, 0.5, 0.75, 0.8, 1.0)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert selects.pattern(0.3) == 5 / 16
    rng = np.random.default_rng(1)
    (*_, best) = selects.selects(used(free(rng, 1, 16, 9, 32, 5, 16)))
    assert best.n / best.m == selects.pattern(5 / 16)
