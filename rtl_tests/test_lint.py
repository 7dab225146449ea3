"""Every cell through Verilator's lint, Icarus and Yosys, and the rules of the Verilog sources."""

import re

import pytest

from rtl_tests.common import FOLDERS, icarus_lint, sources, verilator_lint, write_hex, yosys_check

ROM = {"hwc_rom": ["MEM_FILE"], "hwc_lut": ["MEM_FILE"], "hwc_permute": ["MEM_FILE"], "hwc_mvu": ["W_FILE", "B_FILE"]}
ROM["hwc_operands"] = ["W_FILE", "I_FILE"]
ROM |= {"hwc_requant": ["M_FILE", "C_FILE"], "hwc_dwc": ["W_FILE", "B_FILE"], "hwc_chanperm": ["MEM_FILE"]}
ROM |= {"hwc_skip": ["S_FILE"], "hwc_mask": ["MEM_FILE"], "hwc_threshold": ["T_FILE"]}
ROM |= {"hwc_softmax": ["EXP_FILE", "FINE_FILE"]}

# Parameter sets beyond the defaults; the benches lint theirs too.
SETS = {
    "hwc_count": [{"N": 1}, {"N": 3, "W": 2}, {"N": 8, "W": 3}],
    "hwc_fifo": [{"DEPTH": 3}, {"DEPTH": 17}, {"DEPTH": 300, "W": 64}],
    "hwc_delay": [{"N": 2}, {"N": 5}],
    "hwc_modadd": [{"M": 1}, {"M": 8, "W": 3}, {"M": 9, "W": 4}],
    "hwc_width": [
        {"LANES_I": 4, "BEATS_O": 4, "BLOCKS": 3, "LAST_O": 2},
        {"LANES_O": 4, "BEATS_I": 4, "BLOCKS": 2, "LAST_I": 2},
        {"LANES_I": 3, "LANES_O": 5, "LAST_I": 4, "LAST_O": 3},
        {"LANES_I": 6, "LANES_O": 4, "BEATS_O": 2},
    ],
    "hwc_pad": [{"H": 4, "WD": 5, "G": 3, "PT": 1, "PL": 2, "PR": 3}, {"PT": 1, "PL": 1, "PB": 1, "PR": 1}],
    "hwc_window": [
        {"G": 4, "DEPTH": 12, "REP": 5},
        {"P": 9, "HP": 5, "WP": 6, "KH": 3, "KW": 3, "DEPTH": 40},
        {"P": 4, "HP": 7, "WP": 9, "KH": 3, "KW": 2, "SH": 2, "SW": 3, "DILH": 2, "DILW": 2, "DEPTH": 64, "REP": 3},
        {"P": 2, "HP": 5, "WP": 6, "G": 3, "KH": 3, "KW": 3, "DEPTH": 60, "REP": 2, "SETS": 3},
        {"P": 2, "HP": 5, "WP": 6, "G": 6, "KH": 3, "KW": 3, "DEPTH": 120, "REP": 2, "SETS": 2},
    ],
    "hwc_dot": [
        {"SIMD": 5, "OW": 18},
        {"SIMD": 16, "XW": 1, "X_SIGNED": 0, "WW": 2, "OW": 7},
        {"SIMD": 4, "WW": 1, "ONES": 1},
        {"WW": 1, "ONES": 1, "OW": 8},
        {"SIMD": 100, "XW": 1, "X_BIPOLAR": 1, "WW": 1, "W_KIND": 1, "OW": 7},
        {"SIMD": 7, "XW": 1, "X_BIPOLAR": 1, "WW": 4, "OW": 7},
        {"SIMD": 7, "XW": 4, "WW": 1, "W_KIND": 1, "OW": 20},
        {"SIMD": 7, "XW": 4, "X_SIGNED": 0, "WW": 2, "W_KIND": 2},
        {"SIMD": 7, "WW": 4, "W_KIND": 3, "OW": 12},
        {"SIMD": 7, "XW": 2, "WW": 2},
    ],
    "hwc_product": [
        {"X_BIPOLAR": 1, "XW": 1, "WW": 3, "PW": 3},
        {"XW": 3, "X_SIGNED": 0, "WW": 3, "PW": 6},
        {"WW": 1, "W_KIND": 1, "PW": 9},
        {"WW": 2, "W_KIND": 2, "PW": 9},
        {"WW": 4, "W_KIND": 3, "PW": 15},
    ],
    "hwc_agree": [{"N": 7}, {"N": 8, "OW": 3}, {"N": 9}, {"N": 784, "OW": 10}, {"N": 784, "OW": 10, "MOST": 0}],
    "hwc_zone": [
        {
            "GROUPS": 3,
            "W": 4,
            "ROWS": 3,
            "COLS": 2,
            "ROW_AT": "96'h000000060000000300000000",
            "COL_AT": "64'h3_00000000",
        }
    ],
    "hwc_repeat": [{"N": 1}, {"N": 5}],
    "hwc_mask": [{"LANES": 5, "CHUNKS": 3, "XW": 2}],
    "hwc_bipolar": [{"LANES": 5}],
    "hwc_sign": [{"LANES": 5, "W": 1}],
    "hwc_threshold": [
        {"LANES": 3, "ACC_W": 5, "N": 7, "LO": -3, "OUT_W": 4, "GROUPS": 3},
        {"N": 2, "CONST": 1, "T": "17'h17f80"},
        {"LANES": 2, "N": 255, "OUT_W": 8},
    ],
    "hwc_threshold_lane": [{"N": 3, "LO": -1, "OUT_W": 2}],
    "hwc_mvu": [
        {"PE": 3, "SIMD": 5, "GROUPS": 2, "CHUNKS": 3, "ACC_W": 19},
        {"PE": 2, "SIMD": 16, "XW": 1, "X_SIGNED": 0, "WW": 2, "ACC_W": 7, "GROUPS": 5},
        {"XW": 4, "WW": 24, "SIMD": 7, "ACC_W": 40, "CHUNKS": 2},
        {
            "PE": 2,
            "SIMD": 9,
            "XW": 1,
            "X_BIPOLAR": 1,
            "WW": 1,
            "W_KIND": 1,
            "ACC_W": 6,
            "SIGN": 1,
            "GROUPS": 3,
            "CHUNKS": 2,
        },
        {
            "SIMD": 9,
            "XW": 1,
            "X_BIPOLAR": 1,
            "WW": 2,
            "W_KIND": 0,
            "ACC_W": 6,
            "DOUBLE": 1,
            "ZONES": 4,
            "ROWS": 2,
            "COLS": 2,
            "ROW_AT": "64'h00000002_00000000",
            "COL_AT": "64'h00000001_00000000",
        },
    ],
    "hwc_operands": [
        {"PE": 5, "SIMD": 6, "N": 2, "M": 4, "SHARE": 2, "DEPTH": 7, "AW": 3},
        {"PE": 2, "SIMD": 3, "CHUNKS": 5, "CODE_W": 2},
        {"PE": 3, "SIMD": 8, "CODE_W": 3, "VECTOR": 4},
    ],
    "hwc_table": [{"LANES": 3, "CW": 3, "W": 5, "TABLE": "40'h0123456789"}],
    "hwc_select": [{"SETS": 3, "GROUPS": 2, "N": 3, "M": 8, "IW": 3, "XW": 5}, {"N": 1, "M": 2, "IW": 1}],
    "hwc_engine": [{"GROUPS": 3, "CHUNKS": 4, "WAW": 4, "GW": 2, "LAT": 3}],
    "hwc_requant": [
        {"LANES": 3, "GROUPS": 4, "SHIFT": 20, "OUT_W": 5, "LO": -16, "HI": 15},
        {"FORM": 1, "PER_CHANNEL_C": 1, "CW": 40, "SHIFT": 20},
        {"FORM": 1, "CW": 48, "C_CONST": "48'hfffffffffffb", "SHIFT": 62, "ACC_W": 17},
        {"M_ONE": 1, "MW": 1, "SHIFT": 5, "ACC_W": 20, "LO": 0, "HI": 255},
        {"FORM": 1, "M_ONE": 1, "MW": 1, "PER_CHANNEL_C": 1, "CW": 12, "SHIFT": 3, "ACC_W": 10, "GROUPS": 3},
    ],
    "hwc_maxpool": [
        {"LANES": 2, "HP": 5, "WP": 5, "KH": 2, "KW": 2, "SH": 2, "SW": 2},
        {"HP": 7, "WP": 6, "G": 3, "KH": 3, "KW": 3, "SH": 2, "SW": 1, "IS_SIGNED": 0},
        {"HP": 7, "WP": 6, "KH": 1, "KW": 3, "SH": 2, "SW": 4},
    ],
    "hwc_argmax": [{"LANES": 4, "C": 10, "G": 3, "IW": 4}, {"LANES": 10, "C": 10, "IW": 8, "EW": 20, "IS_SIGNED": 0}],
    "hwc_axis_in": [{"BEATS": 7}],
    "hwc_axis_out": [{"BEATS": 7}],
    "hwc_lut": [{"EW": 4, "LANES": 3}],
    "hwc_permute": [{"N": 1}, {"N": 5}, {"N": 6, "LANES": 3}, {"N": 1, "LANES": 2}],
    "hwc_chanperm": [{"C": 12, "LANES": 4}, {"C": 4, "LANES": 4, "ORDER": "64'h0001_0003_0000_0002"}],
    "hwc_fork": [{"N": 1}, {"N": 5}],
    "hwc_concat": [{"N": 1, "BEATS": "32'd5"}, {"N": 3, "BEATS": "96'h00000008_00000001_00000004"}],
    "hwc_slice": [{"BEATS": 7, "FIRST": 2, "LAST": 5}, {"BEATS": 8, "LAST": 7}],
    "hwc_add": [
        {"LANES": 2, "MW": 24, "MA": 5000000, "MB": -700000, "KW": 33, "K": "33'h1_2345_6789", "SHIFT": 20, "ZERO": 3},
        {
            "A_W": 9,
            "B_SIGNED": 0,
            "MW": 32,
            "MA": 2147483647,
            "FORM": 1,
            "SHIFT": 62,
            "KW": 63,
            "OUT_W": 5,
            "HI": 15,
            "LO": 0,
        },
    ],
    "hwc_mul": [
        {"LANES": 2, "ZA": -128, "ZB": 127, "MW": 24, "M": "24'habcdef", "SHIFT": 30, "ZERO": 3},
        {
            "A_W": 9,
            "B_SIGNED": 0,
            "ZB": 255,
            "FORM": 1,
            "CW": 40,
            "C": "40'h8000000001",
            "SHIFT": 62,
            "OUT_W": 5,
            "HI": 15,
            "LO": 0,
        },
    ],
    "hwc_dwc": [
        {"LANES": 3, "P": 4, "GROUPS": 2, "CHUNKS": 3, "ACC_W": 19},
        {"P": 9, "X_SIGNED": 0, "ACC_W": 20},
        {"LANES": 3, "P": 4, "ACC_W": 19, "CODE_W": 2},
    ],
    "hwc_sumpool": [{"LANES": 2, "P": 4, "TAPS": 9, "ACC_W": 12, "START": "12'hff0"}, {"P": 4, "TAPS": 4}],
    "hwc_accpool": [{"G": 5, "PIXELS": 4, "LANES": 2, "ACC_W": 12, "START": "12'h123"}, {"ACC_W": 8, "IS_SIGNED": 0}],
    "hwc_round": [{"IN_W": 5, "SHIFT": 9}, {"IN_W": 40, "SHIFT": 20, "RNE": 0, "OUT_W": 5, "LO": -16, "HI": 15}],
    "hwc_hold": [{"N": 1}, {"N": 5, "FW": 3}],
    "hwc_softmax": [
        {"N": 10, "SW": 27, "ZERO": -128, "LO": -128},
        {"EW": 12, "IS_SIGNED": 0, "MOST": 3000, "SPLIT": 5, "TW": 30, "SW": 34, "F": 15, "HI": 32767, "OUT_W": 16},
    ],
    "hwc_gap": [{"MOST": 0}, {"EW": 30, "MOST": 1073741822}],
    "hwc_share": [{"F": 0, "TW": 1, "SW": 1, "HI": 1, "OUT_W": 2}, {"SW": 40, "F": 24, "OUT_W": 30, "HI": 536870911}],
    "hwc_ones": [{"K": 1}, {"K": 6}, {"K": 7}],
    "hwc_tally": [
        {"N": 11, "B": 3, "FLIP": "11'h2a5", "START": -20, "SIGN": 1},
        {"N": 40, "START": -90, "DOUBLE": 1, "ACC_W": 9, "STEPS": 3, "REG": 2},
        {"N": 3, "B": 1, "START": -9, "SIGN": 1},
    ],
    "hwc_shift_add": [
        {"AW": 5, "A_SIGNED": 1, "SHIFT": 3, "OP": 1, "YW": 12},
        {"SHIFT": 2, "OP": 2, "YW": 11},
        {"SHIFT": 9, "YW": 9},
        {"BW": 1, "YW": 7},
    ],
    "hwc_popcount": [
        {"N": 1},
        {"N": 27, "STEPS": 2, "REG": 1},
        {"N": 100, "STEPS": 5, "REG": 2},
        {"N": 65, "FIRST": 3},
        {"N": 40, "FIRST": 6, "REG": 9},
    ],
    "hwc_extend": [{"LANES": 3, "IN_W": 4, "OUT_W": 11}, {"OUT_W": 9, "IS_SIGNED": 0}],
}

