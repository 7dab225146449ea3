"""QLinearConcat of com.microsoft: integers of several types in one; becomes Concat.

Source: onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from hwcomp.ops._cases import qlinear_case
from hwcomp.ops._quantized import Translation
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("QLinearConcat")
class QLinearConcat(Op):
    """Inputs (scale and zero point of y, then of each tensor: itself, its scale, its zero point)."""

    domains = ("com.microsoft",)
    becomes = "Concat"

    def convert(self, node, ctx):
        node.expect(inputs=(5, max(5, len(node.inputs))))
        if len(node.inputs) % 3 != 2:
            raise node.model_error(f"QLinearConcat has {len(node.inputs)} inputs", "two, and three for each tensor")
        t = Translation(node, ctx)
        parts = [t.activation(i, i + 1, i + 2)[0] for i in range(2, len(node.inputs), 3)]
        return t.quantize(t.as_real("Concat", *parts), 0, 1)

    def cases(self):
        inputs = ["y_s", "y_z", "x_q", "x_s", "x_z", "x_q", "x_s", "x_z"]
        yield qlinear_case("qlinearconcat", "QLinearConcat", inputs, {"axis": 1}, (1, 3, 4, 5))
