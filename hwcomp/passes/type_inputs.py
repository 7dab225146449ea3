"""Raw uint8 inputs: their type, and what it can't say folded into the first dot products.

One integer mean and one std are a zero point and a scale. Otherwise (a fractional mean, values per channel) the input's
reals become r = p - zero, and x = (r - mean) / std goes into the weights and biases of the Conv or Dense behind it: the
same function, before anything is rounded. A Conv that pads with real 0.0 needs integers of which one is 0.0: means that
are multiples of 1/128 are subtracted first, exactly, in integers of a few bits more. All else is refused.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hwcomp.errors import UnsupportedError, UsageError, shown
from hwcomp.graph import Editor, Graph, origin_of
from hwcomp.ops.batchnormalization import BatchNormalizationAttrs
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.pixels import MOST
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, QType, Tensor

_MOVES = ("Identity", "Reshape", "Transpose", "Slice", "ChannelShuffle")  # operators that take elements as they are
_PARTS = (1, 2, 4, 8, 16, 32, 64, 128)
_MOST_BITS = 16
_FIX = "give one integer mean and one std"
_ELSE = "or leave out --input: x is then quantized to integers by its range"


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
            if tensor.stored:
                raise UsageError(
                    f"--input {shown(name)}=uint8,...", why="the model itself states the type of this input"
                )
            edit.tensors[name] = tensor.with_(qtype=pixels.qtype())
            ctx.note(self.name, f"'{name}' holds {pixels.text()}")
            if not pixels.is_affine:
                mean, std = pixels.affine(tensor.shape[1:] if graph.batched else tensor.shape)
                mean = mean - (pixels.zero or 0)
                _push(edit, name, *(np.broadcast_to(v, tensor.shape) for v in (mean, std)), ctx)
        return edit.done()


def _push(edit: Editor, name: str, mean: np.ndarray, std: np.ndarray, ctx: PassContext) -> None:
    """Fold x = (r - mean) / std, arrays of the shape of tensor `name`, into all its readers."""
    if name in edit.graph.outputs:
        raise UnsupportedError(
            f"input pixels reach the output '{shown(name)}' as they are",
            why="their mean and std would be lost",
            fix=f"{_FIX}, {_ELSE}",
        )
    for i, node in enumerate(edit.graph.nodes):
        if name not in node.inputs:
            continue
        if node.op in _MOVES:
            moved = (OPS[node.op].evaluate(node, [v, *_constants(edit, node)])[0] for v in (mean, std))
            _push(edit, node.outputs[0], *moved, ctx)
        elif node.op in ("Conv", "Dense") and name == node.inputs[0]:
            ctx.note(TypeInputs.name, _fold(edit, i, mean, std))
        else:
            raise _refusal(node, "they can only be folded into a Conv or a dense layer that reads the input")


def _constants(edit: Editor, node: Node) -> list[np.ndarray]:
    return [edit.tensors[n].data for n in node.inputs[1:]]


def _refusal(node: Node, why: str, fix: str = _FIX) -> UnsupportedError:
    what = f"the mean and std of input pixels can't be folded into {node.op}"
    return UnsupportedError(what, node=origin_of(node), why=why, fix=f"{fix}, {_ELSE}")


def _fold(edit: Editor, index: int, mean: np.ndarray, std: np.ndarray) -> str:
    """1/std into the weights, -mean/std into the bias of the dot product `index`, whose input has the shape of both."""
    node, note = edit.nodes[index], ""
    weight = edit.tensors[node.inputs[1]].data.astype(np.float64)
    bias = edit.tensors[node.inputs[2]].data.astype(np.float64) if len(node.inputs) > 2 and node.inputs[2] else 0.0
    if node.op == "Dense":
        mean, std = (_same(v.reshape(-1, weight.shape[1]), 0, node) for v in (mean, std))
        column, row = 1 / std, -mean / std
    else:
        mean, std = (_same(v[0].reshape(v.shape[1], -1), 1, node) for v in (mean, std))
        if any(node.attrs.pads) and mean.any():
            node, bits = _subtracted(edit, node, mean)
            mean, note = np.zeros_like(mean), f"; the mean is subtracted first, exactly, in {bits} bits"
        # Input channel of weight[m, c]: the group of m, times the channels of a group, plus c.
        per = weight.shape[1]
        group = np.arange(len(weight)) // (len(weight) // node.attrs.groups)
        channel = group[:, None] * per + np.arange(per)
        column, row = (v[channel].reshape(*channel.shape, *[1] * (weight.ndim - 2)) for v in (1 / std, -mean / std))
    total = bias + (weight * row).reshape(len(weight), -1).sum(axis=1)
    w = constant(edit.tensors, f"{node.outputs[0]}__weight", (weight * column).astype(np.float32))
    b = constant(edit.tensors, f"{node.outputs[0]}__bias", total.astype(np.float32))
    edit.put(index, node.with_(inputs=(node.inputs[0], w.name, b.name, *node.inputs[3:])))
    return f"mean and std are folded into {node.op} '{node.name}'{note}"


def _subtracted(edit: Editor, node: Node, mean: np.ndarray) -> tuple[Node, int]:
    """`node` behind a BatchNormalization that computes p - mean in integers, without a rounding, and their bits."""
    parts = next((d for d in _PARTS if (mean * d == np.rint(mean * d)).all()), 0)
    ends = [int(parts * end) for end in (-mean.max(), MOST - mean.min())]
    bits = max((end if end >= 0 else ~end).bit_length() for end in ends) + 1
    if not parts or bits > _MOST_BITS:
        why = f"it pads with real 0.0, which is no pixel, and the means are no multiples of 1/{_PARTS[-1]}"
        raise _refusal(node, why, "round them to such multiples")
    source, count = edit.tensors[node.inputs[0]], len(mean)
    name = free_name(edit.tensors, f"{source.name}__centred")
    qtype = QType(bits, True, "affine", (1 / parts,))
    edit.tensors[name] = Tensor(name, source.shape, qtype=qtype, range=tuple(float(e) / parts for e in ends))
    values = (np.ones(count), np.zeros(count), mean, np.ones(count))  # scale, bias, mean, variance
    constants = [constant(edit.tensors, f"{name}_{i}", v.astype(np.float32)).name for i, v in enumerate(values)]
    attrs = BatchNormalizationAttrs(0.0)
    edit.nodes.append(None)
    edit.put(
        len(edit.nodes) - 1, Node("BatchNormalization", name, (source.name, *constants), (name,), attrs, node.origin)
    )
    return node.with_(inputs=(name, *node.inputs[1:])), bits


def _same(values: np.ndarray, axis: int, node: Node) -> np.ndarray:
    """`values` along the other axis than `axis`, on which they must not depend."""
    first = np.take(values, 0, axis)
    if not (values == np.expand_dims(first, axis)).all():
        raise _refusal(node, "the channels of the pixels are not the channels that it reads")
    return first
