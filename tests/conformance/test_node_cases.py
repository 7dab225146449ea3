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


def checked(name, folder):
    result = node_cases.check(node_cases.cases()[name], folder)
    assert result.status != "failed", result.detail
    if result.status == "refused":
        what, why, fix = result.detail.split("|")
        assert what
        assert result.node or not node_cases.cases()[name].written_out
        assert why or fix, what
    return result


@pytest.mark.parametrize("name", FAST)
def test_some_cases(name, tmp_path):
    assert checked(name, tmp_path).status == FAST[name]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_all_cases(part, tmp_path):
    for name in list(node_cases.cases())[part::PARTS]:
        (tmp_path / name).mkdir()
        checked(name, tmp_path / name)


def test_a_wrong_result_is_noticed(tmp_path, monkeypatch):
    """The evaluator's output moved by two steps, and a case whose own output is not that of the evaluator."""
    case = node_cases.cases()["test_relu"]
    real = node_cases.teacher
    step = float(max(case.outputs["y"].max(), 0) / 255)
    monkeypatch.setattr(node_cases, "teacher", lambda c, held: {n: a + 2.1 * step for n, a in real(c, held).items()})
    assert node_cases.check(case, tmp_path).status == "failed"
