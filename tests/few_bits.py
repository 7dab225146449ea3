"""Random Programs of few bits: tensors of -1 and +1, weights of one bit, ternary, narrow and powers of two, thresholds."""

import numpy as np

from sw_ref.program import Edge, Layout
from tests.program_factory import ONE, Builder
from tests.strategies import Seeded, window

TYPES = [
    (1, True, True),
    (1, True, True),
    (1, False, False),
    (2, True, False),
    (3, False, False),
    (4, True, False),
    (8, True, False),
]


class Bits(Builder):
    """A Builder whose edges may be of one bit, and whose dot products and requantizers end in thresholds."""

    def typed(self, shape, kind, layout=None) -> Edge:
        """An edge of `kind`: (bits, signed, bipolar)."""
        bits, signed, bipolar = kind
        if not bipolar:
            return self.edge(shape, bits, signed, layout=layout)
        layout = layout or (Layout.channels_last(shape) if len(shape) == 3 else Layout.row_major(shape))
        name = f"t{len(self.edges)}"
        self.edges[name] = Edge(name, tuple(shape), 1, True, -1, 1, ONE, 0, layout, True)
        return self.edges[name]

    def source(self, shape, kind, layout=None) -> "Bits":
        self.inputs.append(self.typed(shape, kind, layout).name)
        self.last = self.inputs[-1]
        return self

    def weights(self, form, shape):
        rng = self.rng
        if form == "sign":
            return rng.choice([-1, 1], shape)
        if form == "power":
            return rng.choice([-1, 1], shape) * (1 << rng.integers(0, 7, shape)) * rng.integers(0, 2, shape)
        top = {"ternary": 1, "int2": 2, "int3": 3, "int4": 7, "int8": 127}[form]
        return rng.integers(-top, min(top, 1) + 1 if form == "int2" else top + 1, shape)

    def thresholds(self, channels, lo, hi, out, step, levels, falling):
        """(record, constants) with thresholds between `lo` and one above `hi`, never and always among them."""
        t = np.sort(self.rng.integers(lo, hi + 2, (channels, levels)), axis=1)
        t[0, -1] = hi + 1
        down = self.rng.integers(0, 2, channels) if falling else np.zeros(channels, np.int64)
        return {"form": "threshold", "lo": out.lo, "hi": out.lo + step * levels, "step": step}, {
            "threshold": t, "descending": down.astype(np.int64),
        }  # fmt: skip

    def ended(self, kind, out, channels, lo, hi, params, constants, form, levels=None, falling=False):
        """A kernel with accumulators of `lo`..`hi` that ends in thresholds, or requantizes into an `out` of more bits."""
        if form == "threshold":
            step = 2 if out.bipolar else 1
            levels = levels or min((out.hi - out.lo) // step, 15)
            record, more = self.thresholds(channels, lo, hi, out, step, levels, falling and not self._binary(constants))
        else:
            record, more = self.record(lo, hi, out, channels, form, 20)
        return self.add(kind, out, {**params, "requantize": record}, {**constants, **more})

    def _binary(self, constants):
        return self.x.bipolar and "weight" in constants and (np.abs(constants["weight"]) == 1).all()

    def dot(self, kind, weight, out, params, form, bias=5, falling=False, pad=None):
        m, x = len(weight), self.x
        bias = self.rng.integers(-bias, bias + 1, m)
        ends = [x.lo, x.hi] + ([] if pad is None else [pad])
        terms = np.stack([weight.reshape(m, -1).astype(np.int64) * e for e in ends])
        lo = int((np.minimum(bias, 0) + np.minimum(terms.min(0), 0).sum(1)).min())
        hi = int((np.maximum(bias, 0) + np.maximum(terms.max(0), 0).sum(1)).max())
        bits = max((hi + 1).bit_length(), (~lo).bit_length()) + 1
        params = {**params, "acc_bits": bits, "acc_lo": lo, "acc_hi": hi}
        constants = {"weight": weight.astype(np.int8), "bias": bias.astype(np.int32)}
        return self.ended(kind, out, m, lo, hi, params, constants, form, falling=falling)

    def convolution(self, m, weights, kind, form="threshold", kernel=(3, 3), groups=1, pad=0, falling=False, **where):
        x = self.x
        attrs = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)} | where
        size = self._pooled(kernel, attrs["strides"], attrs["dilations"], attrs["pads"])
        params = {"kernel": list(kernel), **{k: list(v) for k, v in attrs.items()}, "groups": groups, "pad_value": pad}
        weight = self.weights(weights, (m, x.shape[0] // groups, *kernel))
        return self.dot("conv2d", weight, self.typed((m, *size), kind), params, form, falling=falling, pad=pad)

    def layer(self, m, weights, kind, form="threshold", falling=False):
        weight = self.weights(weights, (m, self.x.shape[-1]))
        out = self.typed((*self.x.shape[:-1], m), kind, Layout.row_major((*self.x.shape[:-1], m)))
        return self.dot("dense", weight, out, {}, form, falling=falling)

    def steps(self, kind, per_channel=True, falling=False):
        """A requantizer by thresholds."""
        x = self.x
        out = self.typed(x.shape, kind, x.layout)
        channels = x.shape[0] if per_channel else 1
        return self.ended("requantize", out, channels, x.lo, x.hi, {}, {}, "threshold", falling=falling)

    def pool(self, kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0)):
        x = self.x
        out = self.typed((x.shape[0], *self._pooled(kernel, strides, (1, 1), pads)), (x.bits, x.signed, x.bipolar))
        params = {
            "kernel": list(kernel), "strides": list(strides), "dilations": [1, 1], "pads": list(pads),
            "pad_value": -1 if x.bipolar else -(1 << (x.bits - 1)) if x.signed else 0,
        }  # fmt: skip
        return self.add("maxpool2d", out, params)


def few_bits_program(seed: int):
    """(Program, budget of lanes or None): a chain over maps, then over vectors."""
    dice = Seeded(seed)
    b = Bits(np.random.default_rng(seed)).source([dice.integer(1, n) for n in (9, 8, 8)], dice.pick(TYPES))
    for _ in range(dice.integer(1, 4)):
        _map_kernel(dice, b)
    if dice.integer(0, 2):
        b.flatten() if not b.x.bipolar else _flatten(b)
        for _ in range(dice.integer(1, 2)):
            b.layer(dice.integer(1, 12), _form(dice), *_end(dice), dice.flag())
    return b.program(), dice.pick([None, dice.integer(6, 250)])


def _flatten(b):
    x = b.x
    out = b.typed((x.size,), (1, True, True), x.layout)
    b.add("reshape", out, {"shape": [x.size]})


def _form(dice):
    return dice.pick(["sign", "sign", "ternary", "int2", "int3", "int4", "power", "int8"])


def _end(dice):
    """(type, form) of a result."""
    kind = dice.pick(TYPES)
    return kind, "threshold" if kind[0] < 8 else dice.pick(["rne", "affine", "threshold"])


def _map_kernel(dice, b):
    x, kind = b.x, dice.pick(["conv", "conv", "conv", "steps", "pool", "rest"])
    if kind == "conv":
        kernel, attrs, _ = window(dice, x.shape[1:])
        groups = dice.pick([1, 1, *(g for g in range(1, x.shape[0] + 1) if x.shape[0] % g == 0)])
        m = dice.integer(1, 12) if groups == 1 else groups * dice.integer(1, 3)
        pad = dice.pick([-1, 0, 1]) if x.bipolar else dice.integer(x.lo, x.hi)
        b.convolution(
            m, _form(dice), *_end(dice), kernel, groups, pad, dice.flag(),
            **{k: attrs[k] for k in ("strides", "dilations", "pads")},
        )  # fmt: skip
    elif kind == "steps":
        b.steps(dice.pick(TYPES), dice.flag(), dice.flag())
    elif kind == "pool":
        kernel, attrs, _ = window(dice, x.shape[1:])
        b.pool(kernel, attrs["strides"], attrs["pads"])
    else:
        _other(dice, b)


def _other(dice, b):
    """Kernels that take -1 and +1 as integers, or that only move elements."""
    x, kind = b.x, dice.pick(["add", "mul", "average", "shuffle", "slice", "concat", "pad", "lut"])
    if kind == "add":
        b.plus(x.name)
    elif kind == "mul":
        b.times(x.name)
    elif kind == "average":
        b.avgpool2d((1, 1), (1, 1))
    elif kind == "lut":
        entries = x.hi - x.lo + 1 if x.bipolar else 1 << x.bits
        out = b.typed(x.shape, dice.pick(TYPES), x.layout)
        values = b.rng.choice([-1, 1], entries) if out.bipolar else b.rng.integers(out.lo, out.hi + 1, entries)
        first = -1 if x.bipolar else -(1 << (x.bits - 1)) if x.signed else 0
        b.add("lut", out, {"first": first}, {"table": values.astype(np.int32)})
    elif not x.bipolar:
        b.requantize()
    elif kind == "shuffle":
        b.add("shuffle", b.typed(x.shape, (1, True, True)), {}, {"order": b.rng.permutation(x.shape[0])})
    elif kind == "slice":
        out = b.typed((1, *x.shape[1:]), (1, True, True))
        b.add("slice", out, {"axis": 0, "start": 0, "stop": 1})
    elif kind == "concat":
        out = b.typed((2 * x.shape[0], *x.shape[1:]), (1, True, True))
        b.add("concat", out, {"axis": 0}, inputs=(x.name, x.name))
    else:
        out = b.typed((x.shape[0], x.shape[1] + 1, x.shape[2] + 2), (1, True, True))
        b.add("pad", out, {"pads": [1, 1, 0, 1], "pad_value": dice.pick([-1, 1])})
