"""L2: networks that are no plain chain, or very small, long, wide or deep; every tensor equal on every engine."""

import numpy as np
import pytest

from hwcomp.lower.build import lower
from tests.models import model, quantized, values
from tests.oracle import worst_steps
from tests.products import check, compiled, stress

ALL = ("reference", "c", "verilator")
POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


def two_inputs():
    nodes = [
        ("Conv", ["a", "w"], ["ca"], {"pads": [1, 1, 1, 1]}), ("Relu", ["ca"], ["ya"], {}),
        ("Gemm", ["b", "v"], ["hb"], {}), ("ArgMax", ["hb"], ["yb"], {"axis": 1}),
    ]  # fmt: skip
    shapes = {"b": (1, 7), "a": (1, 2, 5, 6)}
    return model(
        nodes, shapes, {"w": values("w", 3, 2, 3, 3), "v": values("v", 7, 4)}, ("yb", "ya"), types={"yb": "int64"}
    )


def shared_weights():
    nodes = [
        ("Conv", ["x", "w"], ["h"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["h"], ["r"], {}),
        ("Conv", ["r", "w"], ["y"], {}),
    ]
    return model(nodes, {"x": (1, 3, 5, 5)}, {"w": values("w", 3, 3, 3, 3)})


def deep():
    nodes = [("Conv", [f"t{i}" if i else "x", f"w{i}"], [f"t{i + 1}" if i < 11 else "y"], {}) for i in range(12)]
    return model(nodes, {"x": (1, 2, 3, 3)}, {f"w{i}": values(f"w{i}", 2, 2, 1, 1) * 2 for i in range(12)})


def one_of_everything():
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}), ("Relu", ["c"], ["r"], {}), ("MaxPool", ["r"], ["p"], {"kernel_shape": [1, 1]}),
        ("Flatten", ["p"], ["f"], {}), ("Gemm", ["f", "v"], ["g"], {}), ("ArgMax", ["g"], ["y"], {"axis": 1}),
    ]  # fmt: skip
    one = np.ones((1, 1, 1, 1), np.float32)
    return model(nodes, {"x": (1, 1, 1, 1)}, {"w": one, "v": one[0, 0]}, types={"y": "int64"})


def long_row():
    return model([("Gemm", ["x", "w"], ["y"], {})], {"x": ("N", 3000)}, {"w": values("w", 3000, 2)})


def wide_line():
    nodes = [
        ("Conv", ["x", "w"], ["h"], {"strides": [1, 3], "pads": [0, 4, 0, 4], "dilations": [1, 2]}),
        ("Relu", ["h"], ["y"], {}),
    ]
    return model(nodes, {"x": (1, 2, 1, 200)}, {"w": values("w", 3, 2, 1, 5)})


def tall_line():
    nodes = [
        ("Conv", ["x", "w"], ["h"], {"strides": [2, 1], "pads": [3, 0, 1, 0]}),
        ("MaxPool", ["h"], ["y"], {"kernel_shape": [3, 1]}),
    ]
    return model(nodes, {"x": (1, 1, 90, 1)}, {"w": values("w", 4, 1, 4, 1)})


def many_channels():
    nodes = [("Conv", ["x", "w"], ["h"], {}), ("MaxPool", ["h"], ["p"], POOL), ("Conv", ["p", "v"], ["y"], {})]
    return model(nodes, {"x": (1, 67, 4, 4)}, {"w": values("w", 53, 67, 1, 1), "v": values("v", 3, 53, 2, 2)})


def kernel_larger_than_the_map():
    return model(
        [("Conv", ["x", "w"], ["y"], {"pads": [3, 4, 3, 4]})], {"x": (1, 2, 2, 1)}, {"w": values("w", 2, 2, 7, 7)}
    )


def stride_larger_than_the_kernel():
    nodes = [
        ("Conv", ["x", "w"], ["h"], {"strides": [3, 4]}),
        ("MaxPool", ["h"], ["y"], {"kernel_shape": [1, 1], "strides": [2, 2]}),
    ]
    return model(nodes, {"x": (1, 2, 11, 14)}, {"w": values("w", 3, 2, 2, 1)})


