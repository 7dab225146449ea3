"""Pruning inside layers: weights become zero in patterns that products can skip; shapes stay.

Sources: Han et al., "Learning both Weights and Connections", NeurIPS 2015 (size); Sun et al., "A Simple and Effective
Pruning Approach for Large Language Models" (Wanda), ICLR 2024 (size times the norm of the input); Mishra et al.,
"Accelerating Sparse Deep Neural Networks", 2021 (N:M). What remains is fitted by least squares to the float layer's
results on calibration data, layer by layer, each behind the sparse ones in front of it (He et al., "Channel Pruning",
ICCV 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.graph import Graph, origin_of
from hwcomp.passes import _patterns as patterns
from hwcomp.passes._layerwise import DOT
from hwcomp.passes._refit import Refit, by_channel
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.registry import graph_pass
from hwcomp.types import Node

CRITERIA = ("l1", "l2", "activation")
SCOPES = ("layer", "global")


@graph_pass
@dataclass(frozen=True)
class Sparsify(Pass):
    """`weight`, `vector` (rows of a kernel), `kernel` (2-D), `block`: the fraction of these that becomes zero; `nm`: "2:4"
    keeps 2 of every 4 input channels, with `shared` = 4 the same ones for every 4 outputs.

    `block_size`: outputs x input channels; auto is 4x4, with `--tune-for` as many as the target skips together.
    `criterion`: l1, l2: the size of weights; activation: times the size of their inputs. `scope`: the fraction of each layer,
    or of all together (global: sizes relative to the layer's). `skip`: nodes to leave alone, with commas. `samples`: of the
    calibration data, for what remains; 0: it stays as it is.
    """

    name: ClassVar[str] = "sparsify"
    kind: ClassVar[str] = "lossy"
    weight: float = 0.0
    vector: float = 0.0
    kernel: float = 0.0
    block: float = 0.0
    block_size: str = "auto"
    nm: str = ""
    shared: int = 1
    criterion: str = "l1"
    scope: str = "layer"
    skip: str = ""
    samples: int = 256

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if self.block_size == "auto":
            size = ctx.tuned.block(graph) if ctx.tuned else "4x4"
            if ctx.tuned and self.block:
                ctx.note(self.name, f"blocks of {size}: what the target skips together")
            return replace(self, block_size=size).run(graph, ctx)
        self._checked(ctx)
        if not self.nm and not any(getattr(self, kind) for kind in patterns.AMOUNTS):
            return graph
        layers = self._layers(graph, ctx)
        known = ctx.calibration is not None and self.samples > 0
        refit = Refit(graph, ctx, self.name, self.samples) if known else None
        squares = refit.squares(layers) if refit and self.criterion == "activation" else {}
        scores = {n.outputs[0]: self._score(graph, n, squares.get(n.outputs[0])) for n in layers}
        kept = {name: np.ones(score.shape, bool) for name, score in scores.items()}
        shapes = {n.outputs[0]: _shape(graph, n) for n in layers}
        for kind in patterns.AMOUNTS:
            if amount := getattr(self, kind):
                self._cut(layers, scores, kept, shapes, kind, amount)
        if self.nm:
            self._n_of_m(graph, layers, scores, kept)
        masks = {n.outputs[0]: _stored(graph, n, kept[n.outputs[0]]) for n in layers}
        for node in layers:
            mask = masks[node.outputs[0]]
            self._note(ctx, node, mask)
        return refit.run(masks) if refit else _masked(graph, masks)

    def _checked(self, ctx: PassContext) -> None:
        for kind in patterns.AMOUNTS:
            if not 0 <= getattr(self, kind) < 1:
                raise UsageError(
                    f"sparsify.{kind}={getattr(self, kind):g}", why="it is the fraction that becomes zero",
                    fix="give 0 or more and less than 1; a whole layer or filter goes with the pass prune",
                )  # fmt: skip
        for field, known in (("criterion", CRITERIA), ("scope", SCOPES)):
            if getattr(self, field) not in known:
                fix = f"there are {', '.join(known)}"
                raise UsageError(f"unknown sparsify.{field} '{shown(getattr(self, field))}'", fix=fix)
        patterns.sizes(self.block_size, "x", "a size of blocks")
        if self.nm:
            n, m = patterns.sizes(self.nm, ":", "a pattern N:M")
            if n >= m:
                raise UsageError(
                    f"sparsify.nm={self.nm} keeps everything", fix=f"N must be less than M, as in 1:{max(m, 2)}"
                )
        for field, least in (("shared", 1), ("samples", 0)):
            if getattr(self, field) < least:
                raise UsageError(f"sparsify.{field}={getattr(self, field)}", fix=f"{least} or more is needed")
        if self.criterion == "activation" and (ctx.calibration is None or not self.samples):
            raise UsageError(
                "sparsify.criterion=activation needs calibration data", fix="give --calibration DATA.npz, or l1"
            )

    def _layers(self, graph: Graph, ctx: PassContext) -> list[Node]:
        """The dot products with weights to prune."""
        named = [word.strip() for word in self.skip.split(",") if word.strip()]
        dots = [n for n in graph.nodes if n.op in DOT]
        known = {origin_of(n) for n in dots}
        for name in named:
            if name not in known:
                fix = f"its dot products are {', '.join(sorted(map(shown, known)))}"
                raise UsageError(f"sparsify.skip: the model has no dot product '{shown(name)}'", fix=fix)
        found = []
        for node in dots:
            if origin_of(node) in named:
                continue
            weight = graph.tensors[node.inputs[1]]
            if node.attrs.steps or weight.given is not None or weight.data.dtype.kind != "f":
                ctx.note(self.name, f"{node.op} '{origin_of(node)}' stays: the model itself quantizes it")
            else:
                found.append(node)
        return found

    def _score(self, graph: Graph, node: Node, square: np.ndarray | None) -> np.ndarray:
        """float64 [G, rows, taps, channels]: what each weight is worth; `square` [G, K]: mean squares of the inputs."""
        weight = np.abs(_split(graph, node, graph.tensors[node.inputs[1]].data.astype(np.float64)))
        if self.criterion == "l1":
            return weight
        if square is None:
            return weight**2
        ones = np.ones((weight.shape[1], 1))
        return weight**2 * _split(graph, node, (square[:, None] * ones).reshape(graph.tensors[node.inputs[1]].shape))

    def _cut(self, layers, scores, kept, shapes, kind: str, amount: float) -> None:
        """Take the units of `kind` that are worth least out of `kept`."""
        block = patterns.sizes(self.block_size, "x", "a size of blocks")
        numbers = {n.outputs[0]: patterns.units(kind, shapes[n.outputs[0]], block) for n in layers}
        numbers = {name: unit for name, unit in numbers.items() if unit is not None}
        values = {name: patterns.worth(scores[name] * kept[name], unit) for name, unit in numbers.items()}
        size = {name: v / (v.mean() or 1.0) for name, v in values.items()}
        weights = {name: np.bincount(unit.ravel()) for name, unit in numbers.items()}
        if self.scope == "global" and values:
            all_sizes = np.concatenate(list(size.values()))
            order = np.argsort(all_sizes, kind="stable")
            count = np.cumsum(np.concatenate(list(weights.values()))[order])
            gone = np.zeros(len(order), bool)
            gone[order[count <= amount * count[-1] + 0.5]] = True
            starts = np.cumsum([0, *(len(v) for v in values.values())])
            taken = {name: gone[a:b] for name, a, b in zip(values, starts, starts[1:], strict=False)}
        else:
            taken = {}
            for name, v in values.items():
                order, gone = np.argsort(v, kind="stable"), np.zeros(len(v), bool)
                gone[order[: round(amount * len(v))]] = True
                taken[name] = gone
        for node in layers:
            name = node.outputs[0]
            if name in taken:
                if taken[name].all():
                    raise self._nothing(node, kind, amount, size, weights)
                kept[name] &= ~taken[name][numbers[name]]

    def _nothing(self, node: Node, kind: str, amount: float, size, weights) -> WorkFailed:
        """The error that says how much can go."""
        if self.scope == "global":
            limit = min(float(v.max()) for v in size.values())
            less = sum(int(w[v < limit].sum()) for v, w in zip(size.values(), weights.values(), strict=True))
            most = less / sum(int(w.sum()) for w in weights.values())
            fix = (
                f"give {math.floor(most * 1000) / 1000:g} or less, --pass sparsify.scope=layer, or leave the layer out"
            )
        else:
            most = 1 - 1 / len(size[node.outputs[0]])
            smaller = ", smaller blocks with --pass sparsify.block_size=RxC," if kind == "block" else ""
            fix = f"give {math.floor(most * 1000) / 1000:g} or less{smaller} or leave the layer out"
        return WorkFailed(
            f"sparsify.{kind}={amount:g} leaves nothing of {node.op} '{origin_of(node)}'", node=origin_of(node),
            why=f"at most {most:.1%} can go", fix=f"{fix} with --pass sparsify.skip={origin_of(node)}",
        )  # fmt: skip

    def _n_of_m(self, graph: Graph, layers, scores, kept) -> None:
        n, m = patterns.sizes(self.nm, ":", "a pattern N:M")
        odd = [node for node in layers if scores[node.outputs[0]].shape[3] % m]
        if odd:
            counts = ", ".join(f"{scores[x.outputs[0]].shape[3]} of '{origin_of(x)}'" for x in odd)
            named = ",".join([*filter(None, [self.skip]), *(origin_of(x) for x in odd)])
            everything = " (which is all)" if len(odd) == len(layers) else ""
            raise UsageError(
                f"sparsify.nm={self.nm} does not divide the input channels", node=origin_of(odd[0]), why=f"{counts}",
                fix=f"leave these layers out{everything} with --pass sparsify.skip={named}, or use --pass sparsify.block=",
            )  # fmt: skip
        for node in layers:
            name = node.outputs[0]
            kept[name] &= patterns.n_of_m(scores[name] * kept[name], n, m, self.shared)

    def _note(self, ctx: PassContext, node: Node, mask: np.ndarray) -> None:
        ctx.note(self.name, f"{node.op} '{origin_of(node)}': {int((~mask).sum()):,} of {mask.size:,} weights are zero")


def _shape(graph: Graph, node: Node) -> tuple[int, ...]:
    """(groups, rows, kernel rows, kernel columns, channels)."""
    shape = graph.tensors[node.inputs[1]].shape
    if node.op == "Dense":
        return 1, shape[0], 1, 1, shape[1]
    groups = node.attrs.groups
    return groups, shape[0] // groups, *shape[2:], shape[1]


def _split(graph: Graph, node: Node, weight: np.ndarray) -> np.ndarray:
    """[G, rows, taps, channels] of weights as the node has them: neighbours in a window of a channels-last map."""
    groups, rows, high, wide, channels = _shape(graph, node)
    if node.op == "Dense":
        near = by_channel(graph, node)  # features of maps: in memory all channels of a pixel come first
        return weight.reshape(rows, -1, near).swapaxes(1, 2).reshape(1, rows, 1, channels)
    return weight.reshape(groups, rows, channels, high * wide).swapaxes(2, 3)


def _stored(graph: Graph, node: Node, values: np.ndarray) -> np.ndarray:
    """What `_split` was given."""
    shape = graph.tensors[node.inputs[1]].shape
    if node.op == "Dense":
        return values.reshape(len(values[0]), by_channel(graph, node), -1).swapaxes(1, 2).reshape(shape)
    return values.swapaxes(2, 3).reshape(shape)


def _masked(graph: Graph, masks: dict[str, np.ndarray]) -> Graph:
    tensors, nodes = dict(graph.tensors), []
    for node in graph.nodes:
        mask = masks.get(node.outputs[0])
        if mask is not None and not mask.all():
            data = np.where(mask, graph.tensors[node.inputs[1]].data, np.float32(0))
            made = constant(tensors, f"{node.outputs[0]}__weight_sparse", data)
            node = node.with_(inputs=(node.inputs[0], made.name, *node.inputs[2:]))
        nodes.append(node)
    return graph.rebuilt(nodes, tensors)
