"""What each operator refuses, and what import makes of it: one line per rule."""

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.ops._cases import case
from hwcomp.ops.clip import ClipAttrs
from hwcomp.registry import OPS

F = np.float32
BROKEN, UNSUPPORTED = ModelError, UnsupportedError
X4 = {"x": (1, 2, 6, 6)}
X2 = {"x": (1, 4)}
W = np.ones((3, 2, 3, 3), F)
M = np.ones((4, 3), F)
S = np.array(0.5, F)


def one(op, inputs, attrs, shapes, constants=None, opset=17, outputs=("y",)):
    return case(op, [(op, inputs, list(outputs), attrs)], shapes, constants, opset=opset)


BN = {k: np.ones(2, F) for k in ("s", "b", "m", "v")}

REFUSED = {
    "conv 3d": (
        one("Conv", ["x", "w"], {}, {"x": (1, 2, 6, 6, 6)}, {"w": np.ones((3, 2, 3, 3, 3), F)}),
        UNSUPPORTED,
        "3D",
    ),
    "conv rank": (one("Conv", ["x", "w"], {}, {"x": (1, 2, 6)}, {"w": W}), BROKEN, "different ranks"),
    "conv channels": (one("Conv", ["x", "w"], {}, {"x": (1, 3, 6, 6)}, {"w": W}), BROKEN, "do not fit"),
    "conv groups": (one("Conv", ["x", "w"], {"group": 2}, X4, {"w": W}), BROKEN, "do not fit"),
    "conv group 0": (one("Conv", ["x", "w"], {"group": 0}, X4, {"w": W}), BROKEN, "'group' has the impossible value 0"),
    "conv stride 0": (one("Conv", ["x", "w"], {"strides": [0, 1]}, X4, {"w": W}), BROKEN, "'strides'"),
    "conv 3 strides": (one("Conv", ["x", "w"], {"strides": [1, 1, 1]}, X4, {"w": W}), BROKEN, "'strides' has 3 values"),
    "conv negative pad": (one("Conv", ["x", "w"], {"pads": [-1, 0, 0, 0]}, X4, {"w": W}), BROKEN, "'pads'"),
    "conv huge pad": (one("Conv", ["x", "w"], {"pads": [2**30] * 4}, X4, {"w": W}), BROKEN, "too large"),
    "conv kernel_shape": (one("Conv", ["x", "w"], {"kernel_shape": [5, 5]}, X4, {"w": W}), BROKEN, "kernel_shape is"),
    "conv auto_pad": (one("Conv", ["x", "w"], {"auto_pad": "SAME"}, X4, {"w": W}), BROKEN, "'auto_pad' is 'SAME'"),
    "conv pads twice": (
        one("Conv", ["x", "w"], {"auto_pad": "VALID", "pads": [1, 1, 1, 1]}, X4, {"w": W}),
        BROKEN,
        "together with pads",
    ),
    "conv too small": (one("Conv", ["x", "w"], {}, {"x": (1, 2, 2, 6)}, {"w": W}), BROKEN, "covers 3 elements"),
    "conv bias": (
        one("Conv", ["x", "w", "b"], {}, X4, {"w": W, "b": np.ones(2, F)}),
        BROKEN,
        "'b' has the wrong shape",
    ),
    "conv weight input": (
        one("Conv", ["x", "w"], {}, {**X4, "w": (1, 2, 3, 3)}),
        UNSUPPORTED,
        "the weight of Conv is not",
    ),
    "conv int weight": (one("Conv", ["x", "w"], {}, X4, {"w": W.astype(np.int64)}), BROKEN, "holds int64 values"),
    "gemm transA": (one("Gemm", ["x", "w"], {"transA": 1}, {"x": (1, 1)}, {"w": M}), UNSUPPORTED, "transA=1"),
    "gemm shape": (one("Gemm", ["x", "w"], {"transB": 1}, X2, {"w": M}), BROKEN, "do not fit"),
    "gemm rank": (one("Gemm", ["x", "w"], {}, {"x": (1, 2, 4)}, {"w": M}), BROKEN, "two dimensions"),
    "gemm flag": (one("Gemm", ["x", "w"], {"transB": 2}, X2, {"w": M}), BROKEN, "'transB' is 2"),
    "gemm C": (one("Gemm", ["x", "w", "c"], {}, X2, {"w": M, "c": np.ones(4, F)}), BROKEN, "must broadcast"),
    "gemm C rows": (one("Gemm", ["x", "w", "c"], {}, X2, {"w": M, "c": np.ones((2, 3), F)}), BROKEN, "must broadcast"),
    "gemm B input": (
        one("Gemm", ["x", "z"], {}, {**X2, "z": (1, 4)}),
        UNSUPPORTED,
        "matrix B of Gemm is not a constant",
    ),
    "matmul two inputs": (one("MatMul", ["x", "z"], {}, {**X2, "z": (1, 4)}), UNSUPPORTED, "constant right side"),
    "matmul constant left": (one("MatMul", ["w", "x"], {}, X2, {"w": M}), UNSUPPORTED, "a constant times"),
    "matmul vector": (one("MatMul", ["x", "w"], {}, X2, {"w": np.ones(4, F)}), UNSUPPORTED, "only a matrix"),
    "matmul batch": (
        one("MatMul", ["x", "w"], {}, {"x": ("N",)}, {"w": np.ones((1, 3), F)}),
        UNSUPPORTED,
        "batch axis",
    ),
    "add shapes": (one("Add", ["x", "c"], {}, X2, {"c": np.ones(3, F)}), BROKEN, "can't be added"),
    "add rank": (one("Add", ["x", "c"], {}, X2, {"c": np.ones((1, 1, 4), F)}), UNSUPPORTED, "different rank"),
    "add batch": (one("Add", ["x", "c"], {}, X2, {"c": np.ones((2, 4), F)}), UNSUPPORTED, "different rank or batch"),
    "add int": (one("Add", ["x", "c"], {}, X2, {"c": np.ones(4, np.int64)}), BROKEN, "holds int64"),
    "batchnorm training": (
        one("BatchNormalization", ["x", *BN], {"training_mode": 1}, X4, BN),
        UNSUPPORTED,
        "training_mode=1",
    ),
    "batchnorm spatial": (one("BatchNormalization", ["x", *BN], {"spatial": 0}, X4, BN, 7), UNSUPPORTED, "spatial=0"),
    "batchnorm spatial in 9": (
        one("BatchNormalization", ["x", *BN], {"spatial": 1}, X4, BN, 9),
        UNSUPPORTED,
        "unknown attribute 'spatial'",
    ),
    "batchnorm channels": (one("BatchNormalization", ["x", *BN], {}, {"x": (1, 3)}, BN), BROKEN, "wrong shape"),
    "batchnorm variance": (
        one("BatchNormalization", ["x", *BN], {}, X4, {**BN, "v": F([1, -1])}),
        BROKEN,
        "variance plus epsilon",
    ),
    "clip order": (
        one("Clip", ["x", "lo", "hi"], {}, X2, {"lo": S, "hi": F(0.25)}),
        BROKEN,
        "min=0.5 is above max=0.25",
    ),
    "clip nan": (one("Clip", ["x", "lo"], {}, X2, {"lo": F(np.nan)}), BROKEN, "not a number"),
    "clip vector": (one("Clip", ["x", "lo"], {}, X2, {"lo": np.ones(4, F)}), BROKEN, "min has 4 elements"),
    "clip attribute in 11": (one("Clip", ["x"], {"min": 0.0}, X2, opset=11), UNSUPPORTED, "unknown attribute 'min'"),
    "clip input in 10": (one("Clip", ["x", "lo"], {}, X2, {"lo": S}, 10), BROKEN, "Clip has 2 inputs"),
    "maxpool 3d": (
        one("MaxPool", ["x"], {"kernel_shape": [2]}, {"x": (1, 2, 6, 4, 4)}),
        UNSUPPORTED,
        "only 1D and 2D pooling",
    ),
    "maxpool kernel": (one("MaxPool", ["x"], {}, X4), BROKEN, "'kernel_shape' is missing"),
    "maxpool column major": (
        one("MaxPool", ["x"], {"kernel_shape": [2, 2], "storage_order": 1}, X4),
        UNSUPPORTED,
        "storage_order=1",
    ),
    "maxpool indices": (
        one("MaxPool", ["x"], {"kernel_shape": [2, 2]}, X4, outputs=("y", "i")),
        UNSUPPORTED,
        "indices of the largest",
    ),
    "maxpool ceil in 8": (
        one("MaxPool", ["x"], {"kernel_shape": [2, 2], "ceil_mode": 1}, X4, opset=8),
        UNSUPPORTED,
        "'ceil_mode'",
    ),
    "flatten batch": (one("Flatten", ["x"], {"axis": 0}, X4), UNSUPPORTED, "axis=0"),
    "flatten axis": (one("Flatten", ["x"], {"axis": 5}, X4), BROKEN, "'axis' is 5"),
    "flatten into batch": (one("Flatten", ["x"], {"axis": 2}, X4), UNSUPPORTED, "lost the batch axis"),
    "reshape size": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([1, 5])}), BROKEN, "can't be reshaped"),
    "reshape rest": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([3, -1])}), BROKEN, "can't be reshaped"),
    "reshape two": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([-1, -1])}), BROKEN, "more than one -1"),
    "reshape zero": (
        one("Reshape", ["x", "s"], {"allowzero": 1}, X2, {"s": np.array([0, 4])}),
        BROKEN,
        "impossible size 0",
    ),
    "reshape far zero": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([1, 4, 0])}), BROKEN, "impossible size 0"),
    "reshape minus two": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([-2, 4])}), BROKEN, "impossible size -2"),
    "reshape batch": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array([-1, 2])}), UNSUPPORTED, "lost the batch"),
    "reshape scalar": (one("Reshape", ["x", "s"], {}, X2, {"s": np.array(4)}), BROKEN, "must be a vector"),
    "reshape floats": (one("Reshape", ["x", "s"], {}, X2, {"s": F([1, 4])}), BROKEN, "must be int64"),
    "reshape by input": (one("Reshape", ["x", "z"], {}, {**X2, "z": (1, 2)}), UNSUPPORTED, "is not a constant"),
    "dropout mask": (one("Dropout", ["x"], {}, X2, outputs=("y", "m")), UNSUPPORTED, "mask of Dropout"),
    "dropout training": (
        one("Dropout", ["x", "", "t"], {}, X2, {"t": np.array(True)}),
        UNSUPPORTED,
        "training_mode=true",
    ),
    "argmax last": (one("ArgMax", ["x"], {"axis": 1, "select_last_index": 1}, X2), UNSUPPORTED, "select_last_index=1"),
    "argmax batch": (one("ArgMax", ["x"], {}, X2), UNSUPPORTED, "batch axis"),
    "argmax axis": (one("ArgMax", ["x"], {"axis": -3}, X2), BROKEN, "'axis' is -3"),
    "softmax batch": (one("Softmax", ["x"], {"axis": 0}, X2), UNSUPPORTED, "batch axis"),
    "softmax batch in 11": (one("LogSoftmax", ["x"], {"axis": 0}, X2, opset=11), UNSUPPORTED, "batch axis"),
    "constant string": (
        case("Constant", [("Constant", [], ["c"], {"value_string": "x"}), ("Relu", ["x"], ["y"], {})], X2),
        BROKEN,
        "no value that can be read",
    ),
    "constant float in 11": (
        case("Constant", [("Constant", [], ["c"], {"value_float": 1.0}), ("Add", ["x", "c"], ["y"], {})], X2, opset=11),
        BROKEN,
        "no value that can be read",
    ),
    "dense is not an ONNX operator": (
        one("Dense", ["x", "w"], {}, X2, {"w": M}),
        UNSUPPORTED,
        "unsupported operator Dense",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, load):
    tested, error, text = REFUSED[name]
    with pytest.raises(error) as caught:
        load(tested.model)
    assert type(caught.value) is error
    assert text in str(caught.value)
    assert f"'{tested.label} 0'" in str(caught.value)


