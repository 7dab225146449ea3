"""Bench of hwc_threshold: every accumulator, thresholds at both ends, falling staircases, few bits and many."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, pack, simulate, unpack, write_hex
from rtl_tests.formulas import signed


def channels(p):
    """(thresholds, falls) of every lane of every beat; never and always among them."""
    rng, limit = random.Random(5), 1 << (p["ACC_W"] - 1)
    found = [
        (sorted(rng.randrange(-limit, limit) for _ in range(p["N"])), rng.randrange(2))
        for _ in range(p["GROUPS"] * p["LANES"])
    ]
    found[0][0][-1], found[-1][0][0] = limit - 1, -limit
    return [found[0]] * len(found) if p["CONST"] else found


def word(p, lanes):
    width = p["ACC_W"] * p["N"] + 1
    return pack([pack(t, p["ACC_W"]) | falls << (width - 1) for t, falls in lanes], width)


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    p = tb.parameters
    rows, lanes = channels(p), p["LANES"]
    frames, expected = [], []
    for start in range(0, 1 << p["ACC_W"], 4):
        frame, out = [], []
        for group in range(p["GROUPS"]):
            values = [start + lane + 3 * group for lane in range(lanes)]
            beat = pack(values, p["ACC_W"])
            results = []
            for lane, code in enumerate(unpack(beat, p["ACC_W"], lanes)):
                t, falls = rows[group * lanes + lane]
                met = sum(signed(code, p["ACC_W"]) >= v for v in t)
                results.append(p["LO"] + p["STEP"] * (p["N"] - met if falls else met))
            frame.append(beat)
            out.append(pack(results, p["OUT_W"]))
        frames.append(frame)
        expected.append(out)
    latency = (1 if p["N"] == 1 else 2) + (not p["CONST"])
    await tb.exercise(frames, expected, p["GROUPS"], latency=(0, latency))


@pytest.mark.parametrize(("lanes", "width", "n", "lo", "step", "out", "groups", "const"), [
    (1, 6, 1, 0, 1, 1, 1, 1), (3, 5, 1, -1, 2, 2, 2, 0), (2, 7, 2, -1, 1, 2, 3, 0), (2, 6, 7, 0, 1, 3, 1, 1), (1, 8, 15, -8, 1, 4, 4, 0),
    (1, 5, 3, -3, 2, 5, 1, 0),
])  # fmt: skip
def test_hwc_threshold(tmp_path, lanes, width, n, lo, step, out, groups, const):
    p = {"LANES": lanes, "ACC_W": width, "N": n, "LO": lo, "STEP": step, "OUT_W": out, "GROUPS": groups, "CONST": const}
    rows = channels(p)
    words = [word(p, rows[g * lanes : (g + 1) * lanes]) for g in range(groups)]
    more = {"T": f"{width * n + 1}'h{word(p, rows[:1]):x}"}
    if not const:
        more = {"T_FILE": write_hex(tmp_path / "t.mem", words, lanes * (width * n + 1))}
    simulate("hwc_threshold", {**p, **more}, __name__, tmp_path)
