"""Counting, threshold and sign cells proven equal to sw_ref by a SAT solver (Yosys): for all inputs, not for samples.

Cells of few inputs are compared with a table of what sw_ref gives. A count of many bits is proven by induction: no bits
give 0, and setting any one bit gives one more, whatever the others are. Registers are taken for wires: what they delay is
the benches' business.
"""

import shutil
import subprocess

import numpy as np
import pytest

from rtl_tests.common import ROOT
from sw_ref import numerics as nm

PRIM = ROOT / "templates" / "prim" / "verilog"
WIRES = """
module \\$dff (CLK, D, Q);
  parameter WIDTH = 1;
  parameter CLK_POLARITY = 1;
  input CLK;
  input [WIDTH-1:0] D;
  output [WIDTH-1:0] Q;
  assign Q = D;
endmodule
"""


def proven(text, folder, checks):
    """Whether Yosys proves every command of `checks` on the module `top` of `text`."""
    if shutil.which("yosys") is None:
        pytest.skip("Yosys is not installed")
    (folder / "top.v").write_text(f"`default_nettype none\n{text}")
    (folder / "wires.v").write_text(WIRES)
    files = " ".join(map(str, [*sorted(PRIM.glob("*.v")), folder / "top.v"]))
    script = [f"read_verilog -defer {files}", "hierarchy -check -top top", "proc", "flatten", "opt -full"]
    script += [f"techmap -map {folder / 'wires.v'}", "opt -full", *checks]
    (folder / "proof.ys").write_text("\n".join(script) + "\n")
    done = subprocess.run(["yosys", "-q", folder / "proof.ys"], capture_output=True, text=True, check=False)
    assert "syntax error" not in done.stderr, done.stderr
    return done.returncode == 0


def table(cell, params, ports, width, values):
    """The module `top`: ok_o tells that `cell`, given the bits of x_i in `ports` [(name, bits)], gives values[x_i]."""
    total = sum(bits for _, bits in ports)
    assert len(values) == 1 << total
    mask = (1 << width) - 1
    words = sum((int(v) & mask) << (i * width) for i, v in enumerate(values))
    given, at = [], 0
    for name, bits in ports:
        given.append(f".{name}(x_i[{at} +: {bits}])")
        at += bits
    out = OUT.get(cell, "y_o")
    clock = ".clk_i(clk_i), .en_i(1'b1), " if cell in CLOCKED else ""
    settings = ", ".join(f".{k}({v})" for k, v in params.items())
    return f"""module top (input wire clk_i, input wire [{total - 1}:0] x_i, output wire ok_o);
  localparam [{len(values) * width - 1}:0] TABLE = {len(values) * width}'h{words:x};
  wire [{width - 1}:0] y;
  {cell} #({settings}) u_cell ({clock}{", ".join(given)}, .{out}(y));
  assign ok_o = y == TABLE[x_i * {width} +: {width}];
endmodule
"""


OUT = {"hwc_popcount": "count_o", "hwc_ones": "ones_o", "hwc_sign": "data_o", "hwc_bipolar": "data_o", "hwc_ge": "ge_o"}
CLOCKED = ("hwc_popcount", "hwc_tally", "hwc_agree", "hwc_threshold_lane")
OK = ["sat -verify -prove ok_o 1"]


def fields(*bits):
    """Every combination of unsigned fields, the first at the bottom: int64 [len(bits), 2**sum(bits)]."""
    index, at, found = np.arange(1 << sum(bits)), 0, []
    for b in bits:
        found.append(index >> at & ((1 << b) - 1))
        at += b
    return np.stack(found)


def signed(value, bits):
    return value - ((value >> (bits - 1)) << bits)


def ones(n):
    """sw_ref's sum of the bits of every number of n bits."""
    bits = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    return nm.dense_accumulate(bits, np.ones((1, n), np.int64), [0], acc_bits=16)[:, 0]


FORMS = [{}, {"FIRST": 3}, {"FIRST": 6}, {"STEPS": 1}, {"STEPS": 2, "REG": 1}, {"FIRST": 3, "STEPS": 1, "REG": 2}]


@pytest.mark.parametrize("n", [1, 2, 6, 7])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_popcount_of_few_bits(form, n, tmp_path):
    params, width = {"N": n, **form}, n.bit_length()
    assert proven(table("hwc_popcount", params, [("x_i", n)], width, ones(n)), tmp_path, OK)


@pytest.mark.parametrize("n", range(1, 8))
def test_ones(n, tmp_path):
    assert proven(table("hwc_ones", {"K": n}, [("x_i", n)], n.bit_length(), ones(n)), tmp_path, OK)


def inductive(n, form):
    """The module `top`: with bit `at_i` set there is one more than with it clear."""
    settings = "".join(f", .{k}({v})" for k, v in form.items())
    width = n.bit_length()
    cells = "".join(
        f"  hwc_popcount #(.N({n}){settings}) u_{name} (.clk_i(clk_i), .en_i(1'b1), .x_i({x}), .count_o({name}));\n"
        for name, x in (("more", "x_i | bit_i"), ("less", "x_i & ~bit_i"), ("none", f"{n}'d0"))
    )
    return f"""module top (
    input wire clk_i, input wire [{n - 1}:0] x_i, input wire [{n - 1}:0] bit_i, output wire ok_o, output wire zero_o
);
  wire [{width - 1}:0] more, less, none;
{cells}  assign ok_o = {{1'b0, more}} == {{1'b0, less}} + {width + 1}'d1;
  assign zero_o = none == {width}'d0;
endmodule
"""


