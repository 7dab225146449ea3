"""Shape arithmetic that explodes, lies or never ends: one clear error each, at once, in little memory."""

import itertools

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hwcomp.errors import ModelError, UnsupportedError
from tests.hostile import put, registry

HOSTILE, hostile = registry()


@hostile(ModelError, "'n0'", "'z'", "too large")
def expand_bomb(model):
    put(model, ("Expand", ["one", "s"], ["z"], {}), one=1.0, s=[1 << 20, 1 << 20])


@hostile(ModelError, "'n0'", "a size of 4611686018427387904")
def expand_to_the_stars(model):
    put(model, ("Expand", ["one", "s"], ["z"], {}), one=1.0, s=[1 << 62])


@hostile(ModelError, "'n0'", "'z'", "too large")
def expand_of_integers(model):
    put(model, ("Expand", ["one", "s"], ["z"], {}), one=1, s=[1 << 25])


@hostile(UnsupportedError, "'n0'", "Expand to another rank or batch size")
def expand_of_the_network(model):
    put(model, ("Expand", ["h", "s"], ["z"], {}), s=[1 << 24, 1, 3])


@hostile(ModelError, "'n0'", "'z'", "too large")
def constantofshape_bomb(model):
    put(model, ("ConstantOfShape", ["s"], ["z"], {}), s=[1 << 16, 1 << 16])


@hostile(ModelError, "constants are too large", "'n")
def constantofshape_again_and_again(model):
    put(model, *[("ConstantOfShape", ["s"], [f"z{i}"], {}) for i in range(5000)], s=[1 << 20])


@hostile(ModelError, "'n0'", "'z'", "too large")
def tile_bomb(model):
    put(model, ("Tile", ["w", "r"], ["z"], {}), r=[1 << 20, 1 << 20])


@hostile(ModelError, "'n0'", "'z'", "too large")
def range_bomb(model):
    put(model, ("Range", ["p", "q", "r"], ["z"], {}), p=0, q=1 << 62, r=1)


@hostile(ModelError, "'n0'", "'z'", "too large")
def fine_range(model):
    put(model, ("Range", ["p", "q", "r"], ["z"], {}), p=0.0, q=3e38, r=1e-38)


@hostile(ModelError, "'n0'", "'z'", "too large")
def gather_bomb(model):
    put(model, ("Gather", ["t", "i"], ["z"], {}), t=np.zeros((2, 1 << 12)), i=np.zeros(1 << 16, np.int64))


@hostile(ModelError, "'n0'", "'z'", "too large")
def pad_bomb(model):
    put(model, ("Pad", ["w", "p"], ["z"], {}), p=[1 << 40, 1 << 40, 0, 0])


@hostile(ModelError, "'n0'", "too large")
def pad_bomb_on_the_network(model):
    put(model, ("Reshape", ["h", "s"], ["r"], {}), s=[1, 1, 1, 3])
    put(model, ("Pad", ["r", "p"], ["z"], {}), p=[0, 0, 1 << 30, 1 << 30, 0, 0, 0, 0])
    model.graph.node[2].name = "n0"


@hostile(ModelError, "too large", "'n2")
def doubling_by_concat(model):
    names = ["h", *(f"z{i}" for i in range(60))]
    put(model, *[("Concat", [a, a], [b], {"axis": 1}) for a, b in itertools.pairwise(names)])


def _squares(count):
    names = ["s", *(f"z{i}" for i in range(count))]
    squares = [("Mul", [a, a], [b], {}) for a, b in itertools.pairwise(names)]
    return *squares, ("ConstantOfShape", [names[-1]], ["q"], {})


@hostile(ModelError, "'n4'", "a size of 4294967296")
def squares_of_a_shape(model):
    put(model, *_squares(4), s=[4, 4])


@hostile(ModelError, "'n5'", "a size of 0")
def squares_that_wrap_around(model):
    put(model, *_squares(5), s=[4, 4])


@hostile(ModelError, "'n0'", "a size of 0")
def dimension_of_0(model):
    put(model, ("ConstantOfShape", ["s"], ["z"], {}), s=[3, 0])


