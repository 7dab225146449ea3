"""Steps in integers: thresholds per channel for outputs of few bits, an affine requantize otherwise.

Both come from the float function that the steps are, on every accumulator that can occur: thresholds by bisection, the
affine form by rounding, with the proof that says where it differs. Source: docs/numerics.md, "Binary".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwcomp.errors import UnsupportedError, WorkFailed
from hwcomp.graph import origin_of
from hwcomp.lower import bounds, requant, staircase
from hwcomp.ops import _steps
from sw_ref import numerics as nm
from sw_ref.program import Layout

if TYPE_CHECKING:
    from hwcomp.lower.context import LowerContext
    from hwcomp.types import Node, QType

_FEW_BITS = 3  # outputs of up to so many bits always get thresholds
_MOST_LEVELS = 255  # others where the affine form is wrong by more than a step
_MOST_ADDED = 2.0**40  # accumulators that steps may add
_ON_GRID = 2.0**-16  # of a step of the output: the proof says whether it matters


@dataclass(frozen=True)
class Thresholds:
    """lo + step * #{i : a >= T_i}; int64 `threshold` [channels, N], `descending` [channels] (docs/program.md)."""

    lo: int
    hi: int
    step: int
    threshold: np.ndarray
    descending: np.ndarray

    def params(self) -> dict:
        return {"form": "threshold", "lo": self.lo, "hi": self.hi, "step": self.step}

    def constants(self) -> dict[str, np.ndarray]:
        return {"threshold": self.threshold, "descending": self.descending}

    def apply(self, acc: np.ndarray) -> np.ndarray:
        """acc [channels, n] -> stored integers."""
        columns = [self.threshold[:, i, None] for i in range(self.threshold.shape[1])]
        return nm.requantize_threshold(acc, columns, self.descending[:, None], self.lo, self.step)


@dataclass(frozen=True)
class Function:
    """What the steps make of an accumulator: int64 [channels, n] -> int64, in `qtype`, monotone in each channel.

    real = accumulator * unit, in float32, then the steps along the channels; `falling` bool [channels].
    """

    unit: np.ndarray
    steps: tuple[_steps.Step, ...]
    constants: list[np.ndarray]
    qtype: QType

    def __call__(self, acc: np.ndarray) -> np.ndarray:
        steps, last = self.steps, _steps.quantizer(self.steps)
        with np.errstate(all="ignore"):
            real = (acc.astype(np.float64) * self.unit[:, None]).astype(np.float32)
            if last is not None:
                own = [c[:, None] for c in self.constants[len(self.constants) - last.constants :]]
                return last.integers(_steps.run(steps[:-1], real, self.constants, 0), *own).astype(np.int64)
            scaled = np.rint(_steps.run(steps, real, self.constants, 0) / np.float32(self.qtype.scale[0]))
        return np.clip(scaled.astype(np.float64) + self.qtype.zero, *self.qtype.limits).astype(np.int64)

    @property
    def falling(self) -> np.ndarray:
        return _steps.falling(self.steps, self.constants, len(self.unit))


def dot(ctx: LowerContext, kind: str, node: Node, params: dict, *, padded: bool) -> None:
    """A dot product with steps behind it (x, int weights, no bias, constants) -> kernel."""
    x, y = ctx.edges[node.inputs[0]], node.outputs[0]
    tensor = ctx.graph.tensors[node.inputs[1]]
    weight = tensor.data.astype(np.int64)
    rows = weight.reshape(len(weight), -1)
    bias = -x.zero * rows.sum(axis=1)
    x_lo, x_hi = (min(x.lo, x.zero), max(x.hi, x.zero)) if padded else (x.lo, x.hi)
    unit = np.broadcast_to(float(x.scale) * tensor.qtype.scales().astype(np.float64), bias.shape)
    function = Function(unit, node.attrs.steps, _data(ctx, node, 3), ctx.qtype(y, node))
    reach = bounds.of_dot(rows, bias, x_lo, x_hi)
    found = _whole(function, reach, y, ctx.profile)
    rq, proof, more = (*_record(function, reach, node, y, ctx.profile), 0) if found is None else found
    bias = bias + more
    rq, down = _turned(rq, (np.abs(rows) == 1).all())
    weight = np.where(down.reshape(-1, *[1] * (weight.ndim - 1)), -weight, weight)
    bias = np.where(down, -bias, bias)
    limits = bounds.of_dot(weight, bias, x_lo, x_hi)
    bits = max(
        bounds.signed_bits(limits.part_lo, limits.part_hi + 1), 2
    )  # a threshold may be one above the largest sum
    if bits > 53:
        raise WorkFailed(
            f"the accumulator of {node.op} needs {bits} bits", node=origin_of(node),
            why=f"sums reach [{limits.part_lo}, {limits.part_hi}]", fix="use fewer bits or a smaller layer",
        )  # fmt: skip
    ctx.proofs.append(replace(proof, acc_bits=bits))
    ends = rq.apply(np.stack([limits.final_lo, limits.final_hi], axis=1))
    shape = ctx.sample_shape(y)
    layout = Layout.channels_last(shape) if len(shape) >= 3 else ctx.layout_for(y)
    ctx.add_edge(y, int(ends.min()), int(ends.max()), layout)
    params = {
        **params, "acc_bits": bits, "acc_lo": limits.part_lo, "acc_hi": limits.part_hi, "requantize": rq.params(),
    }  # fmt: skip
    ctx.add_kernel(kind, node, params, {"weight": weight, "bias": bias, **rq.constants()})


