"""The node tests of the onnx package (tests/node_cases.py): none fails; a refusal names the node, a reason and a remedy."""

import pytest

from tests import node_cases

# One or two of each kind of operator; all of them are in the slow test.
FAST = {
    "test_add": "passed", "test_argmax_keepdims_example": "passed", "test_averagepool_2d_pads_count_include_pad": "passed",
    "test_conv_with_strides_and_asymmetric_padding": "passed", "test_gemm_alpha": "passed", "test_hardswish": "passed",
    "test_clip_example": "passed", "test_maxpool_2d_uint8": "passed", "test_softmax_axis_2": "passed",
    "test_matmul_3d": "passed", "test_split_equal_parts_2d": "passed", "test_lstm_batchwise": "passed",
    "test_gru_reverse": "passed", "test_layer_normalization_2d_axis1": "passed", "test_range_int32_type_negative_delta": "folded",
    "test_lstm_with_peepholes": "refused", "test_slice": "refused",
}  # fmt: skip
PARTS = 24


def checked(name, folder, engines=node_cases.ENGINES):
    result = node_cases.check(node_cases.cases()[name], folder, engines)
    assert result.status != "failed", result.detail
    if result.status == "refused":
        what, why, fix = result.detail.split("|")
        assert what and fix, what
        whole = what.startswith(
            ("the model has opset", "the case's output")
        )  # nothing that one node could be blamed for
        assert (result.node or whole) and (why or "declared" in what or "can't" in what), (what, why, fix)
    return result


@pytest.mark.parametrize("name", FAST)
def test_some_cases(name, tmp_path):
    assert checked(name, tmp_path).status == FAST[name]


# Of the FAST ones, those that differ most in the cells that they need.
VERILOG = (
    "test_add",
    "test_averagepool_2d_pads_count_include_pad",
    "test_gemm_alpha",
    "test_maxpool_2d_uint8",
    "test_softmax_axis_2",
)


@pytest.mark.parametrize("name", VERILOG)
def test_some_cases_in_verilog(name, tmp_path):
    result = checked(name, tmp_path, node_cases.ALL)
    assert (result.status, result.engines) == ("passed", list(node_cases.ALL))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_all_cases(part, tmp_path):
    """On Verilator, too, where that target takes the Program."""
    for name in list(node_cases.cases())[part::PARTS]:
        (tmp_path / name).mkdir()
        result = checked(name, tmp_path / name, node_cases.ALL)
        assert ("verilator" in result.engines) == (result.status == "passed" and "fpga" in result.targets)


def test_a_wrong_result_is_noticed(tmp_path, monkeypatch):
    """The evaluator's output moved by two steps, and a case whose own output is not that of the evaluator."""
    case = node_cases.cases()["test_relu"]
    real = node_cases.teacher
    step = float(max(case.outputs["y"].max(), 0) / 255)
    monkeypatch.setattr(node_cases, "teacher", lambda c, held: {n: a + 2.1 * step for n, a in real(c, held).items()})
    assert node_cases.check(case, tmp_path).status == "failed"
