"""Bench of hwc_permute."""

import random

import cocotb
import pytest

from rtl_tests.common import Bench, simulate, write_hex


def order(size, kind):
    if kind == "reverse":
        return list(range(size))[::-1]
    rng = random.Random(size)
    return [rng.randrange(size) for _ in range(size)] if kind == "repeats" else rng.sample(range(size), size)


@cocotb.test()
async def bench(dut):
    tb = Bench(dut)
    size = tb.parameters["N"]
    frames = [tb.words(size, tb.parameters["DW"]) for _ in range(max(4, 60 // size))]
    picks = order(size, tb.config["kind"])
    await tb.exercise(frames, [[frame[i] for i in picks] for frame in frames], size, latency=(size - 1, 4))


@pytest.mark.parametrize(
    ("width", "size", "kind"),
    [
        (8, 1, "reverse"),
        (8, 2, "reverse"),
        (16, 3, "shuffle"),
        (8, 16, "reverse"),
        (8, 37, "shuffle"),
        (5, 24, "repeats"),
    ],
)
def test_hwc_permute(tmp_path, width, size, kind):
    mem = write_hex(tmp_path / "order.mem", order(size, kind), max(1, (size - 1).bit_length()))
    simulate("hwc_permute", {"DW": width, "N": size, "MEM_FILE": mem}, __name__, tmp_path, kind=kind)
