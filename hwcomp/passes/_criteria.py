"""What channels are worth: the criteria of structured pruning.

Sources: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017 (l1, l2); Liu et al., "Network Slimming", ICCV 2017
(bn); Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017 (taylor,
equation 8, and the norm per layer); Sun et al., "Wanda", ICLR 2024 (activation: the size of a weight times that of what
it reads, here added up over the weights that read a channel); Srinivas and Babu, BMVC 2015 (correlation: of two units that
say the same one is enough).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph
from hwcomp.passes._gradients import Tape, logits_of, loss_gradient
from hwcomp.passes._layerwise import spread
from hwcomp.passes._units import Units
from hwcomp.passes.base import DOT, PassContext
from hwcomp.samples import operands
from hwcomp.types import Node

OF_WEIGHTS = ("l1", "l2", "threshold", "bn")
OF_DATA = ("activation", "taylor", "variance", "correlation")
CRITERIA = (*OF_WEIGHTS, *OF_DATA, "random")
_BATCH = 64  # samples whose tensors and gradients are in memory at once


@dataclass(frozen=True)
class Site:
    """One place where units are seen: `units` int64 [n], what each is worth there as `values` float64 [n], 0 or more."""

    units: np.ndarray
    values: np.ndarray


def sites(
    graph: Graph, units: Units, ctx: PassContext, criterion: str, columns: bool, samples: int, seed: int
) -> list[Site]:
    """Each layer's values divided by their root mean square. `columns`: of weights those that read a channel count (kind
    channel), else those that make it (kind filter). `samples`: of the calibration data. UsageError where that or labels are
    missing."""
    if criterion == "random":
        found = [Site(units.free, np.random.default_rng(seed).uniform(0, 1, len(units.free)))]
    elif criterion == "bn":
        found = _scales(graph, units, ctx)
    elif criterion in OF_WEIGHTS:
        power = 1 if criterion == "l1" else 2
        found = [_columns(n, graph, units, power) if columns else _rows(n, graph, units, power) for n in _dots(graph)]
    else:
        found = _OF_DATA[criterion](graph, units, _data(graph, ctx, criterion, samples))
    seen = [s for s in found if s is not None and s.values.size]
    return [Site(s.units, s.values / (float(np.sqrt(np.mean(np.square(s.values)))) or 1.0)) for s in seen]


def worth(units: Units, found: list[Site]) -> dict[int, float]:
    """The mean over all sites of each unit that may go and is seen anywhere."""
    size = max([int(units.free.max(initial=0)), *(int(s.units.max()) for s in found)]) + 1
    total, count = np.zeros(size), np.zeros(size)
    for site in found:
        np.add.at(total, site.units, site.values)
        np.add.at(count, site.units, 1)
    return {int(u): total[u] / count[u] for u in units.free if count[u]}


def _dots(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.op in DOT]


def _rows(node: Node, graph: Graph, units: Units, power: int) -> Site:
    weight = np.abs(graph.tensors[node.inputs[1]].data.astype(np.float64))
    size = np.mean(weight.reshape(len(weight), -1) ** power, axis=1)
    return Site(units.rows[node.outputs[0]], size ** (1 / power))


def _columns(node: Node, graph: Graph, units: Units, power: int) -> Site | None:
    """None where a layer reads no whole planes."""
    columns = units.columns.get(node.outputs[0])
    if columns is None:
        return None
    return Site(columns, _column_sums(node, graph, power) ** (1 / power))


def _column_sums(node: Node, graph: Graph, power: int) -> np.ndarray:
    """float64 [channels that it reads]: the sum of |weight| ** power over all weights that read one."""
    weight = np.abs(graph.tensors[node.inputs[1]].data.astype(np.float64)) ** power
    groups = node.attrs.groups if node.op == "Conv" else 1
    split = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
    return split.sum(axis=(1, 3)).ravel()


def _scales(graph: Graph, units: Units, ctx: PassContext) -> list[Site]:
    """|gamma| of BatchNormalization, where it is folded into weights and where it is not."""
    found = [Site(units.rows[n.outputs[0]], ctx.gamma[n.inputs[1]]) for n in _dots(graph) if n.inputs[1] in ctx.gamma]
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            seen, gamma = units.of[node.outputs[0]], np.abs(graph.tensors[node.inputs[1]].data.astype(np.float64))
            planes = seen[:1, :, *[slice(0, 1)] * (seen.ndim - 2)]
            if (seen == planes).all():
                found.append(Site(planes.ravel(), gamma))
    if not found:
        why = "the model has none whose channels may go; exporters fold it into the weights of a convolution"
        raise UsageError("prune.criterion=bn needs BatchNormalization", why=why, fix="take another criterion")
    return found


# --- criteria on calibration data -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Data:
    """`inputs`: [samples, *shape] by name, as the graph reads them. `labels` of them, or None."""

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None

    def batches(self, size: int):
        count = len(next(iter(self.inputs.values())))
        for start in range(0, count, size):
            part = slice(start, start + size)
            yield {n: a[part] for n, a in self.inputs.items()}, None if self.labels is None else self.labels[part]


def _data(graph: Graph, ctx: PassContext, criterion: str, samples: int) -> _Data:
    if ctx.calibration is None:
        raise UsageError(f"prune.criterion={criterion} needs calibration data", fix="give --calibration DATA.npz")
    if criterion == "taylor" and ctx.labels is None:
        raise UsageError(
            "prune.criterion=taylor needs the classes of the calibration samples",
            fix="add an array `labels` to the data",
        )
    arrays = dict(ctx.calibration) if ctx.labels is None else {**ctx.calibration, "": ctx.labels}
    chosen = spread(arrays, samples, graph)
    labels = chosen.pop("", None)
    return _Data(operands(chosen, ctx.input_types), labels)


_Place = tuple[str, int]  # a tensor, and its axis of channels counted from the end


def _place(node: Node, name: str) -> _Place:
    """`name`: what a dot product reads or makes."""
    return name, -3 if node.op == "Conv" else -1


def _watched(graph: Graph, data: _Data, places: set[_Place], see) -> None:
    """`see(place, float64 [channels, elements])` for each batch."""

    def split(name: str, value: np.ndarray) -> None:
        for place in places:
            if place[0] == name:
                rows = np.moveaxis(value, place[1], 0)
                see(place, rows.reshape(len(rows), -1).astype(np.float64))

    for inputs, _ in data.batches(min(_BATCH, batch_size(graph))):
        run_float(graph, inputs, observe=split)


def _activation(graph: Graph, units: Units, data: _Data) -> list[Site]:
    """The size of what a channel adds to the results of those that read it: |x| * |weights|, root mean squares."""
    dots = [n for n in _dots(graph) if n.outputs[0] in units.columns]
    power: dict[_Place, np.ndarray] = {}

    def see(place: _Place, rows: np.ndarray) -> None:
        power[place] = power.get(place, 0.0) + np.square(rows).sum(axis=1)

    _watched(graph, data, {_place(n, n.inputs[0]) for n in dots}, see)
    return [
        Site(units.columns[n.outputs[0]], np.sqrt(power[_place(n, n.inputs[0])] * _column_sums(n, graph, 2)))
        for n in dots
    ]


def _covariances(graph: Graph, data: _Data) -> dict[str, np.ndarray]:
    """float64 [channels, channels] by the name of a dot product's result, its clamp included."""
    first, second, count = {}, {}, {}

    def see(place: _Place, rows: np.ndarray) -> None:
        name = place[0]
        first[name] = first.get(name, 0.0) + rows.sum(axis=1)
        second[name] = second.get(name, 0.0) + rows @ rows.T
        count[name] = count.get(name, 0) + rows.shape[1]

    _watched(graph, data, {_place(n, n.outputs[0]) for n in _dots(graph)}, see)
    return {n: s / count[n] - np.outer(first[n], first[n]) / count[n] ** 2 for n, s in second.items()}


