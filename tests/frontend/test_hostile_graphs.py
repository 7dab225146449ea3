"""Broken and hostile files, graphs and operators: one clear error each, at once, in little memory."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper

from hwcomp.errors import HwcompError, ModelError, UnsupportedError
from tests.hostile import put, registry

HOSTILE, hostile = registry()


def field(number, payload):
    """A length-delimited protobuf field."""
    size, head = len(payload), bytearray()
    for value in (number << 3 | 2, size):
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + payload


@hostile(ModelError, "truncated")
def truncated(model):
    return model.SerializeToString()[:-7]


@hostile(ModelError, "is empty")
def empty_file(model):
    return b""


@hostile(ModelError, "truncated or is not an ONNX model")
def text_file(model):
    return b"#include <stdio.h>\nint main(void) { return 0; }\n"


@hostile(ModelError, "truncated or is not an ONNX model")
def noise(model):
    return np.random.default_rng(3).bytes(5000)


@hostile(ModelError, "holds no ONNX graph")
def no_graph(model):
    model.ClearField("graph")


@hostile(ModelError, "the graph is empty")
def empty_graph(model):
    model.ClearField("graph")
    model.graph.name = "nothing"


@hostile(ModelError, "too many parts")
def bomb_of_empty_nodes(model):
    return field(7, b"\x0a\x00" * 1_000_000) + b"\x08\x0a"


@hostile(ModelError, "too many parts")
def bomb_of_empty_attributes(model):
    return field(7, field(1, b"\x2a\x00" * 1_000_000)) + b"\x08\x0a"


@hostile(ModelError, "too many parts")
def bomb_of_packed_integers(model):
    return field(7, field(5, field(1, b"\0" * 40_000_000)))


@hostile(ModelError, "nested too deep")
def nested_subgraphs(model):
    inner = b""
    for _ in range(200):
        inner = field(1, field(5, field(6, inner)))
    return field(7, inner) + b"\x08\x0a"


@hostile(ModelError, "has 70000 nodes")
def very_many_nodes(model):
    model.graph.node.extend([helper.make_node("Relu", ["x"], [])] * (70000 - 2))


@hostile(UnsupportedError, "opset 999")
def future_opset(model):
    model.opset_import[0].version = 999


@hostile(UnsupportedError, "opset 6", "7 to")
def old_opset(model):
    model.opset_import[0].version = 6


@hostile(ModelError, "0 versions of the standard operators")
def no_opset(model):
    del model.opset_import[:]


@hostile(ModelError, "2 versions")
def two_opsets(model):
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))


@hostile(UnsupportedError, "IR version 999")
def future_ir(model):
    model.ir_version = 999


@hostile(ModelError, "has a cycle", "'fc'")
def cycle(model):
    model.graph.node[0].input[0] = "y"


@hostile(ModelError, "has a cycle", "'n0'")
def reads_itself(model):
    put(model, ("Add", ["h", "z"], ["z"], {}))


@hostile(ModelError, "'b' is read but never made", "'fc'")
def missing_initializer(model):
    del model.graph.initializer[1]


@hostile(ModelError, "'ghost' is read but never made", "'act'")
def undefined_tensor(model):
    model.graph.node[1].input[0] = "ghost"


@hostile(ModelError, "'h' is made twice", "'act'")
def made_twice(model):
    model.graph.node[1].output[0] = "h"


@hostile(ModelError, "'w' is made twice")
def duplicate_initializer(model):
    model.graph.initializer.append(model.graph.initializer[0])


@hostile(ModelError, "'x' is made twice")
def duplicate_input(model):
    model.graph.input.append(model.graph.input[0])


@hostile(ModelError, "'b' is made twice", "'act'")
def overwritten_initializer(model):
    model.graph.node[1].output[0] = "b"


@hostile(ModelError, "a constant has no name")
def nameless_initializer(model):
    model.graph.initializer[0].name = ""


@hostile(ModelError, "output 'ghost' is never made")
def missing_output(model):
    model.graph.output[0].name = "ghost"


@hostile(ModelError, "output 'y' is listed 2 times")
def duplicate_output(model):
    model.graph.output.append(model.graph.output[0])


@hostile(ModelError, "has no output")
def no_output(model):
    del model.graph.output[:]


@hostile(ModelError, "has no input")
def no_input(model):
    del model.graph.input[:]


@hostile(UnsupportedError, "output 'x' is an input")
def output_is_input(model):
    model.graph.output[0].name = "x"


@hostile(UnsupportedError, "output 'b' does not depend")
def output_is_constant(model):
    model.graph.output[0].name = "b"


@hostile(ModelError, "output 'y'", "[1, 7]", "[1, 3]")
def lying_output_shape(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7


@hostile(ModelError, "output 'y'", "INT64")
def lying_output_type(model):
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64


@hostile(UnsupportedError, "sparse constants")
def sparse_initializer(model):
    model.graph.sparse_initializer.add()


@hostile(UnsupportedError, "functions of its own", "'Own'")
def functions(model):
    model.functions.add(name="Own", domain="own")


@hostile(UnsupportedError, "unsupported operator Frobnicate", "'n0'", "hwcomp ops")
def unknown_operator(model):
    put(model, ("Frobnicate", ["h"], ["z"], {}))


@hostile(UnsupportedError, "acme.Relu", "'n0'")
def unknown_domain(model):
    put(model, ("Relu", ["h"], ["z"], {"domain": "acme"}))


@hostile(UnsupportedError, "Loop", "control flow", "'n0'")
def loop(model):
    put(model, ("Loop", ["", "", "h"], ["z"], {"body": model.graph}))


@hostile(UnsupportedError, "unknown attribute 'axis' of Relu", "'act'")
def unknown_attribute(model):
    model.graph.node[1].attribute.append(helper.make_attribute("axis", 1))


@hostile(ModelError, "attribute 'alpha' is given twice", "'fc'")
def duplicate_attribute(model):
    model.graph.node[0].attribute.extend([helper.make_attribute("alpha", 1.0)] * 2)


@hostile(ModelError, "attribute 'alpha' has the wrong type", "'fc'", "INT")
def attribute_type(model):
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", 1))


@hostile(ModelError, "attribute 'alpha' has the wrong type", "UNDEFINED")
def attribute_without_type(model):
    model.graph.node[0].attribute.append(AttributeProto(name="alpha", f=1.0))


@hostile(ModelError, "'alpha' refers to a function's attribute")
def attribute_reference(model):
    model.graph.node[0].attribute.append(AttributeProto(name="alpha", ref_attr_name="a", type=AttributeProto.FLOAT))


@hostile(ModelError, "'fc'", "Gemm has 1 inputs")
def missing_input(model):
    del model.graph.node[0].input[1:]


@hostile(ModelError, "name is not UTF-8")
def name_is_not_text(model):
    return model.SerializeToString().replace(b"\x03act", b"\x03\xff\xfe\xfd")


def test_one_clear_error(hostile_name, paths, one_clear_error):
    _, error, texts = HOSTILE[hostile_name]
    one_clear_error(paths[hostile_name], error, texts)


def test_little_memory(paths, little_memory):
    little_memory(paths.values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_never_cause_a_traceback(damage, good, load):
    content = bytearray(good().SerializeToString())
    for at, byte in damage:
        content[at % len(content)] = byte
    try:
        load(bytes(content))
    except HwcompError as error:
        assert str(error)
