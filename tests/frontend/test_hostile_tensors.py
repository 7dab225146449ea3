"""Broken and hostile constants and sizes: one clear error each, at once, in little memory."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hwcomp.errors import ModelError, UnsupportedError
from tests.hostile import put, registry

HOSTILE, hostile = registry()


def w(model):
    return model.graph.initializer[0]


@hostile(ModelError, "'fc'", "do not fit", "[1, 4]", "takes 5 values")
def wrong_weight_shape(model):
    w(model).CopyFrom(numpy_helper.from_array(np.zeros((5, 3), np.float32), "w"))


@hostile(ModelError, "constant 'w'", "48 bytes", "[4, 4] needs 16 values")
def dims_do_not_match_the_data(model):
    w(model).dims[1] = 4


@hostile(ModelError, "constant 'w'", "twice")
def data_twice(model):
    w(model).float_data.extend([0.0] * 12)


@hostile(ModelError, "constant 'w'", "0 values in float_data")
def no_data(model):
    w(model).ClearField("raw_data")


@hostile(ModelError, "constant 'w'", "5 values in float_data")
def too_few_values(model):
    w(model).ClearField("raw_data")
    w(model).float_data.extend([1.0] * 5)


@hostile(ModelError, "constant 'w'", "size -4")
def negative_dimension(model):
    w(model).dims[0] = -4


@hostile(ModelError, "constant 'w'", "too large")
def huge_weight(model):
    w(model).dims[:] = [1 << 40, 1 << 40]


@hostile(ModelError, "constant 'w'", "too large")
def weight_size_wraps_around(model):
    w(model).dims[:] = [1 << 32, 1 << 32, 12]


@hostile(ModelError, "constant 'w'", "9 dimensions")
def weight_of_many_dimensions(model):
    w(model).dims[:] = [1] * 10000


@hostile(ModelError, "constants are too large", "constant 'c'")
def too_many_constants_together(model):
    model.graph.initializer.append(TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1 << 26]))


@hostile(ModelError, "input 'x'", "too large")
def huge_input(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 62


@hostile(ModelError, "'n0'", "'z'", "too large")
def huge_activation(model):
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1 << 13, 1), np.float32), "col"))
    put(model, ("Add", ["col", "row"], ["z"], {}))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1 << 14), np.float32), "row"))


@hostile(ModelError, "'n", "constants are too large")
def constants_that_grow(model):
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1 << 12, 1), np.float32), "col"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1 << 12), np.float32), "row"))
    put(model, *[("Add", ["col", "row"], [f"z{i}"], {}) for i in range(1000)])


@hostile(ModelError, "'n0'", "takes too long")
def constants_that_take_long(model):
    zeros = np.zeros((2048, 2048), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(zeros, "square"))
    put(model, ("MatMul", ["square", "square"], ["z"], {}))


@hostile(ModelError, "constant 'w' is not finite", "'fc'", "1 of 12")
def nan_weight(model):
    array = numpy_helper.to_array(w(model)).copy()
    array[2, 1] = np.nan
    w(model).CopyFrom(numpy_helper.from_array(array, "w"))


@hostile(ModelError, "constant 'b' is not finite", "'fc'")
def infinite_bias(model):
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.float32([1, np.inf, 2]), "b"))


@hostile(ModelError, "is not finite", "'fc'")
def weight_overflows_with_alpha(model):
    w(model).CopyFrom(numpy_helper.from_array(np.full((4, 3), 3e38, np.float32), "w"))
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", 10.0))


@hostile(UnsupportedError, "constant 'w'", "FLOAT16", "float32")
def half_precision(model):
    w(model).CopyFrom(numpy_helper.from_array(np.zeros((4, 3), np.float16), "w"))


@hostile(UnsupportedError, "constant 'w'", "STRING")
def string_tensor(model):
    w(model).CopyFrom(helper.make_tensor("w", TensorProto.STRING, [1], [b"text"]))


@hostile(UnsupportedError, "constant 'w'", "number 12345")
def unknown_type(model):
    w(model).data_type = 12345


@hostile(UnsupportedError, "segments")
def segmented_tensor(model):
    w(model).segment.begin = 0


def test_one_clear_error(hostile_name, paths, one_clear_error):
    _, error, texts = HOSTILE[hostile_name]
    one_clear_error(paths[hostile_name], error, texts)


def test_little_memory(paths, little_memory):
    little_memory(paths.values())
