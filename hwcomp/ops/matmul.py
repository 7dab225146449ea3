"""MatMul: with a constant right side it becomes Dense, else MatrixProduct. Source: ONNX operator specification."""

from __future__ import annotations

import numpy as np

from hwcomp.ops._cases import case, random
from hwcomp.ops.base import Op
from hwcomp.ops.dense import DenseAttrs
from hwcomp.ops.matrixproduct import MatrixProductAttrs
from hwcomp.registry import op


@op("MatMul")
class MatMul(Op):
    """Inputs (A [..., M, K], B [..., K, N]): B a constant [K, N], or both computed, with the same leading axes."""

    becomes = "Dense"
    note = "of two tensors with the same leading axes on target mcu only"

    def convert(self, node, ctx):
        node.expect(inputs=(2, 2))
        x = ctx.tensor(node, 0)
        if not ctx.is_constant(node.input(1)):
            return self._of_two(node, ctx)
        b = ctx.constant(node, 1, "right side")
        if b.ndim != 2:
            raise node.unsupported(
                f"right side of shape {list(b.shape)}",
                "only a matrix [K, M] is available",
                "slice it, with one MatMul per matrix",
            )
        if ctx.batched and len(x.shape) < 2:
            raise node.unsupported(
                "a matrix product over the batch axis",
                "it mixes the samples of a batch",
                "give the input a batch axis in front",
            )
        weight = ctx.moved(("transposed", node.input(1)), node, node.input(1), b.shape[::-1], np.transpose)
        return [ctx.node(node, "Dense", (node.input(0), weight, ""), DenseAttrs())]

    def _of_two(self, node, ctx):
        a, b = (ctx.tensor(node, i) for i in (0, 1))
        if a.is_constant:
            fix = "transpose both sides and swap them"
            raise node.unsupported("matrix product without a constant right side", "a constant times a tensor", fix)
        rank = len(a.shape)
        if rank != len(b.shape) or rank < 2 + ctx.batched or a.shape[:-2] != b.shape[:-2]:
            why = f"the shapes are {list(a.shape)} and {list(b.shape)}"
            fix = "give both the same leading axes, the batch among them"
            raise node.unsupported("a matrix product of two tensors that broadcasts or mixes samples", why, fix)
        return [ctx.node(node, "MatrixProduct", node.inputs, MatrixProductAttrs())]

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
        two = [("MatMul", ["x", "z"], ["y"], {})]
        yield case("matmul of two tensors", two, {"x": ("N", 3, 5), "z": ("N", 5, 4)})
        yield case("matmul of heads", two, {"x": (1, 2, 3, 5), "z": (1, 2, 5, 1)}, interval=(-0.5, 3.0))
        clamped = [
            ("Transpose", ["z"], ["t"], {"perm": [0, 2, 1]}),
            ("MatMul", ["x", "t"], ["h"], {}),
            ("Relu", ["h"], ["y"], {}),
        ]
        yield case("matmul transposed", clamped, {"x": (1, 4, 6), "z": (1, 3, 6)})
        yield case("matmul attention", attention(6), {"x": ("N", 5, 6)}, heads("attention", 6))


def attention(size: int) -> list[tuple]:
    """One head over x [N, length, size]: softmax(q k^T / sqrt(size)) v, as exporters write it."""
    made = [("MatMul", ["x", f"w{n}"], [n], {}) for n in "qkv"]
    return [
        *made, ("Transpose", ["k"], ["t"], {"perm": [0, 2, 1]}), ("MatMul", ["q", "t"], ["s"], {}),
        ("Div", ["s", "root"], ["r"], {}), ("Softmax", ["r"], ["p"], {"axis": -1}), ("MatMul", ["p", "v"], ["y"], {}),
    ]  # fmt: skip


def heads(label: str, size: int) -> dict[str, np.ndarray]:
    """The constants of `attention`."""
    return {f"w{n}": random(f"{label} {n}", size, size, scale=2.0) for n in "qkv"} | {"root": np.float32(size**0.5)}