def test_relu_and_clip_become_one_operator(load):
    relu = load(one("Relu", ["x"], {}, X2).model)
    clip = load(one("Clip", ["x", "lo"], {}, X2, {"lo": F(0)}).model)
    assert [n.op for n in relu.nodes] == [n.op for n in clip.nodes] == ["Clip"]
    assert relu.nodes[0].attrs == clip.nodes[0].attrs == ClipAttrs(0.0, None)


@pytest.mark.parametrize("bound", [np.inf, np.finfo(F).max])
def test_bounds_that_bind_nothing(load, bound):
    graph = load(one("Clip", ["x", "lo", "hi"], {}, X2, {"lo": F(-bound), "hi": F(bound)}).model)
    assert graph.nodes[0].attrs == ClipAttrs(None, None)


def test_gemm_and_matmul_become_dense_and_share_weights(load):
    nodes = [("MatMul", ["x", "w"], ["h"], {}), ("MatMul", ["x", "w"], ["k"], {}), ("Add", ["h", "k"], ["y"], {})]
    graph = load(case("shared", nodes, X2, {"w": M}).model)
    assert [n.op for n in graph.nodes] == ["Dense", "Dense", "Add"]
    assert graph.nodes[0].inputs[1] == graph.nodes[1].inputs[1]
    assert graph.tensors[graph.nodes[0].inputs[1]].shape == (3, 4)