@hostile(ModelError, "size 0", "input 'x'")
def input_of_size_0(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 0


@hostile(ModelError, "the shape of Reshape has 1048576 values")
def reshape_to_very_many(model):
    put(model, ("Reshape", ["h", "s"], ["z"], {}), s=np.ones(1 << 20, np.int64))


@hostile(ModelError, "the shape to reshape to has 900 dimensions")
def reshape_to_many(model):
    put(model, ("Reshape", ["h", "s"], ["z"], {}), s=np.ones(900, np.int64))


@hostile(ModelError, "'strides' has the impossible value 0")
def stride_of_0(model):
    put(model, ("Reshape", ["h", "s"], ["r"], {}), s=[1, 1, 1, 3])
    put(model, ("AveragePool", ["r"], ["z"], {"kernel_shape": [1, 1], "strides": [0, 1]}))


@hostile(ModelError, "'kernel_shape' has the impossible value")
def kernel_of_size_minus_1(model):
    put(model, ("Reshape", ["h", "s"], ["r"], {}), s=[1, 1, 3])
    put(model, ("MaxPool", ["r"], ["z"], {"kernel_shape": [-1]}))


@hostile(ModelError, "takes too long")
def many_large_matrices(model):
    put(model, *[("MatMul", ["m", "m"], [f"z{i}"], {}) for i in range(40)], m=np.zeros((1024, 1024)))


@hostile(UnsupportedError, "If", "control flow", "'n0'")
def branch(model):
    put(model, ("If", ["h"], ["z"], {"then_branch": model.graph, "else_branch": model.graph}))


@hostile(UnsupportedError, "Scan", "control flow", "'n0'")
def scan(model):
    put(model, ("Scan", ["h"], ["z"], {"body": model.graph, "num_scan_inputs": 1}))


@hostile(UnsupportedError, "NonZero", "'n0'")
def shape_that_depends_on_data(model):
    put(model, ("NonZero", ["h"], ["z"], {}))


@hostile(UnsupportedError, "the shape of Reshape is not a constant")
def computed_shape(model):
    put(model, ("ArgMax", ["h"], ["i"], {"axis": 1, "keepdims": 0}), ("Reshape", ["h", "i"], ["z"], {}))


@hostile(ModelError, "'n0'", "the axes of Squeeze holds float values", "must be int64")
def floats_where_axes_belong(model):
    put(model, ("Squeeze", ["h", "a"], ["z"], {}), a=[0.5])


@hostile(UnsupportedError, "symbolic size 'M'")
def all_shapes_symbolic(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "M"


@hostile(ModelError, "output 'y' is declared with shape")
def lying_value_behind_a_slice(model):
    put(model, ("Slice", ["h", "s", "e"], ["z"], {}), s=[0, 0], e=[1, 2])
    model.graph.node[-1].input[0] = "z"


@hostile(ModelError, "constant 'c'", "bytes of data")
def lying_initializer(model):
    put(model, ("ConstantOfShape", ["c"], ["z"], {}))
    model.graph.initializer.append(TensorProto(name="c", data_type=7, dims=[2], raw_data=b"\0" * 8))


def test_one_clear_error(hostile_name, paths, one_clear_error):
    _, error, texts = HOSTILE[hostile_name]
    one_clear_error(paths[hostile_name], error, texts)


def test_little_memory(paths, little_memory):
    little_memory(paths.values())


def test_long_chains_of_each_kind(load):
    """20,000 nodes import in a few seconds, whatever they are."""
    import time

    def chain(op, attrs, *more):
        names = ["x", *(f"t{i}" for i in range(19_999)), "y"]
        made = [helper.make_node(op, [a, *more], [b], **attrs) for a, b in itertools.pairwise(names)]
        constants = [numpy_helper.from_array(np.array(v), n) for n, v in {"s": [1, 2, 2, 2], "e": [9, 9, 9, 9]}.items()]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(made, "g", [value("x", 1, (1, 2, 2, 2))], [value("y", 1, None)], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)

    kinds = {
        "Transpose": ({"perm": [0, 2, 3, 1]},),
        "Reshape": ({}, "s"),
        "Concat": ({"axis": 1},),
        "Add": ({}, "x"),
        "AveragePool": ({"kernel_shape": [1, 1]},),
    }
    for op, (attrs, *more) in kinds.items():
        start = time.process_time()
        assert len(load(chain(op, attrs, *more)).graph.nodes) == 20_000
        assert time.process_time() - start < 10