# Each must stop the elaboration, with a module name that says why.
BAD = [
    ("hwc_fifo", {"DEPTH": 1}, "fifo_needs_depth_ge_2"),
    ("hwc_rom", {"DEPTH": 3}, "rom_needs_depth_ge_1_and_aw_ge_clog2_depth"),
    ("hwc_window", {"G": 4, "DEPTH": 3}, "credit_needs_depth_ge_span"),
    ("hwc_window", {"KH": 2}, "window_kernel_must_fit_the_frame"),
    ("hwc_width", {"LAST_O": 2, "BLOCKS": 2}, "width_needs_sizes_ge_1_and_last_le_beats"),
    ("hwc_argmax", {"C": 4, "LANES": 2, "G": 1, "IW": 2}, "argmax_needs_g_eq_ceil_c_over_lanes"),
    ("hwc_maxpool", {"KW": 2}, "maxfold_window_must_fit"),
    ("hwc_requant_lane", {"LO": 5, "HI": 4}, "round_needs_shift_0_to_62_and_limits_within_out_w"),
    ("hwc_requant_lane", {"FORM": 2}, "requant_needs_form_0_or_1"),
    ("hwc_extend", {"OUT_W": 7}, "extend_needs_out_w_ge_in_w"),
    ("hwc_select", {"IW": 1}, "select_needs_1_le_n_lt_m_and_iw_eq_clog2_ways"),
    ("hwc_operands", {"SIMD": 3, "N": 2, "M": 4}, "operands_need_n_le_m_and_n_divides_simd"),
    ("hwc_operands", {"PE": 2, "SHARE": 1}, "operands_need_n_le_m_and_n_divides_simd"),
    ("hwc_operands", {"SIMD": 6, "CODE_W": 3, "VECTOR": 4}, "operands_need_whole_vectors_of_indices"),
    ("hwc_operands", {"SIMD": 4, "VECTOR": 4}, "operands_need_whole_vectors_of_indices"),
    ("hwc_table", {"LANES": 0}, "table_sizes_must_be_ge_1"),
    ("hwc_dot", {"ONES": 1}, "dot_sizes_must_be_ge_1_and_ww_1_for_ones"),
    ("hwc_fork", {"N": 0}, "fork_needs_n_ge_1"),
    ("hwc_add", {"MA": 2}, "add_factors_must_fit_mw"),
    ("hwc_mul", {"A_W": 25}, "mul_needs_inputs_of_1_to_24_bits"),
    ("hwc_mul", {"ZA": 128}, "mul_zero_points_must_be_of_their_types"),
    ("hwc_mul", {"ZB": -1, "B_SIGNED": 0}, "mul_zero_points_must_be_of_their_types"),
    ("hwc_concat", {"BEATS": "64'd7"}, "concat_needs_n_ge_1_and_beats_ge_1"),
    ("hwc_slice", {"BEATS": 3, "LAST": 3}, "slice_needs_first_le_last_lt_beats"),
    ("hwc_sumpool", {"TAPS": 0}, "sumpool_sizes_must_be_ge_1"),
    ("hwc_accpool", {"ACC_W": 7}, "accpool_needs_acc_w_ge_ew"),
    ("hwc_hold", {"N": 0}, "hold_sizes_must_be_ge_1"),
    ("hwc_softmax", {"MOST": 256}, "softmax_needs_most_below_two_to_ew"),
    ("hwc_share", {"F": 25}, "share_needs_sw_ge_tw_f_0_to_24"),
    ("hwc_ones", {"K": 8}, "ones_needs_1_to_7_bits"),
    ("hwc_tally", {"ACC_W": 1}, "tally_needs_n_and_b_ge_1_and_acc_w_ge_2"),
    ("hwc_shift_add", {"OP": 3}, "shift_add_needs_widths_ge_1_and_op_0_to_2"),
    ("hwc_popcount", {"FIRST": 2}, "popcount_needs_n_ge_1_and_first_1_3_or_6"),
    ("hwc_chanperm", {"C": 4, "LANES": 3}, "chanperm_needs_lanes_that_divide_c"),
    ("hwc_chanperm", {"C": 2, "LANES": 2, "ORDER": "32'h00020000"}, "chanperm_order_must_be_below_c"),
]


