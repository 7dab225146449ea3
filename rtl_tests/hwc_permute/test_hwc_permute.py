"""Bench of hwc_permute."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, order_rom, pack, simulate, unpack


def order(size, kind):
    if kind == "reverse":
        return list(range(size))[::-1]
    rng = random.Random(size)
    return [rng.randrange(size) for _ in range(size)] if kind == "repeats" else rng.sample(range(size), size)


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    size, width, lanes = (tb.parameters[name] for name in ("N", "DW", "LANES"))
    picks = order(size * lanes, tb.config["kind"])
    frames_in = [tb.words(size, width * lanes) for _ in range(max(4, 60 // size))]
    frames_out = []
    for frame in frames_in:
        elements = [element for beat in frame for element in unpack(beat, width, lanes)]
        elements = [elements[pick] for pick in picks]
        frames_out.append([pack(elements[at : at + lanes], width) for at in range(0, len(elements), lanes)])
    await tb.exercise(frames_in, frames_out, size, latency=(size - 1, 4))


@pytest.mark.parametrize(
    ("width", "size", "kind", "lanes"),
    [
        (8, 1, "reverse", 1),
        (8, 2, "reverse", 1),
        (16, 3, "shuffle", 1),
        (8, 16, "reverse", 1),
        (8, 37, "shuffle", 1),
        (5, 24, "repeats", 1),
        (8, 1, "shuffle", 3),
        (4, 15, "shuffle", 4),
        (8, 9, "repeats", 5),
    ],
)
def test_hwc_permute(tmp_path, width, size, kind, lanes):
    mem = order_rom(tmp_path / "order.mem", order(size * lanes, kind), lanes)
    simulate("hwc_permute", {"DW": width, "LANES": lanes, "N": size, "MEM_FILE": mem}, __name__, tmp_path, kind=kind)