def pointwise(ctx: LowerContext, node: Node) -> None:
    """Steps without a dot product in front -> a requantize kernel; nothing where the input is quantized alike already."""
    steps = node.attrs.steps
    plain = len(steps) == 1 and (q := _steps.quantizer(steps)) and not q.grid and not q.constants
    if plain and ctx.qtype(node.inputs[0]) == ctx.qtype(node.outputs[0], node):
        ctx.alias(node)
        return
    x, y, data = ctx.edges[node.inputs[0]], node.outputs[0], _data(ctx, node, 1)
    same = all((d == d.flat[0]).all() for d in data)
    if data and not same and (len(x.shape) == 0 or ctx.sample_axis(node.attrs.axis) != 0):
        raise UnsupportedError(
            f"{' and '.join(node.origin)} differ along an axis that is not the first of a sample", node=origin_of(node),
            why="an integer layer has constants per channel",
        )  # fmt: skip
    data = [d[:1] for d in data] if same else data
    channels = 1 if same else x.shape[0]
    function = Function(np.full(channels, float(x.scale)), node.attrs.steps, data, ctx.qtype(y, node))
    offset = np.full(channels, x.zero)
    lo, hi = np.full(channels, x.lo), np.full(channels, x.hi)
    reach = bounds.Bounds(lo - offset, hi - offset, x.lo - x.zero, x.hi - x.zero)
    rq, proof = _record(function, reach, node, y, ctx.profile)
    rq = _moved(rq, x.zero)
    ends = rq.apply(np.stack([lo, hi], axis=1))
    ctx.proofs.append(proof)
    ctx.add_edge(y, int(ends.min()), int(ends.max()), x.layout)
    ctx.add_kernel("requantize", node, {"requantize": rq.params()}, rq.constants())


def _data(ctx: LowerContext, node: Node, first: int) -> list[np.ndarray]:
    return [ctx.graph.tensors[n].data for n in node.inputs[first:]]


def _moved(rq, zero: int):
    """The same record for a + zero in place of a."""
    if isinstance(rq, Thresholds):
        return replace(rq, threshold=rq.threshold + zero)
    return replace(rq, offset=rq.offset - rq.multiplier * zero)


def _turned(rq, binary: bool):
    """(the record on -a in the channels that are set, bool [channels]): no multiplier of a dot product is negative, and a
    falling channel of binary weights needs no flag: -a rises, and -a >= 1 - T where a < T.
    """
    if isinstance(rq, requant.Requant):
        down = rq.multiplier < 0
        return replace(rq, multiplier=np.abs(rq.multiplier)), down
    down = rq.descending.astype(bool) & binary
    threshold = np.where(down[:, None], np.sort(1 - rq.threshold, axis=1), rq.threshold)
    return replace(rq, threshold=threshold, descending=np.where(down, 0, rq.descending)), down


def _record(function: Function, reach: bounds.Bounds, node: Node, name: str, profile: int):
    """(Thresholds or Requant, proof) that equals `function` between the ends of `reach`."""
    lo, hi, q = reach.final_lo, reach.final_hi, function.qtype
    total, channels = int((hi - lo + 1).sum()), len(lo)
    last = _steps.quantizer(function.steps)
    least, most = _levels(function, lo, hi)
    levels = most - least
    if last is not None and (q.bits <= _FEW_BITS or last.rounding not in ("ROUND", "HALF_EVEN") or last.grid):
        if levels > _MOST_LEVELS:
            raise UnsupportedError(
                f"{q.bits} bits with rounding_mode {last.rounding}",
                node=origin_of(node),
                why="8 bits at most are available",
            )
        return bisected(function, lo, hi), staircase.Proof(name, "threshold", reach.bits, 0, total, 0, channels, 0)
    rq, proof = _affine(function, reach, name, profile)
    if proof.worst > 1 and last is not None and levels <= _MOST_LEVELS:
        return bisected(function, lo, hi), staircase.Proof(name, "threshold", reach.bits, 0, total, 0, channels, 0)
    return rq, proof


