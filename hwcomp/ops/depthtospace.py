"""DepthToSpace and SpaceToDepth: blocks of pixels as channels. Source: ONNX operator specification, each by its name."""

from __future__ import annotations

from hwcomp.ops._cases import case, random
from hwcomp.ops._chain import Chain
from hwcomp.ops.base import Op
from hwcomp.registry import op


@op("DepthToSpace")
class DepthToSpace(Op):
    """Input (x [N, C, H, W]). It becomes Reshape, Transpose, Reshape."""

    becomes = "Transpose"

    def convert(self, node, ctx):
        shape, block = _read(node, ctx)
        modes = ("DCR", "CRD") if node.opset >= 11 else ("DCR",)
        mode = node.attr.text("mode", "DCR", modes) if node.opset >= 11 else "DCR"
        if shape[1] % (block * block):
            raise node.model_error(f"{shape[1]} channels are not blocks of {block} by {block}")
        return blocks_to_space(Chain(node, ctx), shape, (block, block), first=mode == "DCR").nodes()

    def cases(self):
        def one(label, shape, opset=13, **attrs):
            return case(label, [("DepthToSpace", ["x"], ["y"], attrs)], {"x": shape}, opset=opset)

        yield one("depthtospace", (1, 8, 2, 3), blocksize=2)
        yield one("depthtospace CRD", ("N", 9, 2, 2), opset=11, blocksize=3, mode="CRD")
        yield one("depthtospace one pixel", (1, 4, 1, 1), opset=7, blocksize=2)
        nodes = [("Conv", ["x", "w"], ["h"], {}), ("DepthToSpace", ["h"], ["d"], {"blocksize": 2, "mode": "CRD"})]
        nodes += [("Relu", ["d"], ["r"], {}), ("Conv", ["r", "v"], ["y"], {})]
        constants = {"w": random("depthtospace w", 8, 2, 1, 1), "v": random("depthtospace v", 3, 2, 2, 2)}
        yield case("depthtospace between layers", nodes, {"x": (1, 2, 3, 3)}, constants)


@op("SpaceToDepth")
class SpaceToDepth(Op):
    """Input (x [N, C, H, W]). It becomes Reshape, Transpose, Reshape."""

    becomes = "Transpose"

    def convert(self, node, ctx):
        (n, c, height, width), b = _read(node, ctx)
        if height % b or width % b:
            raise node.model_error(f"a plane of {height} by {width} is not blocks of {b} by {b}")
        chain = Chain(node, ctx).reshape(n, c, height // b, b, width // b, b).transpose(0, 3, 5, 1, 2, 4)
        return chain.reshape(n, c * b * b, height // b, width // b).nodes()

    def cases(self):
        def one(label, shape, block, opset=13):
            return case(label, [("SpaceToDepth", ["x"], ["y"], {"blocksize": block})], {"x": shape}, opset=opset)

        yield one("spacetodepth", (1, 2, 4, 6), 2)
        yield one("spacetodepth of three", ("N", 1, 3, 6), 3, opset=7)
        nodes = [("SpaceToDepth", ["x"], ["h"], {"blocksize": 2}), ("Conv", ["h", "w"], ["y"], {})]
        yield case("spacetodepth before conv", nodes, {"x": (1, 3, 4, 4)}, {"w": random("spacetodepth", 2, 12, 1, 1)})


def blocks_to_space(chain: Chain, shape, block, *, first: bool) -> Chain:
    """Channels of [N, C, H, W] as blocks of pixels; `first`: a channel's number begins with the place in the block."""
    (n, c, height, width), (bh, bw) = shape, block
    if first:
        chain.reshape(n, bh, bw, c // (bh * bw), height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        chain.reshape(n, c // (bh * bw), bh, bw, height, width).transpose(0, 1, 4, 2, 5, 3)
    return chain.reshape(n, c // (bh * bw), height * bh, width * bw)


def _read(node, ctx):
    """(shape of the input, block size)."""
    node.expect(inputs=(1, 1))
    shape = ctx.tensor(node, 0).shape
    if len(shape) != 4:
        raise node.model_error(f"{node.op_type} of a tensor of shape {list(shape)}", "it must have four dimensions")
    return shape, node.attr.integer("blocksize", least=1)
