"""What the proofs by Yosys share: its SAT solver on a module `top`, and a table of what a cell of few inputs must give."""

import shutil
import subprocess

import numpy as np
import pytest

from rtl_tests.common import ROOT

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
    script = [f"read_verilog -defer {files}", "hierarchy -check -top top", "proc", "flatten"]
    script += [f"techmap -map {folder / 'wires.v'}", "opt -full", *checks]  # before opt makes other registers of them
    (folder / "proof.ys").write_text("\n".join(script) + "\n")
    done = subprocess.run(["yosys", "-q", folder / "proof.ys"], capture_output=True, text=True, check=False)
    refuted = "proof did fail" in done.stderr
    assert done.returncode == 0 or refuted, done.stderr
    return not refuted


def table(cell, params, ports, width, values, meant=None):
    """The module `top`: ok_o tells that `cell`, given the bits of x_i in `ports` [(name, bits)], gives values[x_i].

    meant: where the bits of x_i mean something; elsewhere the cell may give what it likes.
    """
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
    meant = np.ones(len(values), bool) if meant is None else meant
    free = sum(int(not m) << i for i, m in enumerate(meant))
    return f"""module top (input wire clk_i, input wire [{total - 1}:0] x_i, output wire ok_o);
  localparam [{len(values) - 1}:0] FREE = {len(values)}'h{free:x};
  localparam [{len(values) * width - 1}:0] TABLE = {len(values) * width}'h{words:x};
  wire [{width - 1}:0] y;
  {cell} #({settings}) u_cell ({clock}{", ".join(given)}, .{out}(y));
  assign ok_o = FREE[x_i] || y == TABLE[x_i * {width} +: {width}];
endmodule
"""


OUT = {"hwc_popcount": "count_o", "hwc_ones": "ones_o", "hwc_sign": "data_o", "hwc_bipolar": "data_o", "hwc_ge": "ge_o"}
OUT |= {"hwc_extend": "data_o", "hwc_cut": "data_o"}
CLOCKED = ("hwc_popcount", "hwc_tally", "hwc_agree", "hwc_threshold_lane", "hwc_dot")
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
