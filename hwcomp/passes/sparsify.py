"""Pruning inside layers: weights become zero in patterns that products can skip; shapes stay.

What a weight is worth: hwcomp/passes/_weight_scores.py. Patterns N:M: Mishra et al., "Accelerating Sparse Deep Neural Networks",
2021. What remains is fitted by least squares to the float layer's results on calibration data, layer by layer, each behind the
sparse ones in front of it (He et al., "Channel Pruning", ICCV 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.graph import Graph, origin_of
from hwcomp.passes import _patterns as patterns
from hwcomp.passes._costs import at_most
from hwcomp.passes._places import places, shape, split, stored
from hwcomp.passes._refit import Refit
from hwcomp.passes._weight_scan import Scan, slopes
from hwcomp.passes._weight_scores import CRITERIA, OF_DATA, scores
from hwcomp.passes._zero_budget import WORDS, Budget
from hwcomp.passes.base import DOT, Pass, PassContext, constant, stated
from hwcomp.passes.prune import accuracy
from hwcomp.registry import graph_pass
from hwcomp.types import Node

SCOPES = ("layer", "global", "sensitivity")
OF = ("parameters", "macs", *WORDS)
_HALVINGS = 6
_WITHOUT = "block"  # what goes where there is a floor and no amount


@graph_pass
@dataclass(frozen=True)
class Sparsify(Pass):
    """`weight`, `vector` (rows of a kernel), `kernel` (2-D), `block`: the fraction of these that becomes zero; `nm`: "2:4"
    keeps 2 of every 4 input channels, with `shared` = 4 the same ones for every 4 outputs.

    `block_size`: outputs x input channels; auto is 4x4, with `--tune-for` as many as the target skips together. `criterion`: l1, l2:
    the size of weights; activation: times the size of their inputs; obs: what the layer's output loses; taylor: the gradient of the
    loss; random; auto is obs with calibration data, else l1. `threshold`: single weights below this times their layer's root mean
    square go, too. `scope`: the fraction of each layer, or of all together (global: relative to the layer's; sensitivity: by the error
    of the network's results per cost saved; auto is that with calibration data, else layer). `of`: what the fraction is of: parameters,
    macs; or what a target takes of the whole network, instructions, flash, cycles, lane_cycles, lut (hwcomp.passes._costs): layers
    whose zeros save nothing there stay as they are. `floor`: least accuracy on labelled calibration data; without an amount as many
    blocks go as it allows. `skip`: nodes to leave alone, with commas. `samples`: of the calibration data, for what remains; 0: it stays
    as it is.
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
    criterion: str = "auto"
    threshold: float = 0.0
    scope: str = "auto"
    of: str = "parameters"
    floor: float = 0.0
    skip: str = ""
    samples: int = 256
    seed: int = 0

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if self.block_size == "auto":
            size = ctx.tuned.block(graph) if ctx.tuned else "4x4"
            if ctx.tuned and self.block:
                ctx.note(self.name, f"blocks of {size}: what the target skips together")
            return replace(self, block_size=size).run(graph, ctx)
        self._checked(ctx)
        asked = self.nm or self.threshold or any(getattr(self, kind) for kind in patterns.AMOUNTS)
        if not asked and not self.floor:
            return graph
        layers = self._layers(graph, ctx)
        if asked:
            work = _Sparsifying(self, graph, ctx, layers)
            made, notes = work.at(1.0)
            if self.floor and (got := accuracy(made, ctx)) < self.floor:
                raise self._missed(work, got)
        else:
            made, notes = self._as_far_as(_Sparsifying(replace(self, **{_WITHOUT: 1.0}), graph, ctx, layers))
        for line in notes:
            ctx.note(self.name, line)
        return made

    def _as_far_as(self, work: _Sparsifying) -> tuple[Graph, list[str]]:
        low, high, best = 0.0, 1.0, None
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            try:
                now = work.at(middle)
                good = accuracy(now[0], work.ctx) >= self.floor
            except WorkFailed:
                good = False
            low, high, best = (middle, high, now) if good else (low, middle, best)
        if best is None:
            why = f"without any zeros it is {accuracy(work.graph, work.ctx):.4f}, {_WITHOUT}={high:g} is too much"
            raise WorkFailed(f"the accuracy floor {self.floor:g} is out of reach", why=why, fix="lower sparsify.floor")
        return best[0], [
            *best[1],
            f"{_WITHOUT}={low:g} of the {self.of}: as far as an accuracy of {self.floor:g} allows",
        ]

    def _missed(self, work: _Sparsifying, got: float) -> WorkFailed:
        """The error that says which part of the amounts keeps the floor."""
        low, high, best = 0.0, 1.0, accuracy(work.graph, work.ctx)
        for _ in range(_HALVINGS if not self.nm and best >= self.floor else 0):
            middle = (low + high) / 2
            now = accuracy(work.at(middle)[0], work.ctx)
            low, high, best = (middle, high, now) if now >= self.floor else (low, middle, best)
        asked = {kind: getattr(self, kind) for kind in (*patterns.AMOUNTS, "threshold") if getattr(self, kind)}
        some = " ".join(f"{kind}={math.floor(1000 * low * amount) / 1000:g}" for kind, amount in asked.items())
        why = f"{some} has {best:.4f}" if low else f"without any zeros it is {best:.4f}"
        named = " ".join(
            [f"{kind}={amount:g}" for kind, amount in asked.items()] + ([f"nm={self.nm}"] if self.nm else [])
        )
        return WorkFailed(
            f"sparsify with {named} misses the accuracy floor {self.floor:g}: {got:.4f} on calibration data", why=why,
            fix="ask for less, try --pass sparsify.scope=sensitivity, or lower sparsify.floor",
        )  # fmt: skip

    def _checked(self, ctx: PassContext) -> None:
        for kind in patterns.AMOUNTS:
            if not 0 <= getattr(self, kind) < 1:
                raise UsageError(
                    f"sparsify.{kind}={getattr(self, kind):g}", why="it is the fraction that becomes zero",
                    fix="give 0 or more and less than 1; a whole layer or filter goes with the pass prune",
                )  # fmt: skip
        for field, known in (("criterion", ("auto", *CRITERIA)), ("scope", ("auto", *SCOPES)), ("of", OF)):
            if getattr(self, field) not in known:
                fix = f"there are {', '.join(known)}"
                raise UsageError(f"unknown sparsify.{field} '{shown(getattr(self, field))}'", fix=fix)
        if self.of in WORDS.keys() - ctx.zeros.keys():
            raise UsageError(f"sparsify.of={self.of}", why="nobody gave this pass a model of the target")
        patterns.sizes(self.block_size, "x", "a size of blocks")
        if self.nm:
            n, m = patterns.sizes(self.nm, ":", "a pattern N:M")
            if n >= m:
                raise UsageError(
                    f"sparsify.nm={self.nm} keeps everything", fix=f"N must be less than M, as in 1:{max(m, 2)}"
                )
        for field, least in (("shared", 1), ("samples", 0), ("seed", 0)):
            if getattr(self, field) < least:
                raise UsageError(f"sparsify.{field}={getattr(self, field)}", fix=f"{least} or more is needed")
        if not 0 <= self.floor <= 1 or not 0 <= self.threshold < math.inf:
            raise UsageError(
                "sparsify.floor is 0 to 1, sparsify.threshold 0 or more",
                why=f"they are {self.floor:g} and {self.threshold:g}",
            )
        data = ctx.calibration is not None and self.samples > 0
        for field, known in (("criterion", OF_DATA), ("scope", ("sensitivity",))):
            if (given := getattr(self, field)) in known and not data:
                fix = f"give --calibration DATA.npz, or {'l1' if field == 'criterion' else 'scope=global'}"
                raise UsageError(f"sparsify.{field}={given} needs calibration data", fix=fix)
        if self.floor and ctx.labels is None:
            raise UsageError("sparsify.floor needs labelled calibration data", fix="add an array `labels` to the data")

    def _layers(self, graph: Graph, ctx: PassContext) -> list[Node]:
        """The dot products with weights to prune."""
        named = [word.strip() for word in self.skip.split(",") if word.strip()]
        dots = [n for n in graph.nodes if n.op in DOT]
        known = {origin_of(n) for n in dots}
        for name in named:
            if name not in known:
                fix = f"its dot products are {', '.join(sorted(map(shown, known)))}"
                raise UsageError(f"sparsify.skip: the model has no dot product '{shown(name)}'", fix=fix)
        found, stay = [], []
        for node in dots:
            if origin_of(node) in named:
                continue
            weight = graph.tensors[node.inputs[1]]
            if node.attrs.steps or weight.given is not None or weight.data.dtype.kind != "f":
                stay.append(node)
            else:
                found.append(node)
        if stay and not found:
            raise stated("pruning", origin_of(stay[0]), ctx)
        if not found:
            raise UsageError("sparsify finds nothing to prune", why="no dot product is left for it", fix="leave it out")
        for node in stay:
            ctx.warn(f"pass sparsify leaves '{shown(origin_of(node))}' as it is: the model itself quantizes it")
        return found


class _Sparsifying:
    """One graph and its layers; scores and trials are found once for all amounts."""

    def __init__(self, options: Sparsify, graph: Graph, ctx: PassContext, layers: list[Node]):
        self.options, self.graph, self.ctx, self.layers = options, graph, ctx, layers
        known = ctx.calibration is not None and options.samples > 0
        criterion, scope = ("obs", "sensitivity") if known else ("l1", "layer")
        self._criterion = criterion if options.criterion == "auto" else options.criterion
        self._scope = scope if options.scope == "auto" else options.scope
        self._refit = Refit(graph, ctx, options.name, options.samples) if known else None
        found = scores(graph, ctx, layers, self._criterion, self._refit, options.samples, options.seed)
        self._scores = {n.outputs[0]: split(graph, n, found[n.outputs[0]]) for n in layers}
        self._places = {n.outputs[0]: places(graph, n) if options.of == "macs" else 1 for n in layers}
        self._model = ctx.zeros[options.of](graph) if options.of in WORDS else None
        self._slopes: dict[tuple[str, bytes], np.ndarray] = {}

    def at(self, part: float) -> tuple[Graph, list[str]]:
        """(the graph with `part` of the amounts gone, what each layer has lost)."""
        o = self.options
        idle: dict[str, str] = {}
        # What is zero already stays so: weights are fitted, and would fill it in.
        kept = {n.outputs[0]: split(self.graph, n, self.graph.tensors[n.inputs[1]].data) != 0 for n in self.layers}
        if o.threshold:
            for node in self.layers:
                self._below(node, part * o.threshold, kept)
        for kind in patterns.AMOUNTS:
            if amount := part * getattr(o, kind):
                idle |= self._cut(kept, kind, amount)
        if o.nm:
            idle |= self._n_of_m(kept)
        masks = {n.outputs[0]: stored(self.graph, n, kept[n.outputs[0]]) for n in self.layers}
        notes = []
        for node in self.layers:
            mask = masks[node.outputs[0]]
            why = f"; {idle[node.outputs[0]]}" if node.outputs[0] in idle else ""
            notes.append(
                f"{node.op} '{origin_of(node)}': {int((~mask).sum()):,} of {mask.size:,} weights are zero{why}"
            )
        if self._model:
            notes.append(self._budget(kept, "zeros").text(kept))
        asked = o.nm or o.threshold
        how = "" if asked and not any(getattr(o, kind) for kind in patterns.AMOUNTS) else f", scope {self._scope}"
        notes.append(f"by {self._criterion}{how}; what remains {'is fitted' if self._refit else 'stays as it is'}")
        return (self._refit.run(masks) if self._refit else _masked(self.graph, masks)), notes

    def _budget(self, kept, what: str) -> Budget:
        names = {n.outputs[0]: origin_of(n) for n in self.layers}
        return Budget(self._model, self.options.of, dict(kept), names, what)

    def _below(self, node: Node, threshold: float, kept) -> None:
        size = np.abs(split(self.graph, node, self.graph.tensors[node.inputs[1]].data.astype(np.float64)))
        limit = float(np.sqrt(np.mean(size**2)))
        kept[node.outputs[0]] &= size >= threshold * limit
        if limit and not kept[node.outputs[0]].any():
            raise WorkFailed(
                f"sparsify.threshold={threshold:g} leaves nothing of {node.op} '{origin_of(node)}'", node=origin_of(node),
                why=f"its largest weight is {size.max() / limit:.3g} times the root mean square", fix="take a lower threshold",
            )  # fmt: skip

    def _cut(self, kept, kind: str, amount: float) -> dict[str, str]:
        """Take the units of `kind` that are worth least out of `kept`; returns why layers stay as they are."""
        graph, scope = self.graph, self._scope
        block = patterns.sizes(self.options.block_size, "x", "a size of blocks")
        numbers = {n.outputs[0]: patterns.units(kind, shape(graph, n), block) for n in self.layers}
        numbers = {name: unit for name, unit in numbers.items() if unit is not None}
        if not numbers:
            why = "no kernel has more than one position"
            raise UsageError(
                f"sparsify.{kind}={amount:g} finds nothing to prune", why=why, fix="take --prune weight or block"
            )
        values = {name: patterns.worth(self._scores[name] * kept[name], unit) for name, unit in numbers.items()}
        size = {name: v / (v.mean() or 1.0) for name, v in values.items()}
        if self._model:
            return self._cut_of_target(kept, kind, amount, numbers, values, size)
        costs = {name: np.bincount(unit.ravel()) * self._places[name] for name, unit in numbers.items()}
        if scope == "sensitivity":
            for node in self.layers:
                if (name := node.outputs[0]) in numbers:
                    size[name] = self._slope(
                        node, values, numbers, lambda gone, of=costs[name]: float(of[gone].sum()), kept
                    )
        if scope != "layer":
            every = np.concatenate(list(size.values()))
            within = np.concatenate(
                [np.argsort(np.argsort(v, kind="stable"), kind="stable") / len(v) for v in values.values()]
            )
            order = np.lexsort((within, every))
            saved = np.cumsum(np.concatenate(list(costs.values()))[order])
            gone, free = np.zeros(len(order), bool), np.isfinite(every[order])
            budget = amount * saved[-1] + 0.5
            if saved[free][-1] + saved[-1] / len(order) < budget if free.any() else budget >= 1:
                raise self._too_much(kind, amount, saved[free][-1] / saved[-1] if free.any() else 0.0)
            gone[order[(saved <= budget) & free]] = True
            starts = np.cumsum([0, *(len(v) for v in values.values())])
            taken = {name: gone[a:b] for name, a, b in zip(values, starts, starts[1:], strict=False)}
        else:
            taken = {}
            for name, v in values.items():
                order, gone = np.argsort(v, kind="stable"), np.zeros(len(v), bool)
                gone[order[: round(amount * len(v))]] = True
                taken[name] = gone
        for node in self.layers:
            name = node.outputs[0]
            if name in taken:
                if taken[name].all():
                    raise self._nothing(node, kind, amount, size, costs)
                kept[name] &= ~taken[name][numbers[name]]
        return {}

    def _cut_of_target(self, kept, kind: str, amount: float, numbers, values, size) -> dict[str, str]:
        budget, keys = self._budget(kept, f"sparsify.{kind}={amount:g}"), {}
        for node in self.layers:
            if (name := node.outputs[0]) not in numbers:
                continue
            order, unit = np.argsort(values[name], kind="stable"), numbers[name]
            if not budget.pays(name, ~np.isin(unit, order[:-1])):
                continue
            if self._scope == "sensitivity":

                def saved(gone: np.ndarray, name=name, unit=unit) -> float:
                    return budget.saved(name, ~np.isin(unit, gone))

                keys[name] = self._slope(node, values, numbers, saved, kept)
                continue
            keys[name] = size[name] if self._scope == "global" else np.argsort(order, kind="stable") / len(order)
            keys[name][order[-1]] = np.inf  # something stays
        kept |= budget.within(numbers, keys, values, amount)
        return budget.idle

    def _slope(self, node: Node, values, numbers, saved, kept) -> np.ndarray:
        """Error of the results per cost of each unit of a layer, found once for each pattern of what went before."""
        name = node.outputs[0]
        unit, at = numbers[name], (name, numbers[name].tobytes() + kept[name].tobytes())
        if at not in self._slopes:
            self.ctx.progress("sensitivity of the layers", self.layers.index(node), len(self.layers))
            scan = Scan(self.graph, self.ctx, self._refit)
            self._slopes[at] = slopes(
                np.argsort(values[name], kind="stable"), saved,
                lambda gone: scan.judge(node, stored(self.graph, node, kept[name] & ~np.isin(unit, gone))),
            )  # fmt: skip
        return self._slopes[at]

    def _too_much(self, kind: str, amount: float, most: float) -> WorkFailed:
        return WorkFailed(
            f"sparsify.{kind}={amount:g} leaves next to nothing of every layer", why=at_most(most),
            fix=f"give {math.floor(most * 1000) / 1000:g} or less, or --pass sparsify.scope=layer",
        )  # fmt: skip

    def _nothing(self, node: Node, kind: str, amount: float, size, costs) -> WorkFailed:
        """The error that says how much can go."""
        if self._scope != "layer":
            limit = min(float(v.max()) for v in size.values())
            less = sum(int(w[v < limit].sum()) for v, w in zip(size.values(), costs.values(), strict=True))
            most = less / sum(int(w.sum()) for w in costs.values())
            fix = (
                f"give {math.floor(most * 1000) / 1000:g} or less, --pass sparsify.scope=layer, or leave the layer out"
            )
        else:
            most = 1 - 1 / len(size[node.outputs[0]])
            smaller = ", smaller blocks with --pass sparsify.block_size=RxC," if kind == "block" else ""
            fix = f"give {math.floor(most * 1000) / 1000:g} or less{smaller} or leave the layer out"
        return WorkFailed(
            f"sparsify.{kind}={amount:g} leaves nothing of {node.op} '{origin_of(node)}'", node=origin_of(node),
            why=at_most(most), fix=f"{fix} with --pass sparsify.skip={origin_of(node)}",
        )  # fmt: skip

    def _n_of_m(self, kept) -> dict[str, str]:
        o = self.options
        n, m = patterns.sizes(o.nm, ":", "a pattern N:M")
        odd = [node for node in self.layers if self._scores[node.outputs[0]].shape[3] % m]
        if odd:
            counts = ", ".join(f"{self._scores[x.outputs[0]].shape[3]} of '{origin_of(x)}'" for x in odd)
            named = ",".join([*filter(None, [o.skip]), *(origin_of(x) for x in odd)])
            everything = " (which is all)" if len(odd) == len(self.layers) else ""
            pruned = f", keep filters in multiples with --pass prune.multiple={m}" if "prune" in self.ctx.notes else ""
            raise UsageError(
                f"sparsify.nm={o.nm} does not divide the input channels", node=origin_of(odd[0]), why=f"{counts}",
                fix=f"leave these layers out{everything} with --pass sparsify.skip={named}{pruned}, or take --prune block={1 - n / m:g}",
            )  # fmt: skip
        masks = {name: patterns.n_of_m(self._scores[name] * kept[name], n, m, o.shared) for name in kept}
        if not self._model:
            for name, mask in masks.items():
                kept[name] &= mask
            return {}
        budget = self._budget(kept, f"sparsify.nm={o.nm}")
        some = {name: kept[name] & mask for name, mask in masks.items() if budget.pays(name, mask)}
        if not some:
            raise budget.nothing()
        kept |= some
        return budget.idle


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
