"""Products, sums and packing of few bits proven equal to sw_ref by a SAT solver (Yosys), as in test_proofs.py.

Sums of many lanes are proven by induction: nothing gives what the sum starts from, and what one lane holds adds its product
(proven alone), whatever the others hold.
"""

import numpy as np
import pytest

from rtl_tests.proofs import OK, fields, proven, signed, table
from sw_ref import numerics as nm

PRODUCT, SIGN, TERNARY, POWER = range(4)


def weights(kind, bits):
    """(weights that codes of `bits` stand for, which of them are codes), int64 and bool [2**bits]."""
    code = np.arange(1 << bits)
    if kind == PRODUCT:
        return signed(code, bits), code >= 0
    if kind == SIGN:
        return 1 - 2 * code, code >= 0
    if kind == TERNARY:
        return np.array([0, 1, 0, -1]), code != 2
    e = code & ((1 << (bits - 1)) - 1)
    size = np.where(e > 0, 1 << np.maximum(e - 1, 0), 0)
    return np.where(code >> (bits - 1), -size, size), code != 1 << (bits - 1)


def held(kind, w):
    """What cells take off where a weight of kinds 1 to 3 is negative."""
    return ((kind != PRODUCT) & (w < 0)).astype(np.int64)


# (bits of x, signed, x is a bit, bits of a weight, how it is held, bits of the product)
PRODUCTS = [
    (2, 1, 0, 2, PRODUCT, 4), (3, 1, 0, 2, PRODUCT, 5), (2, 1, 0, 4, PRODUCT, 6),
    (3, 0, 0, 3, PRODUCT, 6), (1, 0, 0, 4, PRODUCT, 5), (2, 0, 0, 4, PRODUCT, 6), (4, 1, 0, 4, PRODUCT, 8),
    (5, 0, 0, 3, PRODUCT, 8), (8, 1, 0, 2, PRODUCT, 10), (1, 0, 1, 2, PRODUCT, 2), (1, 0, 1, 4, PRODUCT, 4), (1, 0, 1, 8, PRODUCT, 9),
    (1, 0, 0, 1, SIGN, 2), (4, 1, 0, 1, SIGN, 5), (8, 0, 0, 1, SIGN, 9), (8, 1, 0, 1, SIGN, 9), (3, 0, 0, 2, TERNARY, 4),
    (8, 1, 0, 2, TERNARY, 9), (4, 1, 0, 4, POWER, 11), (4, 0, 0, 3, POWER, 7), (6, 1, 0, 4, POWER, 13), (6, 0, 0, 4, POWER, 14),
]  # fmt: skip


def named(bits, is_signed, bipolar, width, kind):
    return {"XW": bits, "X_SIGNED": is_signed, "X_BIPOLAR": bipolar, "WW": width, "W_KIND": kind}


@pytest.mark.parametrize(("bits", "is_signed", "bipolar", "width", "kind", "out"), PRODUCTS)
def test_product(bits, is_signed, bipolar, width, kind, out, tmp_path):
    x, code = fields(bits, width)
    w, meant = (v[code] for v in weights(kind, width))
    values = nm.product(signed(x, bits) if is_signed else x, 0, w, 0) - held(kind, w)
    params = {**named(bits, is_signed, bipolar, width, kind), "PW": out}
    text = table("hwc_product", params, [("x_i", bits), ("w_i", width)], out, values, meant)
    assert proven(text, tmp_path, OK)


@pytest.mark.parametrize(("bits", "is_signed"), [(12, 1), (16, 0)])
@pytest.mark.parametrize(("kind", "width"), [(SIGN, 1), (TERNARY, 2), (POWER, 4)])
def test_product_of_wide_inputs(bits, is_signed, kind, width, tmp_path):
    """Against a product with the weight that the code stands for."""
    w, meant = weights(kind, width)
    out = bits + 10
    cases = "".join(
        f"      {width}'d{i}: want = x * {v}{' - 1' if v < 0 else ''};\n" for i, v in enumerate(w) if meant[i]
    )
    sign = f"x_i[{bits - 1}]" if is_signed else "1'b0"
    settings = ", ".join(f".{k}({v})" for k, v in named(bits, is_signed, 0, width, kind).items())
    text = f"""module top (input wire [{bits - 1}:0] x_i, input wire [{width - 1}:0] w_i, output wire ok_o);
  wire signed [{out - 1}:0] x = {{{{{out - bits}{{{sign}}}}}, x_i}};
  wire [{out - 1}:0] y;
  reg signed [{out - 1}:0] want;
  hwc_product #({settings}, .PW({out})) u_cell (.x_i(x_i), .w_i(w_i), .y_o(y));
  always @* begin
    case (w_i)
{cases}      default: want = y;
    endcase
  end
  assign ok_o = y == want;
endmodule
"""
    assert proven(text, tmp_path, OK)