def steps(n):
    """The step of the induction for each bit."""
    return ["sat -verify -prove zero_o 1"] + [f"sat -verify -set bit_i {n}'h{1 << i:x} -prove ok_o 1" for i in range(n)]


@pytest.mark.parametrize(
    ("n", "form"),
    [(33, {}), (40, {"FIRST": 3}), (31, {"STEPS": 3, "REG": 2}), (40, {"STEPS": 5}), (27, {"FIRST": 6})],
    ids=str,
)
def test_popcount_of_many_bits(n, form, tmp_path):
    assert proven(inductive(n, form), tmp_path, steps(n))


@pytest.mark.slow
@pytest.mark.parametrize("form", [{}, {"FIRST": 3}, {"STEPS": 3, "REG": 2}, {"STEPS": 5}], ids=str)
@pytest.mark.parametrize("n", [64, 131, 256])
def test_popcount_of_very_many_bits(n, form, tmp_path):
    assert proven(inductive(n, form), tmp_path, steps(n))


@pytest.mark.parametrize("n", [1, 3, 4])
def test_agree(n, tmp_path):
    x, w = fields(n, n)
    bits = np.arange(n)
    sums = [
        nm.dense_accumulate(2 * (a >> bits & 1)[None] - 1, 2 * (b >> bits & 1)[None] - 1, [0], acc_bits=8).item()
        for a, b in zip(x, w, strict=True)
    ]
    values = (np.array(sums) + n) // 2  # 2p - n
    assert proven(table("hwc_agree", {"N": n, "OW": 4}, [("x_i", n), ("w_i", n)], 4, values), tmp_path, OK)


@pytest.mark.parametrize("double", [0, 1])
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(
    ("n", "b", "flip", "start"), [(3, 2, 0b101, -5), (2, 3, 0b10, -9), (5, 1, 0b01100, 0), (3, 3, 7, -40), (2, 2, 1, 3)]
)
def test_tally(n, b, flip, start, sign, double, tmp_path):
    reads = fields(*[b] * n)
    flips = np.array([flip >> i & 1 for i in range(n)])[:, None]
    read = np.where(flips, (1 << b) - 1 - reads, reads)
    acc = nm.dense_accumulate(read.T, np.full((1, n), 1 + double), [start], acc_bits=16)[:, 0]
    values = (nm.requantize_threshold(acc, [np.array(0)], 0, 0, 1)) if sign else acc
    params = {
        "N": n,
        "B": b,
        "FLIP": f"{n}'d{flip}",
        "START": start,
        "DOUBLE": double,
        "SIGN": sign,
        "ACC_W": 8,
        "STEPS": 1,
    }
    width = 1 if sign else 8
    assert proven(table("hwc_tally", params, [("c_i", n * b)], width, values), tmp_path, OK)


@pytest.mark.parametrize(("count", "lo", "step", "out"), [(1, -1, 2, 2), (1, 0, 1, 1), (2, -1, 1, 2), (3, 0, 1, 2)])
def test_threshold_lane(count, lo, step, out, tmp_path):
    bits = 3
    a, *t, down = fields(*[bits] * (count + 1), 1)
    values = nm.requantize_threshold(signed(a, bits), [signed(x, bits) for x in t], down, lo, step)
    params = {"ACC_W": bits, "N": count, "LO": lo, "STEP": step, "OUT_W": out}
    ports = [("a_i", bits), ("t_i", count * bits), ("down_i", 1)]
    assert proven(table("hwc_threshold_lane", params, ports, out, values), tmp_path, OK)


@pytest.mark.parametrize("is_signed", [0, 1])
def test_ge(is_signed, tmp_path):
    a, b = (signed(v, 5) if is_signed else v for v in fields(5, 5))
    values = nm.requantize_threshold(a, [b], 0, 0, 1)
    params = {"EW": 5, "IS_SIGNED": is_signed}
    assert proven(table("hwc_ge", params, [("a_i", 5), ("b_i", 5)], 1, values), tmp_path, OK)


def test_sign(tmp_path):
    values = nm.requantize_threshold(signed(np.arange(64), 6), [np.array(0)], 0, 0, 1)
    assert proven(table("hwc_sign", {"W": 6}, [("data_i", 6)], 1, values), tmp_path, OK)


@pytest.mark.parametrize("wrong", [0, 5])
def test_a_wrong_table_is_not_proven(wrong, tmp_path):
    values = ones(5)
    values[wrong] += 1
    assert not proven(table("hwc_popcount", {"N": 5}, [("x_i", 5)], 3, values), tmp_path, OK)


def test_a_wrong_count_is_not_proven(tmp_path):
    text = inductive(9, {}).replace(".x_i(x_i | bit_i)", ".x_i((x_i | bit_i) & ~9'd16)")
    assert not proven(text, tmp_path, steps(9))
    assert proven(inductive(9, {}), tmp_path, steps(9))
