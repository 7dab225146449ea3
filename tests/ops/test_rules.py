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


def ints(**lists):
    return {name: np.array(values, np.int64) for name, values in lists.items()}


def with_list(op, shapes, *lists, opset=17, **attrs):
    """`op` of x and of constant int64 vectors."""
    constants = {f"i{n}": np.array(values, np.int64) for n, values in enumerate(lists)}
    return one(op, ["x", *constants], attrs, shapes, constants, opset)


BN = {k: np.ones(2, F) for k in ("s", "b", "m", "v")}
SQUARE = {"kernel_shape": [2, 2]}
XZ = {**X4, "z": (1, 2, 6, 6)}

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
    "matmul of samples": (one("MatMul", ["x", "z"], {}, {**X2, "z": (1, 4)}), UNSUPPORTED, "mixes samples"),
    "matmul broadcast": (
        one("MatMul", ["x", "z"], {}, {"x": ("N", 2, 3, 4), "z": ("N", 1, 4, 3)}),
        UNSUPPORTED,
        "broadcasts",
    ),
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
    "averagepool 3d": (
        one("AveragePool", ["x"], SQUARE, {"x": (1, 2, 6, 4, 4)}),
        UNSUPPORTED,
        "only 1D and 2D pooling",
    ),
    "averagepool stride 0": (one("AveragePool", ["x"], {**SQUARE, "strides": [0, 1]}, X4), BROKEN, "'strides'"),
    "averagepool kernel 0": (one("AveragePool", ["x"], {"kernel_shape": [0, 1]}, X4), BROKEN, "'kernel_shape'"),
    "averagepool ceil in 9": (
        one("AveragePool", ["x"], {**SQUARE, "ceil_mode": 0}, X4, opset=9),
        UNSUPPORTED,
        "'ceil_mode'",
    ),
    "averagepool dilated in 18": (
        one("AveragePool", ["x"], {**SQUARE, "dilations": [1, 1]}, X4, opset=18),
        UNSUPPORTED,
        "'dilations'",
    ),
    "averagepool in padding": (
        one("AveragePool", ["x"], {**SQUARE, "pads": [3, 0, 0, 0]}, X4),
        BROKEN,
        "wholly in the padding",
    ),
    "averagepool ints": (
        one("AveragePool", ["x"], {**SQUARE, "count_include_pad": 2}, X4),
        BROKEN,
        "'count_include_pad' is 2",
    ),
    "globalaveragepool vector": (one("GlobalAveragePool", ["x"], {}, X2), UNSUPPORTED, "only 1D and 2D pooling"),
    "div larger": (
        one("Div", ["x", "c"], {}, {"x": (1, 1, 6)}, {"c": np.ones((3, 1), F)}),
        UNSUPPORTED,
        "larger constant",
    ),
    "concat batch": (one("Concat", ["x", "z"], {"axis": 0}, XZ), UNSUPPORTED, "batch axis"),
    "concat constant": (
        one("Concat", ["x", "c"], {"axis": 1}, X2, {"c": np.ones((1, 4), F)}),
        UNSUPPORTED,
        "of a constant",
    ),
    "concat without axis": (one("Concat", ["x", "z"], {}, XZ), BROKEN, "'axis' is missing"),
    "concat axis": (one("Concat", ["x", "z"], {"axis": 4}, XZ), BROKEN, "'axis' is 4"),
    "concat shapes": (one("Concat", ["x", "z"], {"axis": 1}, {**X4, "z": (1, 2, 6, 5)}), BROKEN, "do not join"),
    "concat ranks": (one("Concat", ["x", "z"], {"axis": 1}, {**X4, "z": (1, 2)}), BROKEN, "do not join"),
    "concat absent": (one("Concat", ["x", "", "x"], {"axis": 1}, X4), BROKEN, "Concat has 2 inputs"),
    "slice backwards": (
        with_list("Slice", {"x": (1, 2, 200, 200)}, [5], [-999], [2], [-1]),
        UNSUPPORTED,
        "a step of -1",
    ),
    "slice step 0": (with_list("Slice", X4, [0], [6], [2], [0]), BROKEN, "a step of 0"),
    "slice nothing": (with_list("Slice", X4, [3], [3], [2]), BROKEN, "size 0"),
    "slice reversed limits": (with_list("Slice", X4, [5], [2], [2]), BROKEN, "size 0"),
    "slice axis": (with_list("Slice", X4, [0], [1], [4]), BROKEN, "axes [4] of Slice"),
    "slice axis twice": (with_list("Slice", X4, [0, 0], [1, 1], [2, -2]), BROKEN, "axes [2, -2] of Slice"),
    "slice lengths": (with_list("Slice", X4, [0, 0], [1], [2]), BROKEN, "do not fit together"),
    "slice too many": (with_list("Slice", X4, [0] * 5, [1] * 5), BROKEN, "of Slice are impossible"),
    "slice very many": (with_list("Slice", X4, [0] * 5000, [1] * 5000), BROKEN, "5000 values"),
    "slice by input": (one("Slice", ["x", "z", "z"], {}, {**X2, "z": (1,)}), UNSUPPORTED, "is not a constant"),
    "slice attributes in 10": (
        one("Slice", ["x"], {"starts": [0], "ends": [1]}, X4, opset=10),
        BROKEN,
        "Slice has 1 inputs",
    ),
    "slice out of the batch": (with_list("Slice", X4, [1], [2], [0]), BROKEN, "size 0"),
    "split sizes": (
        one("Split", ["x", "s"], {"axis": 1}, X2, ints(s=[1, 2]), outputs=("y", "z")),
        BROKEN,
        "do not fit",
    ),
    "split size 0": (
        one("Split", ["x", "s"], {"axis": 1}, X2, ints(s=[0, 4]), outputs=("y", "z")),
        BROKEN,
        "do not fit",
    ),
    "split negative": (
        one("Split", ["x", "s"], {"axis": 1}, X2, ints(s=[-1, 5]), outputs=("y", "z")),
        BROKEN,
        "do not fit",
    ),
    "split uneven": (one("Split", ["x"], {"axis": 1}, X2, outputs=("y", "z", "v")), BROKEN, "3 equal pieces"),
    "split too fine": (
        one("Split", ["x"], {"axis": 1, "num_outputs": 5}, X2, opset=18, outputs=("y", "a", "b", "c", "d")),
        BROKEN,
        "do not fit",
    ),
    "split rest missing": (
        one("Split", ["x"], {"axis": 2, "num_outputs": 4}, X4, opset=18, outputs=("y", "a", "b", "c")),
        BROKEN,
        "sizes [2, 2, 2, 0] of Split do not fit",
    ),
    "split num_outputs": (
        one("Split", ["x"], {"axis": 1, "num_outputs": 3}, X2, opset=18, outputs=("y", "z")),
        BROKEN,
        "num_outputs is 3",
    ),
    "split both": (
        one("Split", ["x", "s"], {"axis": 1, "num_outputs": 2}, X2, ints(s=[2, 2]), 18, ("y", "z")),
        BROKEN,
        "both sizes and num_outputs",
    ),
    "split batch": (one("Split", ["x"], {}, X2, outputs=("y", "z")), BROKEN, "2 equal pieces"),
    "transpose short": (one("Transpose", ["x"], {"perm": [0, 1]}, X4), BROKEN, "perm has 2 axes"),
    "transpose twice": (one("Transpose", ["x"], {"perm": [0, 1, 1, 2]}, X4), BROKEN, "impossible"),
    "squeeze": (with_list("Squeeze", X4, [1]), BROKEN, "an axis of size 2"),
    "squeeze batch": (with_list("Squeeze", X2, [0]), UNSUPPORTED, "lost the batch"),
    "unsqueeze axis": (with_list("Unsqueeze", X2, [3]), BROKEN, "axes [3] of Unsqueeze"),
    "unsqueeze far": (with_list("Unsqueeze", X2, list(range(7))), BROKEN, "makes 9 dimensions"),
    "unsqueeze attribute in 13": (
        one("Unsqueeze", ["x"], {"axes": [1]}, X2, opset=13),
        BROKEN,
        "Unsqueeze has 1 inputs",
    ),
    "pad reflect": (with_list("Pad", X4, [0, 0, 1, 1] * 2, mode="reflect"), UNSUPPORTED, "mode=reflect"),
    "pad edge": (with_list("Pad", X4, [0, 0, 1, 1] * 2, mode="edge"), UNSUPPORTED, "mode=edge"),
    "pad wrap in 18": (with_list("Pad", X4, [0, 0, 1, 1] * 2, mode="wrap", opset=18), BROKEN, "'mode' is 'wrap'"),
    "pad negative": (with_list("Pad", X4, [0, 0, -1, 1] * 2), UNSUPPORTED, "negative number"),
    "pad batch": (with_list("Pad", X4, [1, 0, 0, 0, 0, 0, 0, 0]), UNSUPPORTED, "Pad of the batch axis"),
    "pad channels": (with_list("Pad", X4, [0, 1, 0, 1, 0, 1, 0, 0]), UNSUPPORTED, "only height and width"),
    "pad vector": (with_list("Pad", X2, [0, 1, 0, 1]), UNSUPPORTED, "only height and width"),
    "pad count": (with_list("Pad", X4, [0, 0, 1, 1]), BROKEN, "4 pads for 4 axes"),
    "pad huge": (with_list("Pad", X4, [0, 0, 2**62, 0] + [0] * 4), BROKEN, "too large"),
    "pad value": (
        one("Pad", ["x", "p", "v"], {}, X4, {**ints(p=[0, 0, 1, 1] * 2), "v": F(1)}),
        UNSUPPORTED,
        "the value 1",
    ),
    "pad nan": (
        one("Pad", ["x", "p", "v"], {}, X4, {**ints(p=[0, 0, 1, 1] * 2), "v": F(np.nan)}),
        UNSUPPORTED,
        "the value nan",
    ),
    "mul shapes": (one("Mul", ["x", "z"], {}, {**X4, "z": (1, 3, 6, 6)}), BROKEN, "do not fit together"),
    "mul ranks": (one("Mul", ["x", "z"], {}, {**X4, "z": (1, 6)}), UNSUPPORTED, "different rank"),
    "pow computed": (one("Pow", ["x", "z"], {}, XZ), UNSUPPORTED, "Pow with a computed exponent"),
    "pow every": (one("Pow", ["x", "c"], {}, X2, {"c": F([1, 2, 3, 4])}), UNSUPPORTED, "Pow with 4 exponents"),
    "prelu slopes": (one("PRelu", ["x", "c"], {}, X2, {"c": np.ones((3, 1), F)}), BROKEN, "does not fit"),
    "celu zero": (one("Celu", ["x"], {"alpha": 0.0}, X2), BROKEN, "'alpha' of Celu is 0"),
    "mul wider": (
        one("Mul", ["x", "c"], {}, {"x": (1, 1, 6)}, {"c": np.ones((3, 1), F)}),
        UNSUPPORTED,
        "larger constant",
    ),
    "mul infinite": (one("Mul", ["x", "c"], {}, X2, {"c": F([1, 2, np.inf, 0])}), BROKEN, "is not finite"),
    "sub shapes": (one("Sub", ["x", "z"], {}, {**X4, "z": (1, 3, 6, 6)}), BROKEN, "do not fit together"),
    "div two": (one("Div", ["x", "z"], {}, XZ), UNSUPPORTED, "Div by a computed tensor"),
    "div zero": (one("Div", ["x", "c"], {}, X2, {"c": F(0)}), BROKEN, "inverse is not finite"),
    "div tiny": (one("Div", ["x", "c"], {}, X2, {"c": F(2.0**-149)}), BROKEN, "inverse is not finite"),
    "cast double": (one("Cast", ["x"], {"to": 11}, X2), UNSUPPORTED, "Cast to DOUBLE"),
    "cast to int": (one("Cast", ["x"], {"to": 7}, X2), UNSUPPORTED, "Cast of a computed tensor to INT64"),
    "cast nowhere": (one("Cast", ["x"], {"to": 99}, X2), BROKEN, "type number 99"),
    "gather scattered": (with_list("Gather", X4, [0, 2, 0], axis=2), UNSUPPORTED, "scattered indices"),
    "gather outside": (with_list("Gather", X4, [2], axis=1), BROKEN, "outside of its axis"),
    "gather by input": (one("Gather", ["x", "z"], {}, {**X2, "z": (1,)}), UNSUPPORTED, "is not a constant"),
    "where computed": (
        one("Where", ["b", "x", "x"], {}, X2, {"b": np.array(True)}),
        UNSUPPORTED,
        "Where of a computed",
    ),
    "constantofshape by input": (one("ConstantOfShape", ["x"], {}, {"x": (1,)}), UNSUPPORTED, "of a computed tensor"),
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
def test_refused(name, check_refused):
    check_refused(*REFUSED[name])


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