def _variance(graph: Graph, units: Units, data: _Data) -> list[Site]:
    """The standard deviation: what never changes can go into the next bias."""
    found = _covariances(graph, data)
    return [Site(units.rows[y], np.sqrt(np.maximum(np.diag(c), 0.0))) for y, c in found.items()]


def _correlation(graph: Graph, units: Units, data: _Data) -> list[Site]:
    return [Site(units.rows[y], _distinct(c)) for y, c in _covariances(graph, data).items()]


def _distinct(covariance: np.ndarray) -> np.ndarray:
    """[channels]: 1 - |correlation| with the channel that says the same best, when this one is taken away.

    Of the pair that is most correlated the one that varies less goes first, then of what remains. Channels that never
    change get 0, the last one 1.
    """
    spread_ = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    live = spread_ > 1e-6 * max(float(spread_.max(initial=0.0)), 1e-30)
    scale = np.where(live, spread_, 1.0)
    alike = np.where(np.outer(live, live), np.abs(covariance) / np.outer(scale, scale), 0.0)
    np.fill_diagonal(alike, -1.0)
    values, left = np.where(live, 1.0, 0.0), list(np.flatnonzero(live))
    while len(left) > 1:
        part = alike[np.ix_(left, left)]
        a, b = divmod(int(part.argmax()), len(left))
        goes = a if spread_[left[a]] <= spread_[left[b]] else b
        values[left[goes]] = max(0.0, 1.0 - float(part[a, b]))
        del left[goes]
    return values


def _taylor(graph: Graph, units: Units, data: _Data) -> list[Site]:
    """The mean over the samples of |sum of gradient * activation|: to first order what the loss changes without a channel."""
    out, dots = logits_of(graph), {n.outputs[0]: n for n in _dots(graph)}
    total: dict[str, np.ndarray] = {}
    for inputs, labels in data.batches(min(_BATCH, batch_size(graph))):
        tape = Tape(graph, inputs)
        found = tape.back(out, loss_gradient(tape.values[out], labels))
        for name in dots.keys() & found.keys():
            moved = np.moveaxis(found[name] * tape.values[name], 1 if dots[name].op == "Conv" else -1, 1)
            moved = moved.reshape(*moved.shape[:2], -1).sum(axis=2)
            total[name] = total.get(name, 0.0) + np.abs(moved).sum(axis=0)
    return [Site(units.rows[y], v) for y, v in total.items()]


_OF_DATA = {"activation": _activation, "variance": _variance, "correlation": _correlation, "taylor": _taylor}
