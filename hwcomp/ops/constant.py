"""Constant: joins the constants of the graph at import. Source: ONNX operator specification, Constant."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case
from hwcomp.ops.base import Op
from hwcomp.registry import op

_FORMS = ("value", "value_float", "value_floats", "value_int", "value_ints")


@op("Constant")
class Constant(Op):
    becomes = None

    def convert(self, node, ctx):
        node.expect(inputs=(0, 0))
        given = [name for name in _FORMS if node.attr.has(name) and (name == "value" or node.opset >= 12)]
        if len(given) != 1:
            raise node.model_error(
                "Constant has no value that can be read", f"exactly one of {', '.join(_FORMS)} is needed"
            )
        form = given[0]
        stored = ""
        if form == "value":
            proto = node.attr.tensor(form)
            array, stored = ctx.read_tensor(node, proto), ctx.integer_type(proto)
        elif form == "value_float":
            array = np.float32(node.attr.real(form))
        elif form == "value_floats":
            array = np.array(node.attr.reals(form), np.float32)
        elif form == "value_int":
            array = np.int64(node.attr.integer(form, wide=True))
        else:
            array = np.array(node.attr.integers(form, wide=True), np.int64)
        ctx.define(node, node.outputs[0], np.asarray(array), stored=stored)
        return []

    def cases(self):
        from onnx import numpy_helper

        value = numpy_helper.from_array(np.float32([0.5, -0.25, 0.125]), "v")
        add = ("Add", ["x", "c"], ["y"], {})
        x = {"x": (1, 3)}
        yield case("constant tensor", [("Constant", [], ["c"], {"value": value}), add], x, opset=7)
        yield case("constant float", [("Constant", [], ["c"], {"value_float": 0.375}), add], x)
        yield case("constant floats", [("Constant", [], ["c"], {"value_floats": [0.5, 1.0, -1.0]}), add], x, opset=12)
        shape = ("Constant", [], ["c"], {"value_ints": [1, 2, 3]})
        yield case("constant ints", [shape, ("Reshape", ["x", "c"], ["y"], {})], {"x": (1, 6)}, opset=13)
