"""DynamicQuantizeLinear: refused with the reason. Source: ONNX operator specification, DynamicQuantizeLinear."""

from __future__ import annotations

from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("DynamicQuantizeLinear")
class DynamicQuantizeLinear(Op):
    refused = (
        "DynamicQuantizeLinear chooses a scale anew from the values of each sample; integers need one that is known before",
        "quantize the model statically, or give the float model and calibration data",
    )