def all_padding_window():
    """A tap that never meets the map: only the zero point counts there."""
    return model(
        [("Conv", ["x", "w"], ["y"], {"pads": [2, 2, 2, 2]})], {"x": (1, 1, 1, 1)}, {"w": values("w", 2, 1, 3, 3)}
    )


def zero_weights():
    nodes = [("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    return model(nodes, {"x": (1, 2, 4, 4)}, {"w": np.zeros((3, 2, 3, 3), np.float32)})


def rows_behind_a_map():
    """A reshape that moves nothing, from a row to a map and back."""
    nodes = [
        ("Reshape", ["x", "s"], ["m"], {}), ("Conv", ["m", "w"], ["h"], {"pads": [1, 1, 0, 0]}), ("Flatten", ["h"], ["f"], {}),
        ("MatMul", ["f", "v"], ["g"], {}), ("Add", ["g", "b"], ["y"], {}),
    ]  # fmt: skip
    constants = {
        "s": np.array([1, 3, 2, 4]),
        "w": values("w", 5, 3, 2, 2),
        "v": values("v", 40, 6),
        "b": values("b", 6),
    }
    return model(nodes, {"x": (1, 24)}, constants)


FORMS = [
    two_inputs, shared_weights, deep, one_of_everything, long_row, wide_line, tall_line, many_channels,
    kernel_larger_than_the_map, stride_larger_than_the_kernel, all_padding_window, zero_weights, rows_behind_a_map,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
def test_on_c_and_verilog(form, tmp_path):
    proto = form()
    ranges = {i.name: (-1.0, 2.0) for i in proto.graph.input}
    check(compiled(proto, tmp_path, input_ranges=ranges), ALL)


def an_inner_output():
    nodes = [("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("MaxPool", ["r"], ["y"], POOL)]
    return model(nodes, {"x": (1, 2, 5, 5)}, {"w": values("w", 3, 2, 2, 2)}, ("r", "y"))


def two_readers():
    nodes = [
        ("Conv", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["a"], {}), ("Conv", ["h", "v"], ["b"], {}), ("Flatten", ["b"], ["c"], {}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 2, 5, 5)}, {"w": values("w", 3, 2, 2, 2), "v": values("v", 2, 3, 1, 1)}, ("a", "c"))


def logits_beside_the_class():
    nodes = [("Gemm", ["x", "w"], ["y"], {}), ("ArgMax", ["y"], ["class"], {"axis": 1})]
    return model(nodes, {"x": (1, 6)}, {"w": values("w", 6, 5)}, ("y", "class"), types={"class": "int64"})


def one_value_under_two_names():
    nodes = [("Gemm", ["x", "w"], ["y"], {}), ("Identity", ["y"], ["z"], {})]
    return model(nodes, {"x": (1, 6)}, {"w": values("w", 6, 5)}, ("y", "z"))


@pytest.mark.parametrize(
    "form", [an_inner_output, two_readers, logits_beside_the_class, one_value_under_two_names], ids=lambda f: f.__name__
)
def test_tensors_with_several_readers(form, tmp_path):
    proto = form()
    product = compiled(proto, tmp_path, input_ranges={"x": (-1.0, 2.0)})
    check(product, (*ALL, "c:m4"))
    assert set(product.program.outputs) == {o.name for o in proto.graph.output}


def test_an_input_that_nothing_reads(tmp_path):
    """Hardware takes its beats and throws them away."""
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 5), "spare": (1, 3)})
    product = compiled(proto, tmp_path)
    assert product.program.inputs == ("x", "spare")
    check(product, ALL)


def test_a_model_without_a_batch_axis(tmp_path):
    nodes = [("MatMul", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    check(compiled(model(nodes, {"x": (9,)}, {"w": values("w", 9, 4)}), tmp_path, input_ranges={"x": (-1.0, 1.0)}), ALL)


@pytest.mark.parametrize(
    "form", [*FORMS, an_inner_output, two_readers, logits_beside_the_class], ids=lambda f: f.__name__
)
def test_float_semantics(form):
    """The Program against the quantized float graph, layer by layer."""
    proto = form()
    graph, _ = quantized(proto, input_ranges={i.name: (-1.0, 2.0) for i in proto.graph.input})
    lowered = lower(graph)
    program = lowered.program
    for name, steps in worst_steps(lowered.graph, program, stress(program)):
        assert steps < 1e-3, name
