"""Post-training schemes of few bits: `--quant binary`, `binary-weights`, `ternary`, `int2`, `int4`, `log2`, `auto`.

Weights become scale * integer in float, bias and clamp steps behind the dot product; `quantize` then finds the integers.
Layers may differ: `layers` = "NAME=SCHEME,...", by the name of the layer or of its output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwcomp.errors import UsageError, shown
from hwcomp.frontend.float_run import batch_size, run_float
from hwcomp.graph import Graph
from hwcomp.ops import _steps
from hwcomp.ops.steps import StepsAttrs
from hwcomp.passes._compensated import Compensated
from hwcomp.passes._k_map import KMap, possible
from hwcomp.passes._mixed import calibration, choose
from hwcomp.passes.base import Pass, PassContext, constant, free_name
from hwcomp.passes.streamline import gathered
from hwcomp.quantize.few_weights import BITS
from hwcomp.quantize.schemes import scheme
from hwcomp.registry import graph_pass
from hwcomp.types import Node, QType, Tensor

_DOT = ("Conv", "Dense")


@graph_pass
@dataclass(frozen=True)
class FewBits(Pass):
    """`loss`: what `auto` may lose, as the part of the outputs' energy that the error of all layers together has.

    `samples`: how many of the calibration samples `auto` and `binary` look at. `xnor_k` (`--xnor-k`): XNOR-Net's K map stands for
    the sizes of binarized inputs, place by place; else one factor per tensor does.
    """

    name: ClassVar[str] = "few_bits"
    kind: ClassVar[str] = "lossy"
    layers: str = ""
    loss: float = 0.0025
    samples: int = 1024
    xnor_k: bool = False

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        given = self._given(graph)
        kind = scheme(ctx.quant).few
        dots = [n for n in graph.nodes if n.op in _DOT and not n.attrs.steps]
        if not (kind or given):
            self._no_map(ctx)
            return graph
        found = Compensated(graph, ctx, dots, self.samples)
        if kind == "auto":
            free = [n for n in dots if n.name not in given]
            chosen = choose(graph, ctx, free, found, self.loss, self.samples)
        else:
            chosen = {n.name: kind for n in dots} if kind else {}
        chosen |= given
        if kind != "auto" and all(k in ("", "int8") for k in chosen.values()):
            self._no_map(ctx)
            return graph
        first = next((n.name for n in dots), "")
        means = self._means(graph, ctx, [n for n in dots if chosen.get(n.name) == "binary" and n.name != first])
        tensors, nodes, bits, count = dict(graph.tensors), [], 0, 0
        for node in graph.nodes:
            which = chosen.get(node.name, "") if node in dots else ""
            size = tensors[node.inputs[1]].data.size if node.op in _DOT else 0
            bits, count = bits + size * BITS.get(which, 8), count + size
            if which in ("", "int8"):
                nodes.append(node)
                continue
            weights, (mean, mean_size, most) = found.weights(node, which), means.get(node.name, (None, 0.0, 0.0))
            how = ", inputs of one bit" if mean is not None else ""
            if mean is not None and self.xnor_k and possible(node, graph):
                k = KMap(node, tensors, weights, mean, most)
                made, cost = k.build()
                nodes += made
                if k.unlimited:
                    ctx.observed[k.unlimited] = ctx.observed[node.outputs[0]]
                how += f", times the K map: {cost}"
            else:
                nodes += _converted(node, tensors, weights, None if mean is None else (mean, mean_size))
                how += ", no K map: one factor per tensor stands for the size of its input" if mean is not None else ""
            ctx.note(self.name, f"{node.op} '{node.name}': {which} weights{how}")
        ctx.note(self.name, f"{bits / max(count, 1):.2f} bits per weight on average")
        if not means:
            self._no_map(ctx)
        return gathered(graph.rebuilt(nodes, tensors), ctx)

    def _no_map(self, ctx: PassContext) -> None:
        if self.xnor_k:
            text = "no layer has a K map: none has its inputs made binary (--quant binary)"
            ctx.note(self.name, text)
            ctx.warn(text)

    def _given(self, graph: Graph) -> dict[str, str]:
        """Scheme by node name, from `layers`."""
        found = {}
        for part in filter(None, self.layers.split(",")):
            name, _, kind = part.rpartition("=")
            nodes = [n for n in graph.nodes if n.op in _DOT and name in (n.name, n.outputs[0], *n.origin)]
            if kind not in BITS:
                raise UsageError(
                    f"unknown scheme '{shown(kind)}' for layer '{shown(name)}'", fix=f"choose {', '.join(BITS)}"
                )
            if not nodes:
                known = ", ".join(f"'{shown(n.name)}'" for n in graph.nodes if n.op in _DOT)
                raise UsageError(f"there is no layer '{shown(name)}'", why=f"the layers with weights are {known}")
            found |= {n.name: kind for n in nodes}
        return found

    def _means(self, graph: Graph, ctx: PassContext, dots: list[Node]) -> dict[str, tuple[float, float, float]]:
        """(mean m, mean |x - m|, largest |x - m|) of the inputs of dot products, by node name."""
        if not dots:
            return {}
        wanted = {n.inputs[0] for n in dots}
        seen: dict[str, list[np.ndarray]] = {n: [] for n in wanted}

        def see(name: str, value: np.ndarray) -> None:
            if name in seen:
                seen[name].append(value)

        data = {n: a[: self.samples] for n, a in calibration(graph, ctx, self.samples).items()}
        size = batch_size(graph)
        for start in range(0, len(next(iter(data.values()))), size):
            run_float(graph, {n: a[start : start + size] for n, a in data.items()}, see)
        found = {}
        for name, parts in seen.items():
            values = np.concatenate([p.ravel() for p in parts]).astype(np.float64)
            sizes = np.abs(values - values.mean())
            found[name] = (float(values.mean()), float(sizes.mean()) or 1.0, float(sizes.max()) or 1.0)
        return {n.name: found[n.inputs[0]] for n in dots}


def _converted(node: Node, tensors: dict[str, Tensor], found, mean: tuple[float, float] | None) -> list[Node]:
    """The dot product on weights of few bits (`found`, as Compensated gives them), behind a quantizer of its input where
    `mean` is given: x is then mean + size * sign(x - mean), and the mean goes into the bias."""
    weight = tensors[node.inputs[1]].data
    q, scales, shift = found
    real = (q * scales.astype(np.float64)[:, None]).astype(np.float32)
    w = constant(tensors, f"{node.outputs[0]}__weight_few", real.reshape(weight.shape))
    bias = tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else np.zeros(len(q))
    bias = bias + shift
    made, source, attrs = [], node.inputs[0], node.attrs
    if mean is not None:
        x = tensors[source]
        source = free_name(tensors, f"{source}__sign")
        qtype = QType(1, True, "bipolar", (float(np.float32(mean[1])),))
        tensors[source] = x.with_(name=source, qtype=qtype, range=(-mean[1], mean[1]))
        shift = constant(tensors, f"{source}__mean", np.full(x.shape[1], -mean[0], np.float32))
        steps = StepsAttrs((_steps.Sum(), _steps.Quantizer(qtype)))
        made = [Node("Steps", source, (x.name, shift.name), (source,), steps, node.origin)]
        bias = bias + mean[0] * real.astype(np.float64).sum(axis=1)
        if node.op == "Conv" and any(attrs.pads):  # a padded 0.0 is what the quantizer makes of it
            attrs = replace(attrs, pad_value=float(np.float32(mean[1])) * (1 if mean[0] <= 0 else -1))
    b = constant(tensors, f"{node.outputs[0]}__bias_few", bias.astype(np.float32))
    limits = (_steps.Limit(*attrs.clamp),) if attrs.clamp else ()
    attrs = replace(attrs, steps=(_steps.Sum(), *limits), clamp=None)
    return [*made, node.with_(inputs=(source, w.name, "", b.name), attrs=attrs)]
