"""Factors per channel behind a quantizer of integers (a QONNX Quant with a scale per channel) go into the weights that follow.

sum w * (s * q) = sum (w * s) * q: exact where w * s are integers times one scale per output channel again, as in depthwise
convolutions and for scales whose ratios are small integers; float weights take any factor. All else is refused by name.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.errors import UnsupportedError
from hwcomp.graph import Editor, Graph, origin_of
from hwcomp.ops import _steps
from hwcomp.passes.base import DOT, Pass, PassContext, constant
from hwcomp.quantize.few_bits import recognized
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node


@graph_pass
class ChannelScales(Pass):
    """Not probed: float sums get other last bits, which decide a tie of the quantizer behind them."""

    name: ClassVar[str] = "channel_scales"
    kind: ClassVar[str] = "lossy"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for i, node in enumerate(graph.nodes):
            before = graph.producer(node.inputs[0])
            if node.op != "BatchNormalization" or before is None or before.op != "Steps":
                continue
            if not _steps.quantizer(before.attrs.steps) or not isinstance(before.attrs.steps[0], _steps.Ratio):
                continue
            scale, bias, mean, _ = (graph.tensors[n].data for n in node.inputs[1:])
            if not np.array_equal(scale, graph.tensors[before.inputs[1]].data) or bias.any() or mean.any():
                continue
            for reader, moved in _readers(graph, node.outputs[0], scale, node):
                _fold(edit, reader, moved, node)
            edit.put(i, None)
            for j, reader in enumerate(edit.nodes):
                if reader is not None and node.outputs[0] in reader.inputs:
                    names = tuple(node.inputs[0] if n == node.outputs[0] else n for n in reader.inputs)
                    edit.put(j, reader.with_(inputs=names))
            ctx.note(self.name, f"the scales per channel of '{before.name}' go into the weights behind it")
        return edit.done()


def _readers(graph: Graph, name: str, scale: np.ndarray, quant: Node) -> list[tuple[Node, np.ndarray]]:
    """(dot product, factor per input channel) of all that reads `name`, moved by MaxPool or Reshape or not."""
    if name in graph.outputs:
        raise _refused(quant, "it is an output of the network")
    found = []
    for reader in graph.consumers(name):
        shape = graph.tensors[name].shape
        if reader.op in DOT and (reader.op == "Conv" or len(shape) == 2):
            found.append((reader, scale))
        elif reader.op in ("MaxPool", "Identity"):
            found += _readers(graph, reader.outputs[0], scale, quant)
        elif reader.op == "Reshape" and graph.tensors[reader.outputs[0]].shape == (shape[0], int(np.prod(shape[1:]))):
            found += _readers(graph, reader.outputs[0], np.repeat(scale, int(np.prod(shape[2:]))), quant)
        else:
            raise _refused(quant, f"{OPS[reader.op].name} '{reader.name}' reads it")
    return found


def _fold(edit: Editor, dot: Node, scale: np.ndarray, quant: Node) -> None:
    index = next(j for j, n in enumerate(edit.nodes) if n is not None and n.outputs == dot.outputs)
    dot = edit.nodes[index]
    weight = edit.tensors[dot.inputs[1]].data
    groups = dot.attrs.groups if dot.op == "Conv" else 1
    per = weight.shape[1]
    channel = (np.arange(len(weight)) // (len(weight) // groups))[:, None] * per + np.arange(per)
    new = (weight * scale[channel].reshape(*channel.shape, *[1] * (weight.ndim - 2))).astype(np.float32)
    if recognized(weight.reshape(len(weight), -1)) is not None and recognized(new.reshape(len(weight), -1)) is None:
        raise _refused(quant, f"times the weights of {dot.op} '{dot.name}' they are no integers of 8 bits")
    made = constant(edit.tensors, f"{dot.inputs[1]}__scaled", new)
    edit.put(index, dot.with_(inputs=(dot.inputs[0], made.name, *dot.inputs[2:])))


def _refused(quant: Node, why: str) -> UnsupportedError:
    return UnsupportedError("a scale per channel on a computed tensor", node=origin_of(quant), why=why)