def _whole(function: Function, reach: bounds.Bounds, name: str, profile: int):
    """(Requant, proof, int64 biases [channels]) that equals `function` everywhere, with its ties: what the steps add is a
    whole number of accumulators. None where it is not, or the output has few bits.
    """
    q, channels, last = function.qtype, len(function.unit), _steps.quantizer(function.steps)
    if last is not None and (q.bits <= _FEW_BITS or last.rounding not in ("ROUND", "HALF_EVEN") or last.grid):
        return None
    gain, shift = _steps.affine(function.steps, function.constants, channels)
    factor = gain * function.unit / float(np.float32(q.scale[0]))
    added = shift / float(np.float32(q.scale[0])) + (q.zero if last is not None else 0)
    if not (np.isfinite(factor) & (factor > 0) & (np.abs(added) < _MOST_ADDED * factor)).all():
        return None
    bias = np.rint(added / factor)
    if (np.abs(bias * factor - added) > _ON_GRID).any():
        return None
    bias = bias.astype(np.int64)
    first, end = reach.final_lo + bias, reach.final_hi + bias
    lowest, highest = int(min(first.min(), bias.min())), int(max(end.max(), bias.max()))
    width = bounds.signed_bits(lowest, highest)
    ends = function(np.stack([reach.final_lo, reach.final_hi], axis=1))
    zero = 0 if last is not None else q.zero
    rq = requant.choose(
        factor.astype(np.float32), lowest, highest, width, zero, int(ends.min()), int(ends.max()), profile
    )
    differing, worst, steps = staircase.compare(rq, lambda a: function(a - bias[:, None]), first, end)
    if differing:
        return None
    total, most = int((end - first + 1).sum()), int(rq.multiplier.max()).bit_length()
    return rq, staircase.Proof(name, rq.form, reach.bits, most, total, 0, channels, 0, worst, rq.bits, steps), bias


def bisected(function: Function, lo: np.ndarray, hi: np.ndarray) -> Thresholds:
    """Thresholds of a Function on accumulators in [lo_c, hi_c] (int64 [channels])."""
    q, down = function.qtype, function.falling
    step = 2 if q.scheme == "bipolar" else 1
    least, most = _levels(function, lo, hi)
    levels = np.arange(least + step, most + 1, step)[None, :]
    rising = staircase.first_at(function, levels, lo, hi)
    fallen = staircase.first_at(lambda a: -function(a), step - levels, lo, hi)
    threshold = np.sort(np.where(down[:, None], fallen, rising), axis=1)
    return Thresholds(least, most, step, threshold, down.astype(np.int64))


def _levels(function: Function, lo: np.ndarray, hi: np.ndarray) -> tuple[int, int]:
    """Least and largest result that get thresholds: what the type holds, or, of a wide one that is rounded twice, what is
    reached (two levels at least)."""
    last, (least, most) = _steps.quantizer(function.steps), function.qtype.limits
    if last is None or last.grid is None:
        return least, most
    ends = function(np.stack([lo, hi], axis=1))
    low, high = int(ends.min()), int(ends.max())
    return (low, high) if low < high else (low, low + 1) if low < most else (low - 1, low)


def _affine(function: Function, reach: bounds.Bounds, name: str, profile: int):
    """(gain * a + shift) >> s per channel, rounded and proved."""
    q, channels = function.qtype, len(function.unit)
    gain, shift = _steps.affine(function.steps, function.constants, channels)
    ends = function(np.stack([reach.final_lo, reach.final_hi], axis=1))
    lo, hi = int(ends.min()), int(ends.max())
    scale = float(np.float32(q.scale[0]))
    least, most = int(reach.final_lo.min()), int(reach.final_hi.max())
    rq = requant.choose_affine(gain * function.unit / scale, shift / scale + q.zero, least, most, lo, hi, bits=profile)
    sign = np.where(function.falling, -1, 1)[:, None]
    # Both are compared as rising functions: a falling channel on -a.
    first = np.where(sign[:, 0] > 0, reach.final_lo, -reach.final_hi)
    last = np.where(sign[:, 0] > 0, reach.final_hi, -reach.final_lo)
    counted = staircase.compare(_Turned(rq, sign, lo, hi), lambda a: function(sign * a), first, last)
    differing, worst, steps = counted
    width, total = int(np.abs(rq.multiplier).max()).bit_length(), int((last - first + 1).sum())
    proof = staircase.Proof(name, rq.form, reach.bits, width, total, differing, channels, 0, worst, width, steps)
    return rq, proof


@dataclass(frozen=True)
class _Turned:
    """A record on sign * a, as staircase.compare takes it."""

    rq: requant.Requant
    sign: np.ndarray
    lo: int
    hi: int

    def apply(self, acc: np.ndarray) -> np.ndarray:
        return self.rq.apply(self.sign * acc)
