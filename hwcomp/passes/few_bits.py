"""Post-training schemes of few bits: `--quant binary`, `binary-weights`, `ternary`, `int2`, `int4`, `log2`, `auto`.

Weights become scale * integer in float, bias and clamp steps behind the dot product; `quantize` then finds the integers.
Layers may differ: `layers` = "NAME=SCHEME,...", by the name of the layer or of its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwcomp.errors import UsageError, shown
from hwcomp.graph import Graph
from hwcomp.passes._compensated import Compensated, dots
from hwcomp.passes._mixed import Chooser, Wish
from hwcomp.passes.base import Pass, PassContext
from hwcomp.passes.streamline import gathered, unflattened
from hwcomp.quantize.few_weights import BITS
from hwcomp.quantize.schemes import scheme
from hwcomp.registry import graph_pass

_LOSS = 0.0025


@graph_pass
@dataclass(frozen=True)
class FewBits(Pass):
    """`auto` finds the fewest bits whose `loss` (the error of the outputs as a part of their energy; 0: 0.0025, or any where
    `bits` is given) is small enough, or the least loss with at most `bits` per weight on average.

    `samples`: how many of the calibration samples are looked at; fewer where tensors are large. `ends`: the first and the
    last layer stay int8 where each has at most this part of the weights, as XNOR-Net, TWN and DoReFa leave them in float.
    `xnor_k` (`--xnor-k`): XNOR-Net's K map stands for the sizes of binarized inputs, place by place; else a factor per channel.
    """

    name: ClassVar[str] = "few_bits"
    kind: ClassVar[str] = "lossy"
    layers: str = ""
    loss: float = 0.0
    bits: float = 0.0
    ends: float = 0.02
    samples: int = 4096
    xnor_k: bool = False

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        self._check()
        given = self._given(graph)
        kind = scheme(ctx.quant).few
        nodes = dots(graph)
        if not (kind or given) or not nodes:
            self._no_map(ctx)
            return graph
        found = Compensated(graph, ctx, self.samples, self.xnor_k)
        if kind == "auto":
            loss = self.loss or (0.0 if self.bits else _LOSS)
            chosen = Chooser(graph, ctx, found, given).choose(Wish(loss, self.bits))
        else:
            chosen = dict.fromkeys((n.name for n in nodes), kind or "int8") | self._spared(graph, kind) | given
        if set(chosen.values()) == {"int8"}:
            self._no_map(ctx)
            return graph
        signs = {n.name for n in nodes[1:] if chosen[n.name] == "binary"}
        made = found.network(chosen, signs)
        bits, count = 0, 0
        for node in nodes:
            size = graph.tensors[node.inputs[1]].data.size
            bits, count = bits + size * BITS[chosen[node.name]], count + size
            how = ", inputs of one bit" if node.name in signs else ""
            if node.name in found.k_maps:
                how += f", times the K map: {found.k_maps[node.name]}"
            elif how:
                how += ", no K map: one factor per channel stands for the size of its input"
            ctx.note(self.name, f"{node.op} '{node.name}': {chosen[node.name]} weights{how}")
        ctx.note(self.name, f"{bits / max(count, 1):.2f} bits per weight on average")
        if not signs:
            self._no_map(ctx)
        return gathered(unflattened(made), ctx)

    def _no_map(self, ctx: PassContext) -> None:
        if self.xnor_k:
            text = "no layer has a K map: none has its inputs made binary (--quant binary)"
            ctx.note(self.name, text)
            ctx.warn(text)

    def _check(self) -> None:
        for name, least in (("loss", 0), ("bits", 0), ("ends", 0), ("samples", 1)):
            if not getattr(self, name) >= least:
                raise UsageError(f"few_bits.{name}={getattr(self, name)}", fix=f"{least} or more is needed")

    def _spared(self, graph: Graph, kind: str) -> dict[str, str]:
        """int8 for the first and the last layer, where the scheme has less than 4 bits and they are small."""
        nodes = dots(graph)
        sizes = [graph.tensors[n.inputs[1]].data.size for n in nodes]
        if BITS.get(kind, 8) >= 4:
            return {}
        return {nodes[i].name: "int8" for i in (0, -1) if sizes[i] <= self.ends * sum(sizes)}

    def _given(self, graph: Graph) -> dict[str, str]:
        """Scheme by node name, from `layers`."""
        found = {}
        for part in filter(None, self.layers.split(",")):
            name, _, kind = part.rpartition("=")
            nodes = [n for n in dots(graph) if name in (n.name, n.outputs[0], *n.origin)]
            if kind not in BITS:
                raise UsageError(
                    f"unknown scheme '{shown(kind)}' for layer '{shown(name)}'", fix=f"choose {', '.join(BITS)}"
                )
            if not nodes:
                known = ", ".join(f"'{shown(n.name)}'" for n in dots(graph))
                raise UsageError(f"there is no layer '{shown(name)}'", why=f"the layers with weights are {known}")
            found |= {n.name: kind for n in nodes}
        return found
