"""Folds of one engine: none is missing, none is dominated, and the choice is the one of brute force."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.plan import folding

small = st.integers(1, 12)


def test_group_sizes_are_all_that_matter():
    """Any number of lanes has a group size that is no larger and needs no more groups."""
    for n in range(1, 80):
        sizes = folding.group_sizes(n)
        assert sizes == tuple(sorted(set(sizes)))
        assert (sizes[0], sizes[-1]) == (1, n)
        for lanes in range(1, n + 1):
            assert any(s <= lanes and ceil(n / s) == ceil(n / lanes) for s in sizes)


@given(small, small, small, st.integers(1, 30), st.integers(1, 90))
def test_frontier_is_what_no_fold_beats(outputs, taps, channels, pixels, arriving):
    folds = folding.conv_folds(outputs, taps, channels, pixels, arriving, 10)
    lanes = [f.lanes for f in folds.frontier]
    beats = [f.beats for f in folds.frontier]
    assert lanes == sorted(set(lanes))
    assert beats == sorted(set(beats), reverse=True)
    for f in folds.all:
        assert any(g.lanes <= f.lanes and g.beats <= f.beats for g in folds.frontier)
        assert f.groups == ceil(outputs / f.pe)
        assert f.chunks == ceil(taps / f.taps) * ceil(channels / f.simd)
        assert f.beats == max(pixels * f.groups * f.chunks, arriving * ceil(channels / f.simd))


@given(small, st.integers(1, 60), st.integers(1, 2000), st.integers(1, 700))
def test_choices_equal_brute_force(outputs, slots, beats, lanes):
    folds = folding.dense_folds(outputs, slots)
    enough = [f for f in folds.all if f.beats <= beats]
    fewest = folds.fewest_lanes(beats)
    if enough:
        assert fewest.beats <= beats
        assert fewest.lanes == min(f.lanes for f in enough)
    else:
        assert fewest.beats == min(f.beats for f in folds.all)
    fitting = [f for f in enough if f.lanes <= lanes]
    chosen = folds.smallest(beats, lanes)
    assert folds.area(chosen) == min(map(folds.area, fitting)) if fitting else chosen == fewest


@pytest.mark.parametrize(("outputs", "slots"), [(1, 1), (7, 1), (1, 7), (10, 500)])
def test_one_lane_and_all_lanes(outputs, slots):
    frontier = folding.dense_folds(outputs, slots).frontier
    assert (frontier[0].lanes, frontier[0].beats) == (1, outputs * slots)
    assert (frontier[-1].lanes, frontier[-1].beats) == (outputs * slots, 1)
