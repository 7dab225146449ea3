"""Structured pruning: filters, channels, residual branches go, through every layer that they reach; the layers get smaller.

hwcomp.passes._units says what vanishes together, _criteria what it is worth, _ranking in which order it goes, _repair how
what remains makes up for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph, origin_of
from hwcomp.passes import _branches, _criteria, _ranking, _repair
from hwcomp.passes._costs import COSTS, HARDWARE, at_most, cost, part_of
from hwcomp.passes._gradients import logits_of, within
from hwcomp.passes._layerwise import spread
from hwcomp.passes._units import Mixed, Units
from hwcomp.passes.base import DOT, Pass, PassContext, stated
from hwcomp.registry import graph_pass
from hwcomp.samples import operands

KINDS = ("branch", "filter", "channel")  # in the order in which they are pruned
_TRIAL = 128  # samples of a sensitivity scan, and of the choice of branches
_JUDGES = 2048  # most samples that an accuracy is measured on
_WORDS = COSTS | HARDWARE
_KNOWN = tuple(_WORDS)
_HALVINGS = 6  # of the amount, in the search for what a floor allows


@graph_pass
@dataclass(frozen=True)
class Prune(Pass):
    """`filter`, `channel`, `branch`: fraction that goes (`--prune filter=0.3`) `of` one of hwcomp.passes._costs, COSTS or HARDWARE.

    A filter is judged by the weights that make it, a channel by those that read it; both vanish in all layers that share
    them. `criterion`: one of hwcomp.passes._criteria.CRITERIA, auto is activation with calibration data, else l2;
    threshold takes away all that is smaller than `threshold` times its layer's mean. `scope`: all layers ranked together
    (global), the same part of each (layer), or what each costs the result (sensitivity); auto is that with calibration
    data, else layer; a scan counts as saved what `saves` says, auto is `of`, with `--tune-for` what the target says.
    `floor`: least accuracy on labelled calibration data; without an amount as much goes as it allows. `repair`: least
    squares for weights and biases, biases alone, or none. No layer loses more than `most` of its filters; rows and columns
    stay a multiple of `multiple` where they can, 0 is 1, with `--tune-for` what fills the target's lanes. `skip`: dot products
    that keep all their filters, names with commas between. `samples` of the calibration data are looked at; `seed` of
    criterion random.
    """

    name: ClassVar[str] = "prune"
    kind: ClassVar[str] = "lossy"
    filter: float = 0.0
    channel: float = 0.0
    branch: float = 0.0
    criterion: str = "auto"
    scope: str = "auto"
    of: str = "macs"
    saves: str = "auto"
    threshold: float = 0.0
    floor: float = 0.0
    repair: str = "weights"
    most: float = 0.9
    multiple: int = 0
    skip: str = ""
    samples: int = 512
    seed: int = 0

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check(ctx)
        if not (any(getattr(self, kind) for kind in KINDS) or self.threshold or self.floor):
            return graph
        if typed := {t.name for t in graph.tensors.values() if t.qtype is not None or t.given is not None}:
            of = (n for n in graph.nodes if n.op in DOT and (n.attrs.steps or typed.intersection(n.inputs + n.outputs)))
            raise stated("pruning", next(map(origin_of, of), None), ctx)
        whole = graph
        for kind in KINDS:
            if getattr(self, kind):
                graph = _Pruning(self, graph, ctx, kind).run(getattr(self, kind))
        if self.threshold:
            graph = _Pruning(self, graph, ctx, "filter").below(self.threshold)
        if self.floor and graph is whole:
            graph = _Pruning(self, graph, ctx, "filter").as_far_as(self.floor)
        before, after = cost(whole, "macs"), cost(graph, "macs")
        ctx.note(
            self.name,
            f"{after:,} of {before:,} MACs, {cost(graph, 'parameters'):,} of {cost(whole, 'parameters'):,} parameters",
        )
        return graph

    def _check(self, ctx: PassContext) -> None:
        for kind in KINDS:
            if not 0 <= getattr(self, kind) < 1:
                raise UsageError(
                    f"prune.{kind}={getattr(self, kind):g}", fix="a fraction is needed, 0 or more and less than 1"
                )
        for field, known in (
            ("criterion", ("auto", *_criteria.CRITERIA)), ("scope", ("auto", *_ranking.SCOPES)),
            ("of", _KNOWN), ("saves", ("auto", *_KNOWN)), ("repair", _repair.MODES),
        ):  # fmt: skip
            if getattr(self, field) not in known:
                raise UsageError(f"prune.{field}={shown(getattr(self, field))}", fix=f"choose {', '.join(known)}")
        for field in ("of", "saves"):
            if getattr(self, field) in HARDWARE.keys() - ctx.hardware.keys():
                raise UsageError(
                    f"prune.{field}={getattr(self, field)}", why="nobody gave this pass a model of the hardware"
                )
        if not 0 < self.most < 1 or not 0 <= self.floor <= 1 or not 0 <= self.threshold < np.inf:
            raise UsageError(
                "prune.most is more than 0 and less than 1, prune.floor 0 to 1, prune.threshold 0 or more",
                why=f"they are {self.most:g}, {self.floor:g} and {self.threshold:g}",
            )
        if self.multiple < 0 or self.samples < 1 or self.seed < 0:
            raise UsageError("pass prune needs samples of 1 or more, multiple and seed of 0 or more")
        if (self.criterion == "threshold") != (self.threshold > 0) or (
            self.threshold and (self.filter or self.channel)
        ):
            raise UsageError(
                "criterion threshold takes what is below prune.threshold, not a fraction",
                fix="for instance --pass prune.criterion=threshold --pass prune.threshold=0.2",
            )
        if self.floor and ctx.labels is None:
            raise UsageError("prune.floor needs labelled calibration data", fix="add an array `labels` to the data")


class _Pruning:
    """One kind of pruning of one graph."""

    def __init__(self, options: Prune, graph: Graph, ctx: PassContext, kind: str):
        self.options, self.graph, self.ctx, self.kind = options, graph, ctx, kind
        criterion, scope = ("l2", "layer") if ctx.calibration is None else ("activation", "sensitivity")
        self.criterion = criterion if options.criterion == "auto" else options.criterion
        self.scope = scope if options.scope == "auto" else options.scope
        self.repair = options.repair if ctx.calibration is not None else "none"
        self._cost = self._model(options.of)
        self.whole = self._cost(graph)
        self._saves = self._model(
            options.saves if options.saves != "auto" else ctx.tuned.saves if ctx.tuned else options.of
        )
        self._skipped = _skipped(graph, options.skip)
        rows = Units(graph).rows if self._skipped else {}
        self._fixed = np.concatenate([np.empty(0, np.int64), *(rows[name] for name in sorted(self._skipped))])
        self._order: tuple[Units, _ranking.Ranking] | None = None

    def run(self, amount: float) -> Graph:
        """With `amount` of the cost gone. WorkFailed where that or the floor is out of reach."""
        small = self._least(amount)
        if self.options.floor and (got := accuracy(small, self.ctx)) < self.options.floor:
            best, share = self._search(self.options.floor)
            raise WorkFailed(
                f"pruning {amount:.0%} misses the accuracy floor {self.options.floor:g}: {got:.4f} on calibration data",
                why=self._reach(best, share), fix="ask for less, or lower prune.floor",
            )  # fmt: skip
        self._noted(small)
        return small

    def as_far_as(self, floor: float) -> Graph:
        small, share = self._search(floor)
        if small is self.graph:
            raise WorkFailed(
                f"the accuracy floor {floor:g} is out of reach", why=self._reach(small, share), fix="lower prune.floor"
            )
        self.ctx.note("prune", f"{share:.1%} gone: as far as an accuracy of {floor:g} allows")
        self._noted(small)
        return small

    def below(self, threshold: float) -> Graph:
        """Without the units that are smaller than `threshold` times the root mean square of their layer."""

        def attempt() -> Graph:
            units = Units(self.graph, self._fixed)
            worth = self._worth(units)
            found = np.array([u for u in units.free if worth.get(int(u), np.inf) < threshold], np.int64)
            for y, rows in units.rows.items():
                if np.isin(rows, found).all():
                    at_most = max(worth[int(u)] for u in rows)
                    why = f"the largest of its {len(rows)} is {at_most:.3g} times the mean of its layers"
                    node = origin_of(self.graph.producer(y))
                    alone = f"leave it out with --pass prune.skip={shown(node)}"
                    fix = f"take a lower threshold, or {alone}" if at_most else alone
                    raise WorkFailed(f"prune.threshold={threshold:g} leaves nothing", node=node, why=why, fix=fix)
            return self._without(units, found)

        small = self._settled(attempt)
        self._noted(small)
        return small

    def _model(self, of: str) -> Callable[[Graph], int]:
        """A cost of this network and of what is left of it."""
        return self.ctx.hardware[of](self.graph) if of in HARDWARE else lambda graph: cost(graph, of)

    # --- amounts --------------------------------------------------------------------------------------------------------

    def _least(self, amount: float) -> Graph:
        return self._branches(amount) if self.kind == "branch" else self._settled(lambda: self._units(amount))

    def _search(self, floor: float) -> tuple[Graph, float]:
        """The smallest network found that keeps `floor`, and the fraction that it has lost."""
        best, low, high = self.graph, 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            try:
                small = self._least(middle)
                good = accuracy(small, self.ctx) >= floor
            except WorkFailed:
                good = False
            low, high, best = (middle, high, small) if good else (low, middle, best)
        return best, 1 - self._cost(best) / self.whole

    def _reach(self, best: Graph, share: float) -> str:
        return f"{share:.1%} of the {_WORDS[self.options.of]} can go with {accuracy(best, self.ctx):.4f}"

    def _settled(self, attempt: Callable[[], Graph]) -> Graph:
        """Again without units that turn out to be needed by the form of a tensor."""
        while True:
            try:
                return attempt()
            except Mixed as mixed:
                self._fixed, self._order = np.append(self._fixed, mixed.units), None

    def _units(self, amount: float) -> Graph:
        """The fewest units gone that are `amount` of the cost."""
        units, ranking = self._ranked()

        def left(count: int) -> int:
            small = units.without(ranking.gone(count))
            return self._cost(small) + self._biases(small)

        low, high, budget = 0, len(ranking.order), part_of(self.whole, 1 - amount)
        if (least := left(high)) > budget:
            what = f"pruning can't take {100 * amount:g}% of the {_WORDS[self.options.of]} with {self.kind}s"
            if least >= self.whole and ranking.multiple != 1 and len(ranking.order):
                why = f"{at_most(1 - least / self.whole)} while rows and columns stay multiples"
                raise WorkFailed(what, why=why, fix="give a smaller prune.multiple, for instance 1")
            if least >= self.whole:
                why = f"none of the {self.kind}s can go without another shape of what others need"
                raise WorkFailed(what, why=why, fix="prune inside its layers, for instance --prune weight=0.5")
            why = at_most(1 - least / self.whole)
            more = ", or allow more with --pass prune.most=0.95" if self.options.most < 0.95 else ""
            raise WorkFailed(what, why=why, fix=f"ask for less{more}")
        while low < high:
            middle = (low + high) // 2
            if left(middle) <= budget:
                high = middle
            else:
                low = middle + 1
        return self._without(units, ranking.gone(high))

    def _biases(self, graph: Graph) -> int:
        """Parameters that the repair may add: biases of layers that have none."""
        if self.options.of != "parameters" or self.repair == "none":
            return 0
        return sum(len(graph.tensors[n.inputs[1]].data) for n in graph.nodes if n.op in DOT and not n.inputs[2])

    def _ranked(self) -> tuple[Units, _ranking.Ranking]:
        """Found once for all amounts."""
        if self._order is None:
            o, units = self.options, Units(self.graph, self._fixed)
            multiple = o.multiple or 1
            if not o.multiple and self.ctx.tuned:

                def multiple(gone: np.ndarray) -> dict[str, tuple[int, int]]:
                    return self.ctx.tuned.steps(units.without(gone))

            found = _ranking.ranking(units, self._worth(units), self.scope, o.most, multiple, self._trial(units))
            self._order = units, found
        return self._order

    def _worth(self, units: Units) -> dict[int, float]:
        o = self.options
        found = _criteria.sites(self.graph, units, self.ctx, self.criterion, self.kind == "channel", o.samples, o.seed)
        return _criteria.worth(units, found)

    def _without(self, units: Units, gone: np.ndarray) -> Graph:
        return self._repaired(self.graph, units.without(gone), units, gone, self.options.samples)

    def _repaired(
        self, graph: Graph, small: Graph, units: Units, gone: np.ndarray, samples: int, near: bool = False
    ) -> Graph:
        if self.repair == "none":
            return small
        kept = {y: ~np.isin(rows, gone) for y, rows in units.rows.items()}
        return _repair.repaired(graph, small, kept, self.ctx, self.repair, samples, near)

    # --- errors of the results --------------------------------------------------------------------------------------------

    def _trial(self, units: Units) -> _ranking.Trial | None:
        if self.scope != "sensitivity":
            return None
        error = self._error_of()

        def trial(gone: np.ndarray) -> tuple[float, float]:
            if not len(gone):
                return 0.0, float(self._saves(self.graph))
            small = self._repaired(self.graph, units.without(gone), units, gone, _TRIAL, near=True)
            self.ctx.progress("sensitivity of the layers", 0, 1)
            return error(small), float(self._saves(small))

        return trial

    def _error_of(self) -> Callable[[Graph], float]:
        """How far a network's results are from those of the whole one: mean square, relative to their variance."""
        if self.ctx.calibration is None:
            what = "prune.scope=sensitivity" if self.kind != "branch" else "--prune branch"
            raise UsageError(f"{what} needs calibration data", fix="give --calibration DATA.npz")
        data = operands(spread(self.ctx.calibration, _TRIAL, self.graph), self.ctx.input_types)
        want = _results(self.graph, data)

        def error(small: Graph) -> float:
            got = _results(small, data)
            return sum(float(np.mean(np.square(got[n] - a))) / (float(a.var()) or 1.0) for n, a in want.items())

        return error

    def _branches(self, amount: float) -> Graph:
        """The branch with the least error for what it costs goes, until `amount` is gone."""
        graph, budget, error = self.graph, part_of(self.whole, 1 - amount), self._error_of()
        while (now := self._cost(graph)) > budget:
            found = []
            for branch in _branches.branches(graph):
                if any(n.outputs[0] in self._skipped for n in branch.nodes):
                    continue
                small = self._fitted(graph, _branches.silenced(graph, branch), _TRIAL)
                saved = now - self._cost(_branches.removed(small, _again(small, branch)))
                found.append((error(small) / max(saved, 1), len(found), branch))
            if not found:
                some = at_most(1 - now / self.whole), "ask for less, or prune filters"
                why, fix = (
                    some if now < self.whole else ("the network has no residual branch", "prune filters or channels")
                )
                what = f"pruning can't take {100 * amount:g}% of the {_WORDS[self.options.of]} with branches"
                raise WorkFailed(what, why=why, fix=fix)
            _, _, branch = min(found)
            small = self._fitted(graph, _branches.silenced(graph, branch), self.options.samples)
            self.ctx.note("prune", f"the branch of {len(branch.nodes)} nodes into '{origin_of(branch.add)}' is gone")
            graph = _branches.removed(small, _again(small, branch))
        return graph

    def _fitted(self, graph: Graph, small: Graph, samples: int) -> Graph:
        units = Units(graph)
        return self._repaired(graph, small, units, np.empty(0, np.int64), samples)

    def _noted(self, small: Graph) -> None:
        rows = {n.outputs[0]: len(small.tensors[n.inputs[1]].data) for n in small.nodes if n.op in DOT}
        for node in self.graph.nodes:
            was = len(self.graph.tensors[node.inputs[1]].data) if node.op in DOT else 0
            if (now := rows.get(node.outputs[0], was)) < was:
                self.ctx.note("prune", f"{node.op} '{origin_of(node)}': {now} of {was} filters")
        how = "the error of the results" if self.kind == "branch" else f"{self.criterion}, scope {self.scope}"
        self.ctx.note("prune", f"{self.kind}s by {how}; repair: {self.repair}")


