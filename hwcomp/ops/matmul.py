"""MatMul with a constant right side; becomes Dense. Source: ONNX operator specification, MatMul."""

from __future__ import annotations

from hwcomp.ops._cases import case, random
from hwcomp.ops.base import Op
from hwcomp.ops.dense import DenseAttrs
from hwcomp.registry import op


@op("MatMul")
class MatMul(Op):
    """Inputs (A [..., K], B [K, M] constant)."""

    becomes = "Dense"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x = ctx.tensor(node, 0)
        if not ctx.is_constant(node.input(1)):
            why = (
                "a constant times a tensor of the network"
                if ctx.is_constant(node.input(0))
                else "no side is a constant"
            )
            raise node.unsupported("matrix product without a constant right side", why, "swap or rewrite the product")
        b = ctx.constant(node, 1, "right side")
        if b.ndim != 2:
            raise node.unsupported(f"right side of shape {list(b.shape)}", "only a matrix [K, M] is available")
        if ctx.batched and len(x.shape) < 2:
            raise node.unsupported("a matrix product over the batch axis", "it mixes the samples of a batch")
        weight = ctx.derived(("transposed", node.input(1)), node, b.shape[::-1], lambda: b.T)
        return [ctx.node(node, "Dense", (node.input(0), weight, ""), DenseAttrs())]

    def cases(self):
        def one(label, shape, k, m, **options):
            return case(label, [("MatMul", ["x", "w"], ["y"], {})], {"x": shape}, {"w": random(label, k, m)}, **options)

        yield one("matmul", (1, 7), 7, 3)
        yield one("matmul symbolic batch", ("N", 5), 5, 8, opset=7)
        yield one("matmul rank 3", (1, 3, 4), 4, 2)
        yield one("matmul rank 4", (1, 2, 3, 4), 4, 5)
        yield one("matmul to one", (1, 9), 9, 1, opset=21)
        add = [("MatMul", ["x", "w"], ["h"], {}), ("Add", ["h", "b"], ["y"], {})]
        constants = {"w": random("matmul add", 6, 4), "b": random("matmul add bias", 4)}
        yield case("matmul add", add, {"x": (1, 6)}, constants)