def test_gemm_without_batch_takes_many_rows(load, ort):
    reshape = ("Reshape", ["x", "s"], ["h"], {})
    tested = case("rows", [reshape, ("Gemm", ["h", "w"], ["y"], {})], {"x": (12,)}, {"w": M, "s": np.array([3, 4])})
    graph = load(tested.model)
    assert not graph.batched
    assert graph.tensors["y"].shape == (3, 3)
    refused = case("rows", [reshape, ("Gemm", ["h", "w", "c"], ["y"], {})], {"x": (12,)},
                   {"w": M, "s": np.array([3, 4]), "c": np.ones((3, 1), F)})  # fmt: skip
    with pytest.raises(UnsupportedError, match="from row to row"):
        load(refused.model)


def test_interval_of_dense_is_reached(load):
    graph = load(one("Gemm", ["x", "w"], {}, X2, {"w": np.outer([1, -2, 3, -4], [1, 1, 1]).astype(F)}).model)
    low, high = OPS["Dense"].interval(graph.nodes[0], [(-1.0, 2.0), None, None], graph)
    assert low == pytest.approx(-1 - 4 - 3 - 8)
    assert high == pytest.approx(2 + 2 + 6 + 4)


def test_argmax_takes_the_lowest_index_on_ties(load):
    graph = load(case("argmax", [("ArgMax", ["x"], ["y"], {"axis": 1})], X2, output=("y", "int64")).model)
    result = run_float(graph, {"x": F([[1, 3, 3, 2], [0, 0, 0, 0]])})["y"]
    assert result.tolist() == [[1], [0]]
