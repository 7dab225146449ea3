"""Mixed precision: how sensitive the outputs are to each layer's weights, measured, and what each layer gets.

All layers start at int8. The path to fewer bits is ordered by what a step costs alone per bit of memory that it saves; how far
to go along it is measured on whole networks, whose layers are fitted one behind the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwcomp.errors import WorkFailed, shown
from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated, converted, dots
from hwcomp.passes.base import PassContext
from hwcomp.quantize.few_weights import BITS

_CHOICES = ("int4", "int3", "int2", "ternary", "binary-weights")
_LOOKS = 256  # samples that a layer alone is measured on
_FURTHER = 3  # steps that are tried beyond the first one that loses too much


@dataclass(frozen=True)
class Wish:
    """`loss`: what the error of the outputs may be, as a part of their energy; `bits` per weight on average; 0: no limit."""

    loss: float
    bits: float


class Chooser:
    """`given`: schemes that the user has set, by node name."""

    def __init__(self, graph: Graph, ctx: PassContext, found: Compensated, given: dict[str, str]):
        self._graph, self._ctx, self._found, self._given = graph, ctx, found, given
        self._wanted = outputs(graph, found.check)
        self._signs = {n.name for n in dots(graph)[1:] if given.get(n.name) == "binary"}
        self._sizes = {n.name: graph.tensors[n.inputs[1]].data.size for n in dots(graph)}
        self._errors: dict[tuple[str, ...], float] = {}

    def choose(self, wish: Wish) -> dict[str, str]:
        """Scheme by node name. WorkFailed where no choice has so little loss, or so few bits."""
        alone = self._alone()
        path = self._path(alone)
        if wish.bits:
            at = next((i for i, c in enumerate(path) if self._bits(c) <= wish.bits), None)
            if at is None:
                why = f"the least are {self._bits(path[-1]):.2f}"
                raise WorkFailed(f"auto can't have {wish.bits:g} bits per weight on average", why=why)
            chosen = path[at]
            if wish.loss and self._error(chosen) > wish.loss:
                reached = self._furthest(path, wish.loss)
                raise WorkFailed(
                    f"auto can't have {wish.bits:g} bits per weight with a loss of {wish.loss:g}",
                    why=f"the loss is {self._error(chosen):.2g} then; {self._bits(reached):.2f} bits have"
                    f" {self._error(reached):.2g}",
                    fix="allow more few_bits.loss or few_bits.bits",
                )
        else:
            chosen = self._furthest(path, wish.loss)
        self._table(alone, chosen, wish)
        return chosen

    def _furthest(self, path: list[dict[str, str]], loss: float) -> dict[str, str]:
        """The last choice on the path whose measured error is at most `loss`, and what single steps add to it."""
        if self._error(path[0]) > loss:
            why = f"the layers whose schemes are given have {self._error(path[0]):.2g} alone"
            raise WorkFailed(f"auto can't have a loss of {loss:g}", why=why, fix="allow more few_bits.loss")
        low, high = 0, len(path)  # path[low] is good, path[high] is not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._error(path[middle]) <= loss else (low, middle)
        chosen, tried = path[low], 0
        for now, then in zip(path[low + 1 :], path[low + 2 :], strict=False):
            (name,) = (n for n in then if then[n] != now[n])
            if tried == _FURTHER or now[name] != chosen[name]:
                continue  # a step that builds on one which was too much
            trial, tried = chosen | {name: then[name]}, tried + 1
            chosen = trial if self._error(trial) <= loss else chosen
        return chosen

    def _alone(self) -> dict[str, dict[str, float]]:
        """Error of the outputs by node name and scheme, where only that layer is of few bits."""
        data = {n: a[:_LOOKS] for n, a in self._found.check.items()}
        wanted, errors = {n: a[: len(next(iter(data.values())))] for n, a in self._wanted.items()}, {}
        for name, fits in self._found.alone(_CHOICES).items():
            errors[name] = {"int8": 0.0}
            for kind, fit in fits.items() if name not in self._given else ():
                tensors = dict(self._graph.tensors)
                nodes = [
                    part
                    for n in self._graph.nodes
                    for part in (converted(n, tensors, fit, kind, {}) if n.name == name else [n])
                ]
                errors[name][kind] = distance(outputs(self._graph.rebuilt(nodes, tensors), data), wanted)
        return errors

    def _path(self, alone: dict[str, dict[str, float]]) -> list[dict[str, str]]:
        """Choices from int8 to the least bits, each with one layer of fewer bits than the one before."""
        chosen = {name: self._given.get(name, "int8") for name in alone}
        path = [chosen]
        while True:
            steps = []
            for name, now in chosen.items():
                for kind, loss in alone[name].items():
                    if name not in self._given and BITS[kind] < BITS[now]:
                        saved = self._sizes[name] * (BITS[now] - BITS[kind])
                        steps.append((max(loss - alone[name][now], 0.0) / saved, loss, name, kind))
            if not steps:
                return path
            *_, name, kind = min(steps)
            chosen = chosen | {name: kind}
            path.append(chosen)

    def _error(self, chosen: dict[str, str]) -> float:
        key = tuple(chosen.values())
        if set(key) == {"int8"}:
            return 0.0
        if key not in self._errors:
            made = self._found.network(chosen, self._signs)
            self._errors[key] = distance(outputs(made, self._found.check), self._wanted)
        return self._errors[key]

    def _bits(self, chosen: dict[str, str]) -> float:
        return sum(self._sizes[n] * BITS[k] for n, k in chosen.items()) / max(1, sum(self._sizes[n] for n in chosen))

    def _table(self, alone: dict[str, dict[str, float]], chosen: dict[str, str], wish: Wish) -> None:
        limits = [f"loss {wish.loss:g}"] * bool(wish.loss) + [f"{wish.bits:g} bits"] * bool(wish.bits)
        self._ctx.note("few_bits", f"auto: at most {' and '.join(limits)}; loss: error of the outputs / their energy")
        heads = ("layer", "weights", "chosen", "bits", "alone", *_CHOICES)
        rows = [heads]
        for node in dots(self._graph):
            kind, losses = chosen[node.name], alone[node.name]
            mine = "set" if node.name in self._given else f"{losses[kind]:.1e}"
            tried = (f"{losses[k]:.1e}" if k in losses else "-" for k in _CHOICES)
            rows.append((shown(node.name, 40), f"{self._sizes[node.name]}", kind, f"{BITS[kind]}", mine, *tried))
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        for row in rows:
            self._ctx.note("few_bits", "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        self._ctx.note("few_bits", f"auto: loss {self._error(chosen):.2g} at {self._bits(chosen):.2f} bits per weight")


def outputs(graph: Graph, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Real outputs on all samples; indices are left out."""
    size, parts = batch_size(graph), []
    for start in range(0, len(next(iter(data.values()))), size):
        parts.append(run_float(graph, {n: a[start : start + size] for n, a in data.items()}))
    whole = {n: np.concatenate([p[n] for p in parts]).astype(np.float64) for n in graph.outputs}
    return {n: a for n, a in whole.items() if graph.tensors[n].dtype == "float"}


def distance(have: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    """Energy of the error over that of the outputs, both centred: a constant counts for nothing."""
    noise = sum(_energy(have[n] - wanted[n]) for n in wanted)
    return noise / max(sum(map(_energy, wanted.values())), 1e-30)


def _energy(a: np.ndarray) -> float:
    return float(((a - a.mean(axis=0)) ** 2).sum())
