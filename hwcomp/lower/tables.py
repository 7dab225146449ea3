"""Lowering of functions of single elements: a table with one entry per stored value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.graph import origin_of
from hwcomp.lower import staircase
from sw_ref.program import type_range

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node

_WIDEST = 16  # bits of an input: 65,536 entries


def table(
    ctx: LowerContext, node: Node, function: Callable[[np.ndarray], np.ndarray],
    domain: tuple[float, float] = (-np.inf, np.inf),
) -> None:  # fmt: skip
    """y = function(x) -> a lut kernel: clip(rint(f(x) / Sy) + zy) for every x that the type has, in float64.

    Reals outside `domain` take the value at its end. UnsupportedError for inputs of more than 16 bits,
    ModelError where the function is not a number.
    """
    x, y = ctx.edges[node.inputs[0]], node.outputs[0]
    if x.bits > _WIDEST:
        raise UnsupportedError(
            f"{node.op} of a {x.bits}-bit tensor can't be compiled", node=origin_of(node),
            why=f"its table would have 2^{x.bits} entries; up to {_WIDEST} bits are taken",
        )  # fmt: skip
    qy = ctx.qtype(y, node)
    lo, hi = type_range(qy.bits, qy.signed)
    first, last = type_range(x.bits, x.signed, x.bipolar)
    real = np.clip((np.arange(first, last + 1) - x.zero) * np.float64(x.scale), *domain)
    with np.errstate(all="ignore"):
        steps = np.rint(function(real) / np.float64(np.float32(qy.scale[0])))
    if np.isnan(steps).any():
        raise ModelError(
            f"{node.op} is not a number", node=origin_of(node),
            why=f"at {real[np.isnan(steps)][0]:g}, which its input's type can hold",
        )  # fmt: skip
    entries = np.clip(steps + qy.zero, lo, hi).astype(np.int64)
    used = entries[x.lo - first : x.hi - first + 1]
    ctx.proofs.append(staircase.Proof(y, "table", x.bits, 0, used.size, 0, 1, 0))
    ctx.add_edge(y, int(used.min()), int(used.max()), x.layout)
    ctx.add_kernel("lut", node, {"first": first}, {"table": entries})
