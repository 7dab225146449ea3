"""MultiThreshold of QONNX: out_scale * #{i : x >= T_i} + out_bias; becomes Steps.

Source: qonnx.custom_op.general.multithreshold. Thresholds [channels or 1, n] in any order; a layout that is not given is
NC, NWC or NCHW by the rank.
"""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops._steps import Ladder
from hwcomp.ops.base import Op
from hwcomp.ops.quant import DOMAINS
from hwcomp.ops.steps import StepsAttrs
from hwcomp.registry import op
from hwcomp.types import QType

_LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}
_TYPES = ("", "BIPOLAR", "BINARY", "TERNARY", "FLOAT32", *(f"{u}INT{n}" for u in ("U", "") for n in range(1, 33)))
_MOST = 255  # thresholds


@op("MultiThreshold")
class MultiThreshold(Op):
    """Inputs (x, thresholds), the second constant."""

    becomes = "Steps"
    domains = DOMAINS

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x, t = ctx.tensor(node, 0), ctx.constant(node, 1, "threshold")
        node.attr.text("out_dtype", "", _TYPES)  # thresholds, scale and bias say all of it
        scale, bias = np.float32(node.attr.real("out_scale", 1.0)), np.float32(node.attr.real("out_bias", 0.0))
        rank = len(x.shape)
        layout = node.attr.text("data_layout", "", ("", "NC", "NCW", "NWC", "NCHW", "NHWC")) or _LAYOUTS.get(rank, "NC")
        axis = layout.index("C")
        if axis >= rank:
            raise node.model_error(f"layout {layout} of a tensor of {rank} axes")
        if t.ndim != 2 or t.shape[0] not in (1, x.shape[axis]) or not 1 <= t.shape[1] <= _MOST:
            why = f"they are {list(t.shape)}, for {x.shape[axis]} channels; 1 to {_MOST} for each, or for all, are available"
            raise node.unsupported("these thresholds", why)
        if not scale > 0:
            raise node.unsupported(f"out_scale {scale:g}", "a scale is positive")
        count = t.shape[1]
        rungs = np.sort(np.broadcast_to(t, (x.shape[axis], count)), axis=1).T
        names = [
            ctx.derived(
                ("multithreshold", f"{node.input(1)}__{i}", axis, x.shape), node, row.shape, lambda row=row: row
            )
            for i, row in enumerate(rungs.astype(np.float32))
        ]
        qtype, least = _type(node, scale, bias, count)
        ladder = Ladder(qtype, rounding="LADDER", count=count, least=least)
        return [ctx.node(node, "Steps", (node.input(0), *names), StepsAttrs((ladder,), axis))]

    def cases(self):
        yield _case("multithreshold", 3, {"out_dtype": "UINT2"})
        yield _case("multithreshold bits", 1, {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0})
        yield _case("multithreshold signed", 15, {"out_dtype": "INT4", "out_scale": 0.5, "out_bias": -4.0})
        yield _case("multithreshold for all", 5, {"out_dtype": "UINT3", "data_layout": "NC"}, rows=1, domain=DOMAINS[2])


def _type(node, scale, bias, count: int) -> tuple[QType, int]:
    """(type of the results, the least of them): a bit where two lie around 0 alike, else the least type that holds them."""
    if count == 1 and bias == -scale / 2:
        return QType(1, True, "bipolar", (float(scale / 2),)), -1
    least = float(bias / scale)
    if least != round(least):
        raise node.unsupported(f"out_bias {bias:g} with out_scale {scale:g}", "no integer stands for 0.0")
    least = int(least)
    ends = least, least + count
    bits = max(v.bit_length() if v >= 0 else (~v).bit_length() for v in ends) + (least < 0)
    if bits > 8:
        raise node.unsupported(f"results from {ends[0]} to {ends[1]} steps", "8 bits at most are available")
    return QType(bits, least < 0, "affine", (float(scale),)), least


def _case(label, count, attrs, *, rows=6, domain=DOMAINS[1]):
    """x -> few-bit dense layer -> thresholds per channel -> another dense layer."""
    nodes = [
        ("Quant", ["x", "s", "z", "b"], ["q"], {"signed": 1}, DOMAINS[1]), ("MatMul", ["q", "w"], ["h"], {}),
        ("MultiThreshold", ["h", "t"], ["r"], attrs, domain), ("MatMul", ["r", "v"], ["y"], {}),
    ]  # fmt: skip
    constants = {
        "s": np.float32(0.25), "z": np.float32(0), "b": np.float32(3), "t": 2 * random(label + "t", rows, count),
        "w": np.sign(random(label + "w", 10, 6)), "v": np.sign(random(label + "v", 6, 3)),
    }  # fmt: skip
    return case(label, nodes, {"x": (1, 10)}, constants, opset=11)