# (lanes, bits of x, signed, x is a bit, bits of a weight, how it is held, all weights are 1, bits of the sum)
DOTS = [
    (3, 2, 1, 0, 2, PRODUCT, 0, 7), (3, 1, 0, 1, 2, PRODUCT, 0, 5), (3, 2, 0, 0, 1, SIGN, 0, 6), (3, 2, 1, 0, 2, TERNARY, 0, 5),
    (2, 2, 1, 0, 3, POWER, 0, 7), (4, 1, 0, 1, 1, SIGN, 0, 3), (3, 3, 1, 0, 1, PRODUCT, 1, 5), (3, 2, 0, 0, 2, PRODUCT, 0, 3),
]  # fmt: skip


def dotted(lanes, bits, is_signed, bipolar, width, kind, ones, out):
    return {"SIMD": lanes, **named(bits, is_signed, bipolar, width, kind), "ONES": ones, "OW": out}


@pytest.mark.parametrize("form", DOTS)
def test_dot(form, tmp_path):
    """Every combination of few lanes, also where the sum is cut off."""
    lanes, bits, is_signed, bipolar, width, kind, ones, out = form
    read = fields(*[bits] * lanes, *[width] * lanes)
    x, code = read[:lanes], read[lanes:]
    w, meant = (v[code] for v in weights(kind, width))
    if ones:
        w = np.ones_like(w)
    x = 2 * x - 1 if bipolar and kind == SIGN else signed(x, bits) if is_signed else x
    w = -w if bipolar and kind == SIGN else w  # its code 1 is +1
    sums = nm.product(x, 0, w, 0).sum(0)
    values = (sums + lanes) // 2 if bipolar and kind == SIGN else sums - (0 if ones else held(kind, w).sum(0))
    ports = [("x_i", lanes * bits), ("w_i", lanes * width)]
    assert proven(table("hwc_dot", dotted(*form), ports, out, values, meant.all(0)), tmp_path, OK)


@pytest.mark.parametrize("form", [
    (5, 2, 1, 0, 2, PRODUCT, 0, 7), (11, 1, 0, 1, 4, PRODUCT, 0, 8), (9, 3, 0, 0, 1, SIGN, 0, 8), (7, 3, 1, 0, 2, TERNARY, 0, 7),
    (5, 2, 1, 0, 3, POWER, 0, 8),
])  # fmt: skip
def test_dot_of_many_lanes(form, tmp_path):
    lanes, bits, width, out = form[0], form[1], form[4], form[7]
    settings = ", ".join(f".{k}({v})" for k, v in dotted(*form).items())
    product = ", ".join(f".{k}({v})" for k, v in named(*form[1:6]).items())
    nx, nw = lanes * bits, lanes * width
    wide = max(out, bits + width + 8)
    text = f"""module top (
    input wire clk_i, input wire [{nx - 1}:0] x_i, input wire [{nw - 1}:0] w_i, output wire [{lanes - 1}:0] ok_o, output wire zero_o
);
  wire [{out - 1}:0] whole, none;
  hwc_dot #({settings}) u_all (.clk_i(clk_i), .en_i(1'b1), .x_i(x_i), .w_i(w_i), .y_o(whole));
  hwc_dot #({settings}) u_none (.clk_i(clk_i), .en_i(1'b1), .x_i({nx}'d0), .w_i({nw}'d0), .y_o(none));
  assign zero_o = none == {out}'d0;
  genvar i;
  generate
    for (i = 0; i < {lanes}; i = i + 1) begin : g_lane
      wire [{out - 1}:0] others;
      wire [{wide - 1}:0] one;
      wire [{nx - 1}:0] x = x_i & ~({nx}'d{(1 << bits) - 1} << (i * {bits}));
      wire [{nw - 1}:0] w = w_i & ~({nw}'d{(1 << width) - 1} << (i * {width}));
      hwc_dot #({settings}) u_others (.clk_i(clk_i), .en_i(1'b1), .x_i(x), .w_i(w), .y_o(others));
      hwc_product #({product}, .PW({wide})) u_one (.x_i(x_i[i*{bits} +: {bits}]), .w_i(w_i[i*{width} +: {width}]), .y_o(one));
      assign ok_o[i] = whole == others + one[{out - 1}:0];
    end
  endgenerate
endmodule
"""
    checks = ["sat -verify -prove zero_o 1", *(f"sat -verify -prove ok_o[{i}] 1" for i in range(lanes))]
    assert proven(text, tmp_path, checks)


