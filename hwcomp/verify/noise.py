"""Signal to quantization noise, tensor by tensor: the Program's results against those of the float graph it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hwcomp import samples
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph
from hwcomp.pixels import Pixels
from hwcomp.verify.reference import run_program
from sw_ref.program import Program, type_range

_NONE: Mapping[str, Pixels] = MappingProxyType({})
LOW_DB = 10.0  # noise of a third of the signal's amplitude and more
DROP_DB = 10.0  # nine tenths of the noise and more come from the layer itself
_GOOD_DB = 40.0  # what 8 bits give at best: inputs better than that are no yardstick
_MOVES = ("argmax", "concat", "pad", "repeat", "reshape", "shuffle", "slice", "transpose")  # no noise of their own


@dataclass(frozen=True)
class LayerNoise:
    """`sqnr_db`: 10 log10 of signal power over error power, inf where they are equal; `worst`: largest error.

    `lost_db`: how far that is below the worst of the layer's inputs (0 where it is not; inputs count as 40 dB at most).
    """

    tensor: str
    sqnr_db: float
    worst: float
    lost_db: float = 0.0

    @property
    def bad(self) -> bool:
        return self.sqnr_db < LOW_DB or self.lost_db > DROP_DB


def layer_noise(
    floats: Graph, program: Program, real: dict[str, np.ndarray], pixels: Mapping[str, Pixels] = _NONE
) -> tuple[LayerNoise, ...]:
    """Per tensor that both have, on real samples [samples, *shape] by input name, in order of execution.

    `floats`: the graph in front of the pass `quantize`. `pixels`: the inputs that hold raw pixels.

    What only max-pools read may be clipped from below by its type, which has the range of what the pools leave: that is
    no error.
    """
    want: dict[str, np.ndarray] = {}
    run_float(floats, samples.operands(real, pixels), observe=want.__setitem__)
    stored = run_program(program, samples.to_stored(program, real, pixels), taps=True)
    ratios: dict[str, float] = {}
    layers = []
    for name, have in stored.items():
        if name not in want or want[name].dtype.kind != "f":
            continue
        edge, signal = program.edges[name], want[name].astype(np.float64)
        if _pooled(program, name):
            signal = np.maximum(signal, (type_range(edge.bits, edge.signed)[0] - edge.zero) * float(edge.scale))
        error = edge.to_real(have) - signal
        ratios[name] = _decibels(signal, error)
        kernel = program.producer(name)
        if kernel is not None and kernel.kind not in _MOVES:
            before = min([_GOOD_DB, *(ratios[n] for n in kernel.inputs if n in ratios)])
            worst = float(np.abs(error).max(initial=0.0))
            layers.append(LayerNoise(name, ratios[name], worst, max(before - ratios[name], 0.0)))
    return tuple(layers)


def _decibels(signal: np.ndarray, error: np.ndarray) -> float:
    power, noise = float((signal**2).sum()), float((error**2).sum())
    return float(np.inf if noise == 0 else -np.inf if power == 0 else 10 * np.log10(power / noise))


def _pooled(program: Program, name: str) -> bool:
    readers = program.consumers(name)
    return bool(readers) and name not in program.outputs and all(k.kind == "maxpool2d" for k in readers)
