"""Raw uint8 inputs: their type, and what it can't say folded into the first dot products.

One integer mean and one std are a zero point and a scale. Otherwise (a fractional mean, values per channel) the input's
reals become p - zero, and gain and shift of x = gain * (p - zero) + shift go into the weights and biases of the Conv or
Dense behind it: the same function, before anything is rounded. Where that is impossible the input is refused.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.errors import UnsupportedError, shown
from hwcomp.graph import Editor, Graph, origin_of
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node

_MOVES = ("Identity", "Reshape", "Transpose", "Slice", "ChannelShuffle")  # operators that take elements as they are
_FIX = "give one integer mean for all channels; or leave out --input: x is then quantized to integers by its range"


@graph_pass
class TypeInputs(Pass):
    """Not probed: the meaning of the input changes with its type."""

    name: ClassVar[str] = "type_inputs"
    kind: ClassVar[str] = "lossy"
    required: ClassVar[bool] = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        edit = Editor(graph)
        for name, pixels in ctx.input_types.items():
            tensor = graph.tensors[name]
            edit.tensors[name] = tensor.with_(qtype=pixels.qtype())
            ctx.note(self.name, f"'{name}' holds {pixels.text()}")
            if not pixels.is_affine:
                mean, std = pixels.affine(tensor.shape[1:] if graph.batched else tensor.shape)
                gain, shift = 1 / std, ((pixels.zero or 0) - mean) / std
                _push(edit, name, *(np.broadcast_to(v, tensor.shape) for v in (gain, shift)), ctx)
        return edit.done()


def _push(edit: Editor, name: str, gain: np.ndarray, shift: np.ndarray, ctx: PassContext) -> None:
    """Fold real = gain * new + shift, arrays of the shape of tensor `name`, into all its readers."""
    if name in edit.graph.outputs:
        raise UnsupportedError(
            f"input pixels reach the output '{shown(name)}' as they are", why="their mean and std would be lost", fix=_FIX
        )
    for i, node in enumerate(edit.graph.nodes):
        if name not in node.inputs:
            continue
        if node.op in _MOVES:
            moved = (OPS[node.op].evaluate(node, [v, *_constants(edit, node)])[0] for v in (gain, shift))
            _push(edit, node.outputs[0], *moved, ctx)
        elif node.op in ("Conv", "Dense") and name == node.inputs[0]:
            _fold(edit, i, gain, shift)
            ctx.note(TypeInputs.name, f"mean and std are folded into {node.op} '{node.name}'")
        else:
            raise _refusal(node, "they can only be folded into a Conv or a dense layer that reads the input")


def _constants(edit: Editor, node: Node) -> list[np.ndarray]:
    return [edit.tensors[n].data for n in node.inputs[1:]]


def _refusal(node: Node, why: str) -> UnsupportedError:
    what = f"the mean and std of input pixels can't be folded into {node.op}"
    return UnsupportedError(what, node=origin_of(node), why=why, fix=_FIX)


def _fold(edit: Editor, index: int, gain: np.ndarray, shift: np.ndarray) -> None:
    """Gain into the weights, shift into the bias of the dot product `index`, whose input has the shape of both."""
    node = edit.nodes[index]
    weight = edit.tensors[node.inputs[1]].data.astype(np.float64)
    bias = edit.tensors[node.inputs[2]].data.astype(np.float64) if len(node.inputs) > 2 and node.inputs[2] else 0.0
    if node.op == "Dense":
        gain, shift = (_same(v.reshape(-1, weight.shape[1]), 0, node) for v in (gain, shift))
        column, row = gain, shift
    else:
        gain, shift = (_same(v[0].reshape(v.shape[1], -1), 1, node) for v in (gain, shift))
        if any(node.attrs.pads) and shift.any():
            why = "it pads with real 0.0, which is no pixel; padding needs one integer mean, 0 to 255, for all channels"
            raise _refusal(node, why)
        # Input channel of weight[m, c]: the group of m, times the channels of a group, plus c.
        per = weight.shape[1]
        group = np.arange(len(weight)) // (len(weight) // node.attrs.groups)
        channel = group[:, None] * per + np.arange(per)
        column, row = (v[channel].reshape(*channel.shape, *[1] * (weight.ndim - 2)) for v in (gain, shift))
    total = bias + (weight * row).reshape(len(weight), -1).sum(axis=1)
    w = constant(edit.tensors, f"{node.outputs[0]}__weight", (weight * column).astype(np.float32))
    b = constant(edit.tensors, f"{node.outputs[0]}__bias", total.astype(np.float32))
    edit.put(index, node.with_(inputs=(node.inputs[0], w.name, b.name)))


def _same(values: np.ndarray, axis: int, node: Node) -> np.ndarray:
    """`values` along the other axis than `axis`, on which they must not depend."""
    first = np.take(values, 0, axis)
    if not (values == np.expand_dims(first, axis)).all():
        raise _refusal(node, "the channels of the pixels are not the channels that it reads")
    return first
