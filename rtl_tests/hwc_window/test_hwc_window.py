"""Bench of hwc_window."""

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate
from rtl_tests.window_model import Geometry, interval

SETS = {
    "dense": ({"G": 6, "REP": 3}, 12),
    "dense_once": ({"G": 5}, None),
    "dense_single": ({"G": 1, "REP": 4}, 2),
    "pointwise": ({"HP": 3, "WP": 4, "G": 2}, None),
    "conv3x3": ({"P": 1, "HP": 6, "WP": 7, "KH": 3, "KW": 3, "REP": 2}, None),
    "conv3x3_least": ({"P": 1, "HP": 6, "WP": 7, "G": 2, "KH": 3, "KW": 3}, 34),
    "taps3": ({"P": 3, "HP": 5, "WP": 6, "G": 3, "KH": 3, "KW": 3, "REP": 2}, None),
    "taps4": ({"P": 4, "HP": 5, "WP": 5, "G": 2, "KH": 3, "KW": 3}, None),
    "taps9": ({"P": 9, "HP": 6, "WP": 6, "KH": 3, "KW": 3}, None),
    "taps_more": ({"P": 5, "HP": 4, "WP": 4, "G": 2, "KH": 2, "KW": 2, "REP": 2}, None),
    "stride": ({"P": 2, "HP": 8, "WP": 9, "G": 2, "KH": 3, "KW": 3, "SH": 2, "SW": 2}, None),
    "stride_beyond": ({"P": 1, "HP": 8, "WP": 8, "G": 3, "KH": 2, "KW": 1, "SH": 3, "SW": 2}, None),
    "dilated": ({"P": 2, "HP": 9, "WP": 10, "KH": 3, "KW": 2, "SH": 1, "SW": 3, "DILH": 2, "DILW": 3, "REP": 2}, None),
    "tail": ({"P": 1, "HP": 7, "WP": 8, "KH": 2, "KW": 3, "SH": 2, "SW": 3, "G": 2}, 22),
    "column": ({"P": 2, "HP": 9, "WP": 3, "KH": 4, "KW": 3, "REP": 3}, None),
    "conv1d": ({"P": 3, "HP": 1, "WP": 16, "G": 2, "KH": 1, "KW": 5, "SW": 2, "REP": 2}, None),
    "inner": ({"P": 2, "HP": 5, "WP": 6, "G": 3, "KH": 3, "KW": 3, "REP": 2, "SETS": 3}, None),
    "inner_least": ({"P": 1, "HP": 4, "WP": 5, "G": 2, "KH": 2, "KW": 2, "SW": 2, "SETS": 2}, 14),
    "inner_all": ({"P": 9, "HP": 6, "WP": 6, "G": 4, "KH": 3, "KW": 3, "SH": 2, "SW": 2, "SETS": 4}, None),
    "inner_one": ({"P": 2, "HP": 4, "WP": 6, "G": 1, "KH": 2, "KW": 3, "REP": 3, "SETS": 1}, None),
    "sets": ({"P": 2, "HP": 5, "WP": 6, "G": 6, "KH": 3, "KW": 3, "REP": 2, "SETS": 3}, None),
    "sets_stride": ({"P": 1, "HP": 6, "WP": 7, "G": 4, "KH": 2, "KW": 3, "SH": 2, "SW": 2, "SETS": 2}, None),
    "sets_least": ({"P": 4, "HP": 4, "WP": 5, "G": 6, "KH": 3, "KW": 2, "REP": 3, "SETS": 2}, 84),
    "inner_dense": ({"G": 5, "REP": 2, "SETS": 5}, None),
}


def windows(frame, g, width):
    """Expected beats for the words of one frame, and the masks that leave out the taps beyond the last."""
    beats, masks = [], []
    taps = [(ky * g.DILH * g.WP + kx * g.DILW) * g.G for ky in range(g.KH) for kx in range(g.KW)]
    rows, columns = g.shape
    for corner in [(y * g.SH * g.WP + x * g.SW) * g.G for y in range(rows) for x in range(columns)]:
        groups = [taps[first : first + g.P] for first in range(0, len(taps), g.P)]
        sets = [range(first, first + g.G // g.SETS) for first in range(0, g.G, g.G // g.SETS)]
        order = [(group, word) for words in sets for _ in range(g.REP) for group in groups for word in words]
        for group, word in order:
            beats.append(pack([frame[corner + tap + word] for tap in group], width))
            masks.append(pack([-1] * len(group), width))
    return beats, masks


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = dict(tb.parameters)
    width, depth = p.pop("DW"), p.pop("DEPTH")
    g = Geometry(**p)
    frames = [tb.words(g.HP * g.WP * g.G, width) for _ in range(4)]
    both = [windows(frame, g, width) for frame in frames]
    beats, masks = [beats for beats, _ in both], [masks for _, masks in both]
    await tb.exercise(frames, beats, interval(g, depth), masks, latency=(g.span - 1, 4))


@pytest.mark.parametrize("name", SETS)
def test_hwc_window(tmp_path, name):
    """depth None: the depth that hides the jumps, so the interval must be the bound."""
    p, depth = SETS[name]
    g = Geometry(**p)
    if depth is None:
        depth = g.depth
        assert interval(g, depth) == g.bound
    simulate("hwc_window", {"DW": 8, "DEPTH": depth, **p}, __name__, tmp_path)
