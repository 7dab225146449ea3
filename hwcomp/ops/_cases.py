"""Builds the small ONNX models that operators offer to the conformance suite."""

from __future__ import annotations

import zlib

import numpy as np

from hwcomp.ops.base import Case, Interval

IR_VERSION = 10


def random(label: str, *shape: int, scale: float = 1.0) -> np.ndarray:
    """float32 values in [-scale, scale], the same in each run for the same label."""
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    return (rng.uniform(-1, 1, shape) * scale).astype(np.float32)


def qlinear_case(
    label: str, op: str, inputs: list[str], attrs: dict, shape: tuple, constants: dict | None = None,
    *, domain: str = "com.microsoft", interval: Interval = (-1.0, 1.0),
) -> Case:  # fmt: skip
    """x -> QuantizeLinear -> an operator on integers -> DequantizeLinear -> y.

    `inputs` of the operator may name x_q (uint8), its scale x_s and zero point x_z, those of the result y_s and y_z, and
    further `constants`.
    """
    held = {
        "x_s": np.float32((interval[1] - interval[0]) / 255), "x_z": np.uint8(round(-interval[0] / (interval[1] - interval[0]) * 255)),
        "y_s": np.float32(0.0093), "y_z": np.uint8(117),
    } | (constants or {})  # fmt: skip
    nodes = [
        ("QuantizeLinear", ["x", "x_s", "x_z"], ["x_q"], {}),
        (op, inputs, ["y_q"], attrs | ({"domain": domain} if domain else {})),
        ("DequantizeLinear", ["y_q", "y_s", "y_z"], ["y"], {}),
    ]
    return case(label, nodes, {"x": shape}, held, interval=interval)


def case(
    label: str,
    nodes: list[tuple],
    inputs: dict[str, tuple],
    constants: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    interval: Interval = (-1.0, 1.0),
    output: tuple[str, str] = ("y", "float"),
) -> Case:
    """A model of `nodes` (op, inputs, outputs, attributes, optionally a domain); `output` is its only output's name and type.

    `inputs` maps names to shapes (a str in a shape is a symbolic size); all inputs have the range `interval`.
    """
    from onnx import TensorProto, helper, numpy_helper

    made = [
        helper.make_node(op, i, o, name=f"{label} {n}", **attrs, **({"domain": domain[0]} if domain else {}))
        for n, (op, i, o, attrs, *domain) in enumerate(nodes)
    ]
    domains = sorted({n.domain for n in made if n.domain})
    types = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64}
    graph = helper.make_graph(
        made,
        label,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output[0], types[output[1]], None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return Case(label, model, dict.fromkeys(inputs, interval))