def _skipped(graph: Graph, names: str) -> set[str]:
    """Results of the dot products that are named. UsageError for a name that none has."""
    dots, found = [n for n in graph.nodes if n.op in DOT], set()
    for name in filter(None, (word.strip() for word in names.split(","))):
        mine = {n.outputs[0] for n in dots if name in (origin_of(n), n.name, *n.origin)}
        if not mine:
            fix = f"its dot products are {', '.join(sorted(shown(origin_of(n)) for n in dots))}"
            raise UsageError(f"prune.skip: the model has no dot product '{shown(name)}'", fix=fix)
        found |= mine
    return found


def _again(graph: Graph, branch: _branches.Branch) -> _branches.Branch:
    """The branch in a graph whose nodes have other weights."""
    made = {n.outputs[0]: n for n in graph.nodes}
    return _branches.Branch(branch.add, branch.side, tuple(made[n.outputs[0]] for n in branch.nodes))


def _results(graph: Graph, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits where the network ends with a softmax, else all outputs, float32."""
    found: dict[str, np.ndarray] = {}
    single = len(graph.outputs) == 1 and graph.batched
    names = {logits_of(graph)} if single else set(graph.outputs)
    size = batch_size(graph)
    parts = []
    for start in range(0, len(next(iter(data.values()))), size):
        run_float(graph, {n: a[start : start + size] for n, a in data.items()},
                  observe=lambda n, a: found.__setitem__(n, a) if n in names else None)  # fmt: skip
        parts.append(dict(found))
    return {n: np.concatenate([p[n] for p in parts]) for n in sorted(names)}


def accuracy(graph: Graph, ctx: PassContext) -> float:
    """On labelled calibration samples, in float. UsageError where these are no classes of the network."""
    if len(graph.outputs) != 1:
        what = f"an accuracy floor for a network with {len(graph.outputs)} outputs"
        raise UsageError(what, why="labels are classes of one output", fix="leave the floor out")
    chosen = spread({**ctx.calibration, "": ctx.labels}, _JUDGES, graph)
    labels = chosen.pop("")
    (scores,) = _results(graph, operands(chosen, ctx.input_types)).values()
    scores = scores.reshape(len(scores), -1)
    within(labels, scores.shape[1])
    return float((scores.argmax(axis=1) == labels).mean())
