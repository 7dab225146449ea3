"""Models of QONNX in standard operators, so that onnxruntime can run them: an oracle that shares no code with hwcomp.

Source: qonnx.custom_op.general, quant.py (x / scale + zero point, clip, round half to even) and bipolar_quant.py.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper


def standard(path) -> onnx.ModelProto:
    """The model with Quant (ROUND) and BipolarQuant written out."""
    model = onnx.load(path)
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    constants |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in model.graph.node if n.op_type == "Constant"}  # fmt: skip
    nodes = [new for node in model.graph.node for new in _written_out(node, constants, model.graph)]
    del model.graph.node[:], model.graph.value_info[:], model.opset_import[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid("", 11))
    return model


def _written_out(node, constants, graph):
    if node.op_type not in ("Quant", "BipolarQuant"):
        return [node]
    out, attrs = node.output[0], {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def constant(name, value):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), f"{out}.{name}"))
        return f"{out}.{name}"

    def step(op, name, *inputs):
        return helper.make_node(op, inputs, [name])

    if node.op_type == "BipolarQuant":
        x, scale = node.input
        return [
            step("Less", f"{out}.below", x, constant("zero", 0)), step("Neg", f"{out}.minus", scale),
            step("Where", out, f"{out}.below", f"{out}.minus", scale),
        ]  # fmt: skip
    assert attrs.get("rounding_mode", b"ROUND").upper() == b"ROUND"
    bits, signed, narrow = int(constants[node.input[3]]), attrs["signed"], attrs["narrow"]
    lo = -(1 << (bits - 1)) + narrow if signed else 0
    hi = (1 << (bits - signed)) - 1 - (narrow if not signed else 0)
    x, scale, zero = *node.input[:2], constant("offset", constants[node.input[2]])
    return [
        step("Div", f"{out}.steps", x, scale), step("Add", f"{out}.shifted", f"{out}.steps", zero),
        step("Max", f"{out}.above", f"{out}.shifted", constant("lo", lo)),
        step("Min", f"{out}.inside", f"{out}.above", constant("hi", hi)), step("Round", f"{out}.whole", f"{out}.inside"),
        step("Sub", f"{out}.centred", f"{out}.whole", zero), step("Mul", out, f"{out}.centred", scale),
    ]  # fmt: skip
