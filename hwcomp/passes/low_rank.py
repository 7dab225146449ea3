"""Low rank, `--low-rank ENERGY`: dense layers and pointwise convolutions become two smaller ones where these multiply less.

The product W x is what counts, not W: with the covariance G = L L^T of the inputs and W L = U S V^T, the rank is the least that
keeps ENERGY of the outputs' variance, sum S^2 (the SVD of Chen et al., "DRONE", NeurIPS 2021). The first layer gives
z = V^T L^-1 (x - mean), whose elements have mean 0 and variance 1 each, so that one scale fits all when z is quantized; the
second one U S z + W mean + b, so the mean of the outputs is kept exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.graph import Graph
from hwcomp.passes._layerwise import evaluated, spread
from hwcomp.passes._moments import moments
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.quantize.rounding import damped
from hwcomp.registry import OPS, graph_pass
from hwcomp.types import Node, Tensor


@graph_pass
@dataclass(frozen=True)
class LowRank(Pass):
    """`energy`: part of the variance of each layer's outputs that is kept. `samples`: how many of the calibration samples are
    looked at. `layers`: names of the only layers that are factored, with commas between; all if empty."""

    name: ClassVar[str] = "low_rank"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    energy: float = 0.99
    samples: int = 1024
    layers: str = ""

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        if not 0 < self.energy <= 1:
            raise UsageError(
                f"--low-rank {self.energy:g}", fix="a part of the outputs' variance, above 0 and at most 1, is needed"
            )
        if self.samples < 1:
            raise UsageError(f"low_rank.samples={self.samples}", fix="1 or more are needed")
        if ctx.calibration is None:
            raise UsageError(
                "pass low_rank needs calibration data", fix="give --calibration DATA.npz with real samples"
            )
        wanted, tensors, nodes = self._wanted(graph), dict(graph.tensors), []
        values = {n: a.astype(np.float32) for n, a in spread(ctx.calibration, self.samples, graph).items()}
        last = {n: i for i, node in enumerate(graph.nodes) for n in node.inputs}
        with np.errstate(all="ignore"):
            for i, node in enumerate(graph.nodes):
                made = [node]
                if node.name in wanted:
                    ctx.progress(self.name, i, len(graph.nodes))
                    made = self._factored(node, tensors, values[node.inputs[0]], ctx)
                nodes += made
                values[node.outputs[0]] = evaluated(node, graph.tensors, values, graph.batched)
                for name in node.inputs:
                    if last.get(name, i) <= i:
                        values.pop(name, None)
        return graph.rebuilt(nodes, tensors)

    def _wanted(self, graph: Graph) -> set[str]:
        """Names of the layers that can be factored."""
        found = {n.name for n in graph.nodes if _possible(n, graph)}
        if not self.layers:
            if not found:
                raise UsageError(
                    "--low-rank finds no layer", why="none is dense or pointwise with float weights", fix="leave it out"
                )
            return found
        given = set()
        for name in self.layers.split(","):
            some = {n.name for n in graph.nodes if n.name in found and name in (n.name, n.outputs[0], *n.origin)}
            if not some:
                why = f"such layers are {', '.join(sorted(found)) or 'none'}"
                raise UsageError(f"'{name}' is no dense or pointwise layer with float weights", why=why)
            given |= some
        return given

    def _factored(self, node: Node, tensors: dict[str, Tensor], x: np.ndarray, ctx: PassContext) -> list[Node]:
        """Two nodes in place of one; the node itself where they would not multiply less."""
        weight = tensors[node.inputs[1]].data.astype(np.float64)
        rows = weight.reshape(len(weight), -1)
        bias = tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else np.zeros(len(weight))
        plain = node.with_(attrs=replace(node.attrs, clamp=None))
        if node.op == "Conv":  # a graph without a batch axis has samples of batches
            x = x.reshape(-1, *x.shape[-3:])
        y = OPS[node.op].evaluate(plain, [x, weight.astype(np.float32), bias.astype(np.float32)])[0]
        m = moments(plain, y, x, weight, bias)
        first, second, kept = factors(rows, damped(m.gram)[0], self.energy)
        rank, (outputs, inputs) = len(first), rows.shape
        costs = f"rank {rank} keeps {100 * kept:.2f} %: {rank * (inputs + outputs):,} products for each {outputs * inputs:,}"
        if rank * (inputs + outputs) >= outputs * inputs:
            ctx.note(self.name, f"{node.op} '{node.name}' stays: {costs}")
            return [node]
        ctx.note(self.name, f"{node.op} '{node.name}': {costs}")
        mean, tail = m.mean[0, 0], weight.shape[2:]
        made = []
        for label, data in (
            ("first", first.reshape(rank, inputs, *tail)), ("first_bias", -first @ mean),
            ("second", second.reshape(outputs, rank, *tail)), ("second_bias", bias + rows @ mean),
        ):  # fmt: skip
            made.append(constant(tensors, f"{node.outputs[0]}__{label}", data.astype(np.float32)).name)
        shape = tensors[node.outputs[0]].shape
        shape = (shape[0], rank, *shape[2:]) if node.op == "Conv" else (*shape[:-1], rank)
        between = free_name(tensors, f"{node.outputs[0]}__rank")
        tensors[between] = Tensor(between, shape)
        behind = replace(node.attrs, strides=(1, 1)) if node.op == "Conv" else node.attrs
        return [
            plain.with_(name=between, inputs=(node.inputs[0], *made[:2]), outputs=(between,)),
            node.with_(inputs=(between, *made[2:]), attrs=behind),
        ]


def _possible(node: Node, graph: Graph) -> bool:
    if node.op not in ("Conv", "Dense") or node.attrs.steps:
        return False
    weight = graph.tensors[node.inputs[1]]
    if weight.data is None or weight.given is not None:
        return False
    return node.op == "Dense" or (weight.shape[2:] == (1, 1) and node.attrs.groups == 1 and not any(node.attrs.pads))


def factors(rows: np.ndarray, gram: np.ndarray, energy: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(float64 first [r, K], second [M, r], part of the variance that is kept) for weights [M, K] on inputs of covariance
    `gram` [K, K], positive definite: second @ first is nearest to the weights in that metric, first @ x has variance 1."""
    lower = np.linalg.cholesky(gram)
    u, s, vt = np.linalg.svd(rows @ lower, full_matrices=False)
    power = np.cumsum(s * s) / max(float((s * s).sum()), 1e-300)
    rank = min(int(np.searchsorted(power, energy * (1 - 1e-12))) + 1, len(s))
    return np.linalg.solve(lower.T, vt[:rank].T).T, u[:, :rank] * s[:rank], float(power[rank - 1])