def agreeing(n, out):
    return f"""module top (
    input wire clk_i, input wire [{n - 1}:0] x_i, input wire [{n - 1}:0] w_i, input wire [{n - 1}:0] bit_i,
    output wire ok_o, output wire zero_o
);
  wire [{out - 1}:0] more, less, none;
  wire [{n - 1}:0] same = (x_i & ~bit_i) | (w_i & bit_i);
  hwc_agree #(.N({n}), .OW({out})) u_more (.clk_i(clk_i), .en_i(1'b1), .x_i(same), .w_i(w_i), .y_o(more));
  hwc_agree #(.N({n}), .OW({out})) u_less (.clk_i(clk_i), .en_i(1'b1), .x_i(same ^ bit_i), .w_i(w_i), .y_o(less));
  hwc_agree #(.N({n}), .OW({out})) u_none (.clk_i(clk_i), .en_i(1'b1), .x_i(~w_i), .w_i(w_i), .y_o(none));
  assign ok_o = more == less + {out}'d1;
  assign zero_o = none == {out}'d0;
endmodule
"""


@pytest.mark.parametrize(("n", "out"), [(17, 5), (20, 3), pytest.param(36, 8, marks=pytest.mark.slow)])
def test_agreement_of_many_pairs(n, out, tmp_path):
    """Pairs that all differ give 0, and one that comes to agree gives one more."""
    one_by_one = [f"sat -verify -set bit_i {n}'h{1 << i:x} -prove ok_o 1" for i in range(n)]
    assert proven(agreeing(n, out), tmp_path, ["sat -verify -prove zero_o 1", *one_by_one])


@pytest.mark.parametrize(("n", "b", "flip", "start", "double"), [(9, 2, 0b101100101, -7, 0), (11, 3, 0x2A5, -40, 1)])
def test_tally_of_many_counters(n, b, flip, start, double, tmp_path):
    """What a counter reads is added, once or twice; the sign is that of the sum."""
    acc, mask = 10, (1 << b) - 1
    settings = f".N({n}), .B({b}), .FLIP({n}'d{flip}), .START({start}), .DOUBLE({double}), .ACC_W({acc}), .STEPS(1)"
    zeros = sum(mask << (i * b) for i in range(n) if flip >> i & 1)

    def cell(name, counters, sign=0, width=f"[{acc - 1}:0] "):
        return (
            f"  wire {width}{name};\n  hwc_tally #({settings}, .SIGN({sign})) u_{name} "
            f"(.clk_i(clk_i), .en_i(1'b1), .c_i({counters}), .y_o({name}));\n"
        )

    lanes = ""
    for i in range(n):
        at, given = i * b, f"c_i[{i * b} +: {b}]"
        read = f"~{given}" if flip >> i & 1 else given
        lanes += cell(
            f"others{i}", f"(c_i & ~({n * b}'d{mask} << {at})) | ({n * b}'h{zeros:x} & ({n * b}'d{mask} << {at}))"
        )
        lanes += f"  wire [{b - 1}:0] read{i} = {read};\n"
        twice = ", 1'b0" if double else ""
        lanes += (
            f"  wire [{acc - 1}:0] sum{i} = others{i} + {{read{i}{twice}}};\n  assign ok_o[{i}] = whole == sum{i};\n"
        )
    text = f"""module top (
    input wire clk_i, input wire [{n * b - 1}:0] c_i, output wire [{n - 1}:0] ok_o, output wire zero_o, output wire sign_o
);
{cell("whole", "c_i")}{cell("none", f"{n * b}'h{zeros:x}")}{cell("decided", "c_i", 1, "")}{lanes}
  assign zero_o = none == {start & ((1 << acc) - 1)};
  assign sign_o = decided == !whole[{acc - 1}];
endmodule
"""
    checks = [f"sat -verify -prove {name} 1" for name in ("zero_o", "sign_o", *(f"ok_o[{i}]" for i in range(n)))]
    assert proven(text, tmp_path, checks)


