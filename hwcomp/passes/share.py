"""Weight sharing, `--share BITS`: a codebook of 2^BITS levels per layer, fitted to its output; pruning and the rate of an entropy
code at the same time.

Layers are fitted one after the other: each sees what those in front of it, shared already, really give, and aims at what the
float layer gave (asymmetric reconstruction, as pass few_bits). What is found are integers and a scale, which `quantize` keeps.
How few values are stored is the Plan's choice (`--c-weights small`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated, dots
from hwcomp.passes._fitting import Problem, layers
from hwcomp.passes._mixed import distance, outputs
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize.obs import pruned
from hwcomp.quantize.share_fit import Shared, shared
from hwcomp.registry import graph_pass
from hwcomp.types import Node, Tensor

_MEGABIT = 1e6
_RATES = (1e-3, 1e3)  # of `rate`, between which `loss` is looked for
_STEPS = 6


@graph_pass
@dataclass(frozen=True)
class Share(Pass):
    """`bits`: 2^bits levels. `prune`: part of each layer's weights that become zero first, by their saliency to the output (OBS).
    `rate`: what a megabit of entropy-coded weights may cost, as a part of each layer's output energy; 0: bits are free. `loss` in
    place of it: the largest rate whose error of the outputs, as a part of their energy on samples held back, is no more.

    `samples`: how many of the calibration samples are looked at; fewer where tensors are large. Layers with one input channel per
    group (depthwise) have a scale per channel, others one scale. Weights that are 0.0 stay so where a layer has some.
    """

    name: ClassVar[str] = "share"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    bits: int = 4
    prune: float = 0.0
    rate: float = 0.0
    loss: float = 0.0
    samples: int = 4096

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check(ctx)
        nodes = [n for n in dots(graph) if graph.tensors[n.inputs[1]].given is None]
        if not nodes and ctx.chosen:
            ctx.note(self.name, "vector codes have taken all layers")
            return graph
        if not nodes:
            raise UsageError("--share finds nothing to share", why="no layer has float weights", fix="leave it out")
        data = Compensated(graph, ctx, self.samples)
        if not self.loss:
            return self._made(graph, ctx, data, self.rate, ctx)
        want, best = outputs(graph, data.check), None
        low, high = np.log(_RATES)
        for _ in range(_STEPS):
            rate = float(np.exp((low + high) / 2))
            quiet = replace(ctx, notes={}, chosen=set())
            made = self._made(graph, quiet, data, rate, quiet)
            error = distance(outputs(made, data.check), want)
            low, high = ((low + high) / 2, high) if error <= self.loss else (low, (low + high) / 2)
            if error <= self.loss:
                best = made, quiet, rate, error
        if best is None:
            why = f"at the least rate tried, {rate:.2g}, it is {error:.2g}"
            raise WorkFailed(
                f"--share {self.bits} can't have a loss of {self.loss:g}", why=why, fix="allow more bits or loss"
            )
        made, quiet, rate, error = best
        ctx.chosen |= quiet.chosen
        for line in quiet.notes[self.name]:
            ctx.note(self.name, line)
        ctx.note(self.name, f"loss {error:.2g} of at most {self.loss:g}, at rate {rate:.3g}")
        return made

    def _check(self, ctx: PassContext) -> None:
        if not 2 <= self.bits <= 8:
            raise UsageError(f"--share {self.bits}", fix="2 to 8 bits are possible")
        if not 0 <= self.prune < 1:
            raise UsageError(f"share.prune={self.prune}", fix="a part of the weights, 0 or more and below 1, is needed")
        for name, least in (("rate", 0), ("loss", 0), ("samples", 1)):
            if not least <= getattr(self, name) < math.inf:
                raise UsageError(f"share.{name}={getattr(self, name)}", fix=f"{least} or more is needed, finite")
        if self.rate and self.loss:
            raise UsageError("share.rate and share.loss", why="the loss finds the rate", fix="leave one out")
        if ctx.quant != "int8":
            raise UsageError(f"--share with --quant {ctx.quant}", why="codes stand for 8-bit integers", fix="use int8")
        if ctx.calibration is None:
            raise UsageError("pass share needs calibration data", fix="give --calibration DATA.npz with real samples")

    def _made(self, graph: Graph, ctx: PassContext, data: Compensated, rate: float, notes: PassContext) -> Graph:
        """The graph on shared weights, layer by layer."""
        names, fits = {n.name for n in dots(graph) if graph.tensors[n.inputs[1]].given is None}, []

        def fitted(node: Node, tensors: dict[str, Tensor], problem: Problem) -> Node:
            made, fit, error = self._layer(node, tensors, problem, rate)
            fits.append(fit)
            ctx.chosen.add(made.inputs[1])
            levels, zeros = len(np.unique(fit.integers)), np.mean(fit.integers == 0)
            text = f"{levels} values, {100 * zeros:.1f} % zeros, {fit.bits / fit.integers.size:.2f} bits of entropy"
            notes.note(self.name, f"{node.op} '{node.name}': {text}, error {error:.2g} of its output's energy")
            return made

        made = layers(graph, ctx, self.name, data.fitted_to, names, fitted)
        bits = sum(f.bits for f in fits) / sum(f.integers.size for f in fits)
        notes.note(self.name, f"{bits:.2f} bits of entropy per weight on average")
        return made

    def _layer(
        self, node: Node, tensors: dict[str, Tensor], problem: Problem, rate: float
    ) -> tuple[Node, Shared, float]:
        """(node on shared weights, what they are, error of its output as a part of its energy)."""
        own, gram = problem.own, problem.gram
        sizes = np.ones((*own.shape[:2], 1))
        if (
            node.op == "Conv" and own.shape[0] == len(problem.bias) > 1
        ):  # depthwise: no channel shall be lost among larger ones
            largest = np.abs(own).max(axis=2, keepdims=True)
            sizes = np.where(largest > 0, largest, 1.0)
        target = problem.target / sizes
        energy = float(((target @ gram) * target).sum()) or 1.0
        keep, start = (own != 0 if (own == 0).any() else None), None
        if self.prune or keep is not None:
            start = pruned(target, gram, self.prune, keep)
            keep = start != 0
        fit = shared(target, gram, 1 << self.bits, rate / _MEGABIT * energy, start, keep)
        away = target - fit.weights
        error = float(((away @ gram) * away).sum()) / energy
        return problem.on_integers(node, tensors, "shared", fit.integers, fit.scale * sizes), fit, error