@pytest.mark.parametrize("module", [path.stem for path in sources()])
def test_cell_is_accepted_by_all_tools(tmp_path, module):
    file = write_hex(tmp_path / "zero.mem", [0] * 4096, 4)
    for values in [{}, *SETS.get(module, [])]:
        parameters = {**values, **dict.fromkeys(ROM.get(module, []), file)}
        verilator_lint(module, parameters)
        icarus_lint(module, parameters)
        yosys_check(module, parameters, tmp_path)


@pytest.mark.parametrize(("module", "values", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_parameters_stop_the_elaboration(tmp_path, module, values, message):
    for tool in (verilator_lint, icarus_lint, lambda m, p: yosys_check(m, p, tmp_path)):
        with pytest.raises(AssertionError, match=f"hwc_error_{message}"):
            tool(module, values)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_source_rules(path):
    text = path.read_text()
    code = re.sub(r"//[^\n]*", "", text)
    lines = text.splitlines()
    assert re.findall(r"^module (\w+)", code, re.M) == [path.stem]
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120
    assert lines[0].startswith(f"// {path.stem}: ")
    assert "\n`default_nettype none\n" in text
    assert text.endswith("\n`default_nettype wire\n")
    assert not re.search(r"\b(initial(?! \$readmemh)|struct|logic|always_ff|1'bx|'x)\b", code)
    header = code.split(") (")[0] if "#(" in code else ""
    for parameter in re.findall(r"^ +parameter .*$", text.split(") (")[0], re.M):
        assert "//" in parameter, f"no comment: {parameter}"
    assert header.count("parameter ") == len(re.findall(r"^ +parameter ", text, re.M))
    if path.parent == FOLDERS[0]:
        assert not re.search(r"\bsigned\b|\$signed", code), "signed arithmetic belongs in prim"


def test_names_are_unique():
    names = [path.stem for path in sources()]
    assert len(names) == len(set(names))
    assert all(name.startswith("hwc_") for name in names)