@pytest.mark.parametrize(("n", "lo", "step", "out"), [(1, -1, 2, 2), (7, 0, 1, 3), (15, -8, 1, 4)])
def test_threshold_lane_of_wide_sums(n, lo, step, out, tmp_path):
    """Accumulators of 24 bits, any thresholds: compared one by one, and counted."""
    acc, wide = 24, 6
    met = "".join(f"  wire met{i} = ($signed(a_i) >= $signed(t_i[{i * acc} +: {acc}])) ^ down_i;\n" for i in range(n))
    count = " + ".join(f"(met{i} ? {wide}'d{step} : {wide}'d0)" for i in range(n))
    text = f"""module top (
    input wire clk_i, input wire [{acc - 1}:0] a_i, input wire [{n * acc - 1}:0] t_i, input wire down_i, output wire ok_o
);
{met}  wire [{out - 1}:0] y;
  wire [{wide - 1}:0] want = {lo & ((1 << wide) - 1)} + {count};
  hwc_threshold_lane #(.ACC_W({acc}), .N({n}), .LO({lo}), .STEP({step}), .OUT_W({out})) u_cell (
      .clk_i(clk_i), .en_i(1'b1), .a_i(a_i), .t_i(t_i), .down_i(down_i), .y_o(y)
  );
  assign ok_o = y == want[{out - 1}:0];
endmodule
"""
    assert proven(text, tmp_path, OK)


@pytest.mark.parametrize("is_signed", [0, 1])
@pytest.mark.parametrize(("n", "lo", "step", "out"), [(1, -1, 2, 2), (2, 0, 1, 2)])
def test_cut(n, lo, step, out, is_signed, tmp_path):
    """Every set of thresholds, falling ones too, on every value of two lanes."""
    bits, acc, lanes = 2, 3, 2
    x = np.stack(fields(bits, bits))
    x = signed(x, bits) if is_signed else x
    cells, oks = "", []
    for word, code in enumerate(fields(*[acc] * n, 1).T):
        t, down = signed(code[:n], acc), code[n]
        values = nm.requantize_threshold(x, list(t), down, lo, step) & ((1 << out) - 1)
        given = sum(
            int(v) << (lanes * out * i + out * lane) for lane in range(lanes) for i, v in enumerate(values[lane])
        )
        size, width = lanes * out, (1 << lanes * bits) * lanes * out
        cells += f"""  wire [{size - 1}:0] y{word};
  localparam [{width - 1}:0] TABLE{word} = {width}'h{given:x};
  hwc_cut #(.LANES({lanes}), .XW({bits}), .X_SIGNED({is_signed}), .ACC_W({acc}), .N({n}), .T({n * acc + 1}'h{word:x}), .LO({lo}),
            .STEP({step}), .OUT_W({out})) u_{word} (.data_i(x_i), .data_o(y{word}));
"""
        oks.append(f"y{word} == TABLE{word}[x_i * {size} +: {size}]")
    text = f"module top (input wire [{lanes * bits - 1}:0] x_i, output wire ok_o);\n{cells}  assign ok_o = {' && '.join(oks)};\nendmodule\n"
    assert proven(text, tmp_path, OK)


def lanes_of(bits, values):
    """Lanes of `bits` side by side, the first at the bottom."""
    return sum((v & ((1 << bits) - 1)) << (i * bits) for i, v in enumerate(values))


def test_bits_as_numbers(tmp_path):
    values = lanes_of(2, 2 * fields(1, 1, 1) - 1)
    assert proven(table("hwc_bipolar", {"LANES": 3}, [("data_i", 3)], 6, values), tmp_path, OK)


@pytest.mark.parametrize("width", [1, 3])
def test_signs_of_lanes(width, tmp_path):
    values = lanes_of(1, nm.requantize_threshold(signed(fields(*[width] * 3), width), [np.array(0)], 0, 0, 1))
    assert proven(table("hwc_sign", {"LANES": 3, "W": width}, [("data_i", 3 * width)], 3, values), tmp_path, OK)


@pytest.mark.parametrize("is_signed", [0, 1])
def test_wider_lanes(is_signed, tmp_path):
    x = fields(3, 3)
    values = lanes_of(5, signed(x, 3) if is_signed else x)
    params = {"LANES": 2, "IN_W": 3, "OUT_W": 5, "IS_SIGNED": is_signed}
    assert proven(table("hwc_extend", params, [("data_i", 6)], 10, values), tmp_path, OK)


@pytest.mark.parametrize(("bits", "is_signed"), [(1, 0), (2, 0), (2, 1)])
def test_the_larger_of_lanes(bits, is_signed, tmp_path):
    """A pool over bits is an OR: they are compared as 0 and 1."""
    a, b = (signed(v, bits) if is_signed else v for v in np.split(fields(*[bits] * 4), 2))
    params = {"LANES": 2, "EW": bits, "IS_SIGNED": is_signed}
    values = lanes_of(bits, np.maximum(a, b))
    assert proven(table("hwc_max", params, [("a_i", 2 * bits), ("b_i", 2 * bits)], 2 * bits, values), tmp_path, OK)
