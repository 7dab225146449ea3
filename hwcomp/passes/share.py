"""Weight sharing, `--share BITS`: a codebook of 2^BITS levels per layer, fitted to its output; pruning and the rate of an entropy
code at the same time.

Layers are fitted one after the other: each sees what those in front of it, shared already, really give, and aims at what the
float layer gave (asymmetric reconstruction, as pass few_bits). What is found are integers and a scale, which `quantize` keeps.
How few values are stored is the Plan's choice (`--c-weights small`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, WorkFailed
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated, dots
from hwcomp.passes._layerwise import evaluated
from hwcomp.passes._mixed import distance, outputs
from hwcomp.passes._moments import moments
from hwcomp.passes.base import Pass, PassContext, constant
from hwcomp.quantize.obs import pruned
from hwcomp.quantize.rounding import damped
from hwcomp.quantize.share_fit import Shared, shared
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Given, Node, Tensor

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
            if not getattr(self, name) >= least:
                raise UsageError(f"share.{name}={getattr(self, name)}", fix=f"{least} or more is needed")
        if self.rate and self.loss:
            raise UsageError("share.rate and share.loss", why="the loss finds the rate", fix="leave one out")
        if ctx.quant != "int8":
            raise UsageError(f"--share with --quant {ctx.quant}", why="codes stand for 8-bit integers", fix="use int8")
        if ctx.calibration is None:
            raise UsageError("pass share needs calibration data", fix="give --calibration DATA.npz with real samples")

    def _made(self, graph: Graph, ctx: PassContext, data: Compensated, rate: float, notes: PassContext) -> Graph:
        """The graph on shared weights, layer by layer."""
        tensors, nodes, total, bits = dict(graph.tensors), [], 0, 0.0
        values, mine = dict(data.fitted_to), dict(data.fitted_to)
        last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
        names = {n.name for n in dots(graph) if graph.tensors[n.inputs[1]].given is None}
        with np.errstate(all="ignore"):
            for i, node in enumerate(graph.nodes):
                made = node
                if node.name in names:
                    ctx.progress(self.name, len(nodes), len(graph.nodes))
                    made, fit, error = self._layer(
                        node, tensors, values[node.inputs[0]], mine[node.inputs[0]], rate, ctx
                    )
                    total, bits = total + fit.integers.size, bits + fit.bits
                    levels, zeros = len(np.unique(fit.integers)), np.mean(fit.integers == 0)
                    text = f"{levels} values, {100 * zeros:.1f} % zeros, {fit.bits / fit.integers.size:.2f} bits of entropy"
                    notes.note(self.name, f"{node.op} '{node.name}': {text}, error {error:.2g} of its output's energy")
                nodes.append(made)
                values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
                mine[node.outputs[0]] = evaluated(made, tensors, mine, graph.batched)
                for name in node.inputs:
                    if last.get(name, i) <= i:
                        values.pop(name, None)
                        mine.pop(name, None)
        notes.note(self.name, f"{bits / total:.2f} bits of entropy per weight on average")
        return graph.rebuilt(nodes, tensors)

    def _layer(
        self, node: Node, tensors: dict[str, Tensor], x: np.ndarray, xq: np.ndarray, rate: float, ctx: PassContext
    ) -> tuple[Node, Shared, float]:
        """(node on shared weights, what they are, error of its output as a part of its energy)."""
        weight = tensors[node.inputs[1]].data.astype(np.float64)
        bias = tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else np.zeros(len(weight))
        plain = node.with_(attrs=replace(node.attrs, clamp=None))
        if node.op == "Conv":  # a graph without a batch axis has samples of batches
            x, xq = (a.reshape(-1, *a.shape[-3:]) for a in (x, xq))
        y = OPS[node.op].evaluate(plain, [x, weight.astype(np.float32), bias.astype(np.float32)])[0]
        m = moments(plain, y, xq, weight, bias)
        shape, gram = m.cross.shape, damped(m.gram)
        own = weight.reshape(shape)
        sizes = np.ones((*shape[:2], 1))
        if node.op == "Conv" and shape[0] == len(weight) > 1:  # depthwise: no channel shall be lost among larger ones
            largest = np.abs(own).max(axis=2, keepdims=True)
            sizes = np.where(largest > 0, largest, 1.0)
        target = (own + np.linalg.solve(gram, m.cross.transpose(0, 2, 1)).transpose(0, 2, 1)) / sizes
        energy = float(((target @ gram) * target).sum()) or 1.0
        keep, start = (own != 0 if (own == 0).any() else None), None
        if self.prune or keep is not None:
            start = pruned(target, gram, self.prune, keep)
            keep = start != 0
        fit = shared(target, gram, 1 << self.bits, rate / _MEGABIT * energy, start, keep)
        away, real = target - fit.weights, fit.weights * sizes
        moved = m.residual + ((own - real) @ m.mean.transpose(0, 2, 1)).ravel()
        made = constant(tensors, f"{node.outputs[0]}__weight_shared", real.reshape(weight.shape).astype(np.float32))
        scales = np.broadcast_to((fit.scale * sizes).astype(np.float32), shape).reshape(weight.shape)
        tensors[made.name] = made.with_(given=Given(fit.integers.reshape(weight.shape).astype(np.int8), scales))
        ctx.chosen.add(made.name)
        added = constant(tensors, f"{node.outputs[0]}__bias_shared", (bias + moved).astype(np.float32))
        error = float(((away @ gram) * away).sum()) / energy
        return node.with_(inputs=(node.inputs[0], made.name, added.name)), fit, error
