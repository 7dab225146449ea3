"""Vector codes, `--share-vectors SIZExCODEWORDS`: neighbouring weights are vectors from a codebook, fitted to the layer's output.

Vectors run along the input channels, tap by tap; a dense layer behind a map has the map's places for taps. Channels are put in an
order first in which such vectors are easier to code. What is found are integers, a scale, and codes, which the Program keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated, dots
from hwcomp.passes._fitting import Problem, layers
from hwcomp.passes._reorder import Channels, source
from hwcomp.passes.base import Pass, PassContext
from hwcomp.quantize import permute
from hwcomp.quantize.vector_fit import Shape, fitted
from hwcomp.registry import graph_pass
from hwcomp.types import Codes, Node, Tensor

SIZES = (2, 4, 8)
_LEAST, _MOST = 4, 256  # codewords
_NOISE = 10  # most of `noise`
_EACH = 4  # vectors for each codeword at least (Stock et al., "And the Bit Goes Down", ICLR 2020)


@graph_pass
@dataclass(frozen=True)
class Vectors(Pass):
    """`size` of a vector, `codewords` of a codebook (a power of two; fewer in layers that have few vectors). `parts`: stretches of
    a row with codebooks of their own (product quantization). `stages`: codewords that are summed (residual quantization).
    `permute`: look for a better order of channels. `noise` on the codewords, in deviations of the weights: annealing; 0: none.
    `by_channel`: a scale per output channel, its output's deviation, in place of one; it takes four bytes each in C.
    `samples`: how many of the calibration samples are looked at; fewer where tensors are large.

    Layers that can't be cut (depthwise ones, rows that `size` does not divide) or would not get smaller keep their weights.
    """

    name: ClassVar[str] = "vectors"
    kind: ClassVar[str] = "lossy"
    enabled: bool = False
    size: int = 4
    codewords: int = 256
    parts: int = 1
    stages: int = 1
    permute: bool = True
    noise: float = 0.1
    by_channel: bool = False
    samples: int = 4096

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check(ctx)
        float_layers = [n for n in dots(graph) if graph.tensors[n.inputs[1]].given is None]
        cuts = {n.name: cut for n in float_layers if (cut := _cut(n, graph, self.size)) is not None}
        shapes = {n.name: self._shape(n, graph) for n in float_layers if n.name in cuts}
        names = {name for name, shape in shapes.items() if shape is not None}
        if not names:
            why = f"no layer has float weights in rows that {self.size} divides, and enough of them"
            raise UsageError(
                f"{self._option} finds nothing to code", why=why, fix="use shorter vectors, or leave it out"
            )
        for n in float_layers:
            if n.name not in names:
                why = (
                    "a codebook would be larger"
                    if n.name in cuts
                    else f"{self.size} does not divide its rows, or it is depthwise"
                )
                ctx.note(self.name, f"{n.op} '{n.name}' stays: {why}")
        if self.permute:
            graph = self._ordered(graph, ctx, names, {n: cuts[n] for n in names if cuts[n][0] % self.size == 0})
        data = Compensated(graph, ctx, self.samples)
        sizes = []

        def coded(node: Node, tensors: dict[str, Tensor], problem: Problem) -> Node:
            made, stored = self._layer(node, tensors, problem, cuts[node.name], shapes[node.name], ctx)
            sizes.append((stored, problem.own.size))
            return made

        made = layers(graph, ctx, self.name, data.fitted_to, names, coded)
        stored, weights = (sum(s[i] for s in sizes) for i in (0, 1))
        ctx.note(self.name, f"{8 * stored / weights:.2f} bits per coded weight on average, codebooks included")
        return made

    @property
    def _option(self) -> str:
        return f"--share-vectors {self.size}x{self.codewords}"

    def _check(self, ctx: PassContext) -> None:
        if self.size not in SIZES:
            raise UsageError(self._option, why=f"vectors of {self.size} weights", fix="2, 4 and 8 are possible")
        if not _LEAST <= self.codewords <= _MOST or self.codewords & (self.codewords - 1):
            raise UsageError(self._option, fix=f"a power of two from {_LEAST} to {_MOST} codewords is needed")
        for name, least, most in (("parts", 1, 1 << 16), ("stages", 1, 4), ("samples", 1, 1 << 32)):
            if not least <= getattr(self, name) <= most:
                raise UsageError(
                    f"vectors.{name}={getattr(self, name)}", fix=f"{least} or more is needed, {most:,} at most"
                )
        if not 0 <= self.noise <= _NOISE:
            raise UsageError(f"vectors.noise={self.noise:g}", fix=f"0 to {_NOISE} deviations are possible")
        if ctx.quant != "int8":
            raise UsageError(
                f"{self._option} with --quant {ctx.quant}", why="codes stand for 8-bit integers", fix="use int8"
            )
        if ctx.calibration is None:
            raise UsageError("pass vectors needs calibration data", fix="give --calibration DATA.npz with real samples")

    def _shape(self, node: Node, graph: Graph) -> Shape | None:
        """What a layer's codes are; None where they would take as much as its weights."""
        weights = graph.tensors[node.inputs[1]].data
        places = weights[0].size // self.size
        parts = next(p for p in range(min(self.parts, places), 0, -1) if places % p == 0)
        vectors = len(weights) * places
        codewords = min(self.codewords, 1 << max(0, (vectors // parts // _EACH).bit_length() - 1))
        shape = Shape(self.size, codewords, parts, self.stages)
        return shape if codewords >= _LEAST and _stored(shape, vectors) < weights.size else None

    # --- the order of channels ------------------------------------------------------------------------------------------------

    def _ordered(self, graph: Graph, ctx: PassContext, names: set[str], cuts: dict[str, tuple[int, int]]) -> Graph:
        """The graph with channels in the order of the least determinants, class by class."""
        rng, channels = np.random.default_rng(0), Channels(graph)
        moved: dict[str, float] = {}
        for members in channels.classes:
            columns = {n.name: channels.units.columns.get(n.outputs[0]) for n in graph.nodes if n.name in cuts}
            nodes = [
                n for n in graph.nodes if columns.get(n.name) is not None and np.isin(columns[n.name], members).any()
            ]
            readers = [_Reader(n, graph, columns[n.name], cuts[n.name], self.size) for n in nodes]
            if not readers:
                continue

            def cost(order: np.ndarray, members=members, readers=readers) -> float:
                to = channels.moves(members, order)
                return sum(r.cost(to) for r in readers)

            order = permute.searched(self.size, sum(r.alike(members) for r in readers), cost, rng)
            graph = channels.reordered(graph, channels.moves(members, order))
            saved = (cost(np.arange(len(members))) - cost(order)) / sum(r.layer.weight for r in readers)
            for n in nodes:
                moved[n.name] = moved.get(n.name, 0.0) + saved / self.size / (2 * math.log(2))
        for n in graph.nodes:
            if n.name in moved:
                bits = f"{moved[n.name]:.2f} bits less per weight by their covariance"
                ctx.note(self.name, f"{n.op} '{n.name}': channels in another order, {bits}")
            elif n.name in names:
                ctx.note(self.name, f"{n.op} '{n.name}': the order of its channels is not free")
        return graph

    # --- codes ----------------------------------------------------------------------------------------------------------------

    def _layer(
        self, node: Node, tensors: dict[str, Tensor], problem: Problem, cut: tuple[int, int], shape: Shape, ctx: PassContext
    ) -> tuple[Node, int]:  # fmt: skip
        """(node on coded weights, bytes of their codes)."""
        channels, taps = cut
        order = np.arange(channels * taps).reshape(channels, taps).T.ravel()
        target, gram = problem.target[:, :, order], problem.gram[:, order][:, :, order]
        rows = np.ones((*target.shape[:2], 1))
        if self.by_channel:
            power = np.sqrt(((target @ gram) * target).sum(axis=2, keepdims=True))
            rows = np.where(power > 0, power, 1.0) / (power.mean() or 1.0)
            target = target / rows
        fit = fitted(target, gram, shape, self.noise)
        away = target - fit.weights
        error = float(((away @ gram) * away).sum()) / (float(((target @ gram) * target).sum()) or 1.0)
        integers = np.empty(target.shape, np.int64)
        integers[:, :, order] = fit.integers
        index = fit.codes.reshape(len(fit.codes), -1, fit.codes.shape[-1])
        codes = Codes(fit.codebook.astype(np.int8), index, (channels, taps), (1, 0))
        made = problem.on_integers(node, tensors, "coded", integers, fit.scale * rows, codes)
        ctx.chosen.add(made.inputs[1])
        books = f"{shape.parts * shape.stages} codebook{'s' if shape.parts * shape.stages > 1 else ''} of {shape.codewords} x {shape.size}"
        ctx.note(self.name, f"{node.op} '{node.name}': {books}, error {error:.2g} of its output's energy")
        return made, _stored(shape, index[0].size)


class _Reader:
    """A layer that reads channels of `units`, in vectors of `size`."""

    def __init__(self, node: Node, graph: Graph, units: np.ndarray, cut: tuple[int, int], size: int):
        channels, taps = cut
        weight = graph.tensors[node.inputs[1]].data.astype(np.float64)
        by_channel = weight.reshape(len(weight), channels, taps).transpose(1, 0, 2).reshape(channels, -1)
        self.layer = permute.Layer.of(by_channel, size)
        self._units = units[:channels] if node.op == "Conv" else units.reshape(channels, taps)[:, 0]

    def cost(self, to: np.ndarray) -> float:
        return self.layer.cost(source(self._units, to))

    def alike(self, members: np.ndarray) -> np.ndarray:
        """[members, members]: mean products of their weights, as a part of the layer's."""
        mine = (self._units == members[:, None]).astype(np.float64)
        return mine @ self.layer.second @ mine.T / (np.trace(self.layer.second) or 1.0)


def _stored(shape: Shape, vectors: int) -> int:
    """Bytes of the codes of so many vectors, codebooks included."""
    books = shape.stages * shape.parts * shape.codewords * shape.size
    return books + -(-shape.stages * vectors * (shape.codewords - 1).bit_length() // 8)


def _cut(node: Node, graph: Graph, size: int) -> tuple[int, int] | None:
    """(channels, taps) of a row: what it is [channels, taps] of, vectors running along
    channels first; None if it can't be cut."""
    weight = graph.tensors[node.inputs[1]].shape
    if node.op == "Conv" and weight[1] == 1 and node.attrs.groups > 1:
        return None  # depthwise: few weights, read by channel
    if node.op == "Conv":
        channels, taps = weight[1], weight[2] * weight[3]
    else:
        channels = _channels(node.inputs[0], graph, weight[1])
        taps = weight[1] // channels
    return (channels, taps) if channels * taps % size == 0 else None


def _channels(name: str, graph: Graph, features: int) -> int:
    """Channels of the map that a dense layer's input was, or all its features where it was none."""
    while (maker := graph.producer(name)) is not None and len(data := graph.data_inputs(maker)) == 1:
        shape = graph.tensors[data[0]].shape
        if maker.op == "Reshape" and len(shape) == 4 and math.prod(shape[1:]) == features:
            return shape[1]
        if maker.op != "Reshape" and shape != graph.tensors[name].shape:
            break
        name = data[0]
    return features
