"""Low rank, `--low-rank ENERGY`: layers become chains of smaller ones where these are cheaper.

hwcomp.quantize.low_rank_fit says which forms there are and what counts as lost, _factored how they stand in the graph,
_factoring how layers make up for what is lost in front of them, _rank_choice what a budget or a floor of accuracy takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwcomp.errors import UsageError, shown
from hwcomp.graph import Graph
from hwcomp.passes._costs import COSTS
from hwcomp.passes._factored import possible, price
from hwcomp.passes._factoring import Factoring, Form, Layer
from hwcomp.passes._rank_choice import RankChoice, cheapest
from hwcomp.passes._sparse_costs import layer_cost, sparse_cost, zeros
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize.low_rank_fit import FORMS
from hwcomp.registry import graph_pass
from hwcomp.types import Node

_FEW = 0.01  # zeros that notes speak of
_METRICS = ("outputs", "weights")


@graph_pass
@dataclass(frozen=True)
class LowRank(Pass):
    """`energy`: part of the variance of each layer's outputs that is kept. In its place `budget`: the part of the network's cost
    that may stay, `of` one of hwcomp.passes._costs.COSTS, or `floor`: least accuracy on labelled calibration data, with as
    little cost as it allows; with both, `floor` refuses what is below it.

    A layer takes the cheapest of `forms`, and stays where none is cheaper than what its zeros leave of it. `metric`: what is lost
    of the outputs, or of the weights alone. `samples`: how many of the calibration samples are looked at. `layers`: names of the
    only layers that are factored, with commas between; all if empty.
    """

    name: ClassVar[str] = "low_rank"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    energy: float = 0.99
    budget: float = 0.0
    floor: float = 0.0
    of: str = "macs"
    forms: str = ",".join(FORMS)
    metric: str = "outputs"
    samples: int = 1024
    layers: str = ""

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check(ctx)
        factoring = Factoring(graph, ctx, self._wanted(graph), self.samples, self.metric)
        if self.budget or self.floor:
            choice = RankChoice(factoring, ctx, self._forms, self.of)
            count = choice.within(self.budget, self.floor) if self.budget else choice.as_far_as(self.floor)
            small, chosen = choice.network(count), choice.forms(count)
            for node in graph.nodes:
                if possible(node, graph):
                    form, whole = chosen.get(node.name), layer_cost(node, graph, self.of, ctx)
                    now = f"{_text(form)}, {price(node, graph, *form, self.of):,} of" if form else "stays,"
                    ctx.note(self.name, f"{_what(node)}: {now} {whole:,} {COSTS[self.of]}{_sparse(node, graph)}")
        else:
            # By what each is in the whole network: behind others that lost something, part of what is left would count.
            decided = {layer.node.name: self._decided(layer, graph, ctx) for layer in factoring.layers()}
            small = factoring.run(lambda layer: decided[layer.node.name])
        whole = ", ".join(
            f"{sparse_cost(small, of, ctx):,} of {sparse_cost(graph, of, ctx):,} {COSTS[of]}"
            for of in dict.fromkeys(("macs", "parameters", self.of))
        )
        ctx.note(self.name, whole)
        return small

    @property
    def _forms(self) -> tuple[str, ...]:
        return tuple(f for f in self.forms.split(",") if f)

    def _check(self, ctx: PassContext) -> None:
        if not 0 < self.energy <= 1:
            raise UsageError(
                f"--low-rank {self.energy:g}", fix="a part of the outputs' variance, above 0 and at most 1, is needed"
            )
        if self.samples < 1:
            raise UsageError(f"low_rank.samples={self.samples}", fix="1 or more are needed")
        if not 0 <= self.budget < 1 or not 0 <= self.floor <= 1:
            why = f"they are {self.budget:g} and {self.floor:g}"
            raise UsageError("low_rank.budget is 0 or more and less than 1, low_rank.floor 0 to 1", why=why)
        for field, given, known in (
            ("forms", self._forms, tuple(FORMS)), ("of", (self.of,), tuple(COSTS)), ("metric", (self.metric,), _METRICS),
        ):  # fmt: skip
            if not given or any(g not in known for g in given):
                raise UsageError(f"low_rank.{field}={shown(getattr(self, field))}", fix=f"choose of {', '.join(known)}")
        if ctx.calibration is None:
            raise UsageError(
                "pass low_rank needs calibration data", fix="give --calibration DATA.npz with real samples"
            )
        if self.floor and ctx.labels is None:
            raise UsageError("low_rank.floor needs labelled calibration data", fix="add an array `labels` to the data")

    def _wanted(self, graph: Graph) -> set[str]:
        """Names of the layers that can be factored."""
        found = {n.name for n in graph.nodes if possible(n, graph)}
        if not self.layers:
            if not found:
                why = "none is dense or a convolution in one group with float weights"
                raise UsageError("--low-rank finds no layer", why=why, fix="leave it out")
            return found
        given = set()
        for name in self.layers.split(","):
            some = {n.name for n in graph.nodes if n.name in found and name in (n.name, n.outputs[0], *n.origin)}
            if not some:
                why = f"such layers are {', '.join(sorted(found)) or 'none'}"
                what = f"'{shown(name)}' is no dense layer and no convolution in one group with float weights"
                raise UsageError(what, why=why)
            given |= some
        return given

    def _decided(self, layer: Layer, graph: Graph, ctx: PassContext) -> Form | None:
        whole, what = layer_cost(layer.node, graph, self.of, ctx), _what(layer.node)
        now, form = cheapest(layer, graph, self.energy, self._forms, self.of, whole, near=False)
        if not form[0]:
            why = f"no form that keeps {self.energy:.4g} of its outputs' variance takes less than {whole:,} {COSTS[self.of]}"
            ctx.note(self.name, f"{what} stays: {why}{_sparse(layer.node, graph)}")
            return None
        kept = layer.fit.at(*form).kept
        ctx.note(self.name, f"{what}: {_text(form)} keeps {100 * kept:.2f} %, {now:,} of {whole:,} {COSTS[self.of]}")
        return form


def _what(node: Node) -> str:
    return f"{node.op} '{shown(node.name, 40)}'"


def _sparse(node: Node, graph: Graph) -> str:
    """What a layer's cost leaves out."""
    gone = zeros(node, graph) / graph.tensors[node.inputs[1]].data.size
    return f", as {gone:.0%} of its weights are zero" if gone >= _FEW else ""


def _text(form: Form) -> str:
    name, ranks = form
    return f"{name} of rank {' and '.join(map(str, ranks))}"
