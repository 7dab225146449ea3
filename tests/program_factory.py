"""Random Programs for tests: every kernel kind, odd shapes, all numeric forms; each one provably inside its bounds."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field, replace

import numpy as np

from hwcomp.lower.layouts import transposed, usual
from hwcomp.lower.softmax import tables
from sw_ref.program import Edge, Kernel, Layout, Program, type_range
from tests.program_elements import Elements
from tests.program_sequences import Sequences

ONE = 0x3F800000  # the bits of 1.0f
SCALES = (ONE, 0x3C23D70A, 0x3E800000)


@dataclass
class Builder(Elements, Sequences):
    """Appends kernels to a chain; `last` is the edge that the next kernel reads, `at` starts a branch there."""

    rng: np.random.Generator
    edges: dict[str, Edge] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    last: str = ""

    def edge(self, shape, bits=8, signed=True, lo=None, hi=None, layout=None, name=None) -> Edge:
        least, most = type_range(bits, signed)
        lo, hi = (least if lo is None else lo), (most if hi is None else hi)
        name = name or f"t{len(self.edges)}"
        layout = layout or (Layout.channels_last(shape) if len(shape) == 3 else Layout.row_major(shape))
        zero = int(self.rng.integers(lo, hi + 1))
        e = Edge(name, tuple(shape), bits, signed, lo, hi, int(self.rng.choice(SCALES)), zero, layout)
        self.edges[name] = e
        return e

    def input(self, shape, bits=8, signed=True, name=None, layout=None, lo=None, hi=None) -> Builder:
        e = self.edge(shape, bits, signed, lo, hi, layout, name)
        self.inputs.append(e.name)
        self.last = e.name
        return self

    @property
    def x(self) -> Edge:
        return self.edges[self.last]

    def at(self, name: str) -> Builder:
        self.last = name
        return self

    def add(self, kind: str, out: Edge, params: dict, constants: dict | None = None, inputs=None) -> Builder:
        name = f"{kind}_{len(self.kernels)}"
        inputs = tuple(inputs or (self.last,))
        k = Kernel(kind, name, inputs, (out.name,), params, constants or {}, (f"/{name}/Node",))
        self.kernels.append(k)
        self.last = out.name
        return self

    def program(self, outputs=None) -> Program:
        return Program(tuple(self.inputs), tuple(outputs or [self.last]), dict(self.edges), tuple(self.kernels))

    # Kernels ---------------------------------------------------------------------------------------------------------

    def conv2d(self, m, kernel=(3, 3), strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), groups=1, **how) -> Builder:
        c, out = self.x.shape[0], self._pooled(kernel, strides, dilations, pads)
        pad = int(self.rng.integers(self.x.lo, self.x.hi + 1))
        params = {
            "kernel": list(kernel), "strides": list(strides), "dilations": list(dilations), "pads": list(pads),
            "groups": groups, "pad_value": pad,
        }  # fmt: skip
        return self._dot("conv2d", (m, c // groups, *kernel), (m, *out), params, **how)

    def _pooled(self, kernel, strides, dilations, pads) -> list[int]:
        return [
            (n + a + b - ((k - 1) * d + 1)) // s + 1
            for n, a, b, k, d, s in zip(self.x.shape[1:], pads[:2], pads[2:], kernel, dilations, strides, strict=True)
        ]

    def dense(self, m, **how) -> Builder:
        shape = self.x.shape
        return self._dot("dense", (m, shape[-1]), (*shape[:-1], m), {}, **how)

    def _dot(
        self, kind, weight_shape, out_shape, params, weight_bits=8, bits=8, signed=True, form=None, lo=None, hi=None,
        bias_bits=16, mb=24, per_channel=True, weight=None, layout=None, name=None,
    ) -> Builder:  # fmt: skip
        rng, m = self.rng, weight_shape[0]
        top = (1 << (weight_bits - 1)) - 1
        weight = rng.integers(-top, top + 1, weight_shape) if weight is None else np.asarray(weight)
        if kind == "dense":
            layout = layout or Layout.row_major(out_shape)
        bias = rng.integers(-(1 << bias_bits), (1 << bias_bits) + 1, m)
        w = weight.reshape(m, -1).astype(object)
        most = (np.maximum(np.maximum(w * self.x.lo, w * self.x.hi), 0)).sum(1)
        least = (np.minimum(np.minimum(w * self.x.lo, w * self.x.hi), 0)).sum(1)
        acc_lo = min(min(0, int(b)) + int(n) for b, n in zip(bias, least, strict=True))
        acc_hi = max(max(0, int(b)) + int(n) for b, n in zip(bias, most, strict=True))
        acc_bits = max(acc_hi.bit_length(), (~acc_lo).bit_length()) + 1
        out = self.edge(out_shape, bits, signed, lo, hi, layout, name)
        record, constants = self.record(acc_lo, acc_hi, out, m if per_channel else 1, form, mb, negative=False)
        params |= {"acc_bits": acc_bits, "acc_lo": acc_lo, "acc_hi": acc_hi, "requantize": record}
        dtype = np.int8 if weight_bits <= 8 and abs(weight).max() < 128 else np.int16
        wide = np.int32 if acc_bits <= 32 else np.int64
        constants |= {"weight": weight.astype(dtype), "bias": bias.astype(wide)}
        return self.add(kind, out, params, constants)

    def record(self, acc_lo: int, acc_hi: int, out: Edge, channels: int, form=None, mb=24, negative=False):
        """A requantize record whose results spread over the output type, ties and clamping included.

        `form` "rounded": affine, with the offset that adds a half and a zero point.
        """
        rng = self.rng
        form, rounded = "affine" if form == "rounded" else form or str(rng.choice(["rne", "affine"])), form == "rounded"
        reach = max(abs(acc_lo), abs(acc_hi), 1)
        span = max(out.hi - out.lo, 1)
        mb = max(1, min(mb, 31, 60 - reach.bit_length()))
        shift = max(0, min(62, mb + reach.bit_length() - span.bit_length() - int(rng.integers(1, 7))))
        m = rng.integers(1 << (mb - 1), (1 << mb), channels)
        if rng.random() < 0.3:
            m = 1 << rng.integers(max(0, mb - 3), mb, channels)  # ties are reached
        if rng.random() < 0.2:
            m[0] = 0
        if negative:
            m = m * rng.choice([-1, 1], channels)
        lo, hi = out.lo, out.hi
        zero = int(rng.integers(lo, hi + 1))
        record = {"form": form, "shift": shift, "lo": lo, "hi": hi}
        constants = {"multiplier": m.astype(np.int32)}
        if form == "rne":
            record["zero"] = zero
        else:
            offset = np.full(channels, ((1 << shift) >> 1) + zero * (1 << shift), np.int64)
            if not rounded and rng.random() < 0.5:
                offset = offset + rng.integers(0, max(1, (1 << shift) // 2 + 1), channels)
            constants["offset"] = offset
        return record, constants

    def maxpool2d(self, kernel=(2, 2), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0)) -> Builder:
        x = self.x
        c, out = x.shape[0], self._pooled(kernel, strides, dilations, pads)
        least = type_range(x.bits, x.signed)[0]
        y = self.edge((c, *out), x.bits, x.signed, least if any(pads) else x.lo, x.hi)
        params = {
            "kernel": list(kernel), "strides": list(strides), "dilations": list(dilations), "pads": list(pads),
            "pad_value": least,
        }  # fmt: skip
        return self.add("maxpool2d", y, params)

    def requantize(self, bits=8, signed=True, per_channel=True, form=None, **how) -> Builder:
        x = self.x
        out = self.edge(x.shape, bits, signed, layout=x.layout, **how)
        channels = x.shape[0] if per_channel else 1
        form = form or str(self.rng.choice(["rne", "affine"]))
        record, constants = self.record(x.lo, x.hi, out, channels, form, 20, negative=True)
        return self.add("requantize", out, {"requantize": record}, constants)

    def clamp(self, lo, hi) -> Builder:
        x = self.x
        out = self.edge(x.shape, x.bits, x.signed, lo, hi, layout=x.layout)
        record = {"form": "rne", "shift": 0, "zero": 0, "lo": lo, "hi": hi}
        return self.add("requantize", out, {"requantize": record}, {"multiplier": np.ones(1, np.int32)})

    def reshape(self, shape, name=None) -> Builder:
        x = self.x
        out = self.edge(shape, x.bits, x.signed, x.lo, x.hi, x.layout, name)
        return self.add("reshape", out, {"shape": list(shape)})

    def flatten(self) -> Builder:
        return self.reshape((math.prod(self.x.shape),))

    def plus(self, other: str, bits=8, signed=True, form=None, mb=(20, 20), lo=None, hi=None, name=None) -> Builder:
        """`last` + `other`, with multipliers of `mb` bits."""
        rng, a, b = self.rng, self.x, self.edges[other]
        out = self.edge(a.shape, bits, signed, lo, hi, a.layout, name)
        multiplier = [int(rng.integers(1 << (n - 1), 1 << n)) for n in mb]
        if rng.random() < 0.3:
            multiplier = [1 << (n - 1) for n in mb]  # ties are reached
        reach = sum(m * max(abs(e.lo), abs(e.hi)) for m, e in zip(multiplier, (a, b), strict=True))
        shift = max(0, reach.bit_length() - (out.hi - out.lo + 1).bit_length() - int(rng.integers(-1, 3)))
        form = form or str(rng.choice(["rne", "affine"]))
        zero, offset = int(rng.integers(out.lo, out.hi + 1)), int(rng.integers(-reach // 8, reach // 8 + 1))
        record = {"form": form, "shift": shift, "zero": zero, "lo": out.lo, "hi": out.hi}
        if form == "affine":
            offset += ((1 << shift) >> 1) + (zero << shift)
        constants = {"multiplier": np.array(multiplier), "offset": np.array([offset], np.int64)}
        return self.add("add", out, {"requantize": record}, constants, (a.name, b.name))

    def avgpool2d(
        self, kernel=(2, 2), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0), classes=1, bits=8, signed=True,
        form=None, mb=24, name=None,
    ) -> Builder:  # fmt: skip
        """`classes`: different multipliers; None for one per number of taps inside the map."""
        rng, x, taps = self.rng, self.x, math.prod(kernel)
        size = self._pooled(kernel, strides, dilations, pads)
        pad = int(rng.integers(x.lo, x.hi + 1))
        reach = max(abs(x.lo), abs(x.hi)) * taps
        bias = int(rng.integers(-reach - 9, reach + 10))
        acc_lo, acc_hi = bias + min(0, x.lo * taps), bias + max(0, x.hi * taps)
        acc_bits = max(acc_hi.bit_length(), (~acc_lo).bit_length(), 1) + 1
        count_class = rng.integers(0, classes or 1, size)
        if classes is None:
            ones = np.pad(np.ones(x.shape[1:], np.int64), (pads[::2], pads[1::2]))
            window = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
            view = np.lib.stride_tricks.sliding_window_view(ones, window)
            counts = view[:: strides[0], :: strides[1], :: dilations[0], :: dilations[1]].sum((2, 3))
            found, count_class = np.unique(counts, return_inverse=True)
            classes, count_class = len(found), count_class.reshape(counts.shape)
        out = self.edge((x.shape[0], *size), bits, signed, name=name)
        record, constants = self.record(acc_lo, acc_hi, out, classes, form, mb)
        if "offset" in constants:
            constants["offset"] = constants["offset"][:1]
        params = {
            "kernel": list(kernel), "strides": list(strides), "dilations": list(dilations), "pads": list(pads),
            "pad_value": pad, "acc_bits": acc_bits, "acc_lo": acc_lo, "acc_hi": acc_hi, "requantize": record,
        }  # fmt: skip
        return self.add("avgpool2d", out, params, constants | {"bias": np.array([bias]), "count_class": count_class})

    def global_average(self, **how) -> Builder:
        return self.avgpool2d(self.x.shape[1:], (1, 1), **how)

    def concat(self, others, axis=0, name=None) -> Builder:
        """`last` and `others`, edges of one type."""
        names = (self.last, *others)
        edges = [self.edges[n] for n in names]
        shape = list(self.x.shape)
        shape[axis] = sum(e.shape[axis] for e in edges)
        lo, hi = min(e.lo for e in edges), max(e.hi for e in edges)
        out = self.edge(tuple(shape), self.x.bits, self.x.signed, lo, hi, name=name)
        return self.add("concat", out, {"axis": axis}, inputs=names)

    def slice(self, start, stop, axis=0, name=None) -> Builder:
        x, shape = self.x, list(self.x.shape)
        shape[axis] = stop - start
        out = self.edge(tuple(shape), x.bits, x.signed, x.lo, x.hi, name=name)
        return self.add("slice", out, {"axis": axis, "start": start, "stop": stop})

    def repeat(self, axis, times, name=None) -> Builder:
        x, shape = self.x, list(self.x.shape)
        shape[axis] *= times
        out = self.edge(tuple(shape), x.bits, x.signed, x.lo, x.hi, name=name)
        return self.add("repeat", out, {"axis": axis, "times": times})

    def shuffle(self, order=None, groups=None, name=None) -> Builder:
        """`order`, or as ShuffleNet does it with `groups`, or at random."""
        x = self.x
        n = x.shape[0]
        if order is None:
            order = np.arange(n).reshape(groups, -1).T.ravel() if groups else self.rng.permutation(n)
        out = self.edge(x.shape, x.bits, x.signed, x.lo, x.hi, x.layout, name)
        return self.add("shuffle", out, {}, {"order": np.asarray(order, np.int64)})

    def softmax(self, axes=(0,), scale=0.05, fraction=8, zero=-128, bits=8, signed=True, name=None) -> Builder:
        """Tables as `lower` makes them for inputs of `scale`."""
        x = self.x
        self.edges[x.name] = x = replace(x, scale_bits=int(np.float32(scale).view(np.uint32)))
        width, split, coarse, fine = tables(x, fraction, math.prod(x.shape[a] for a in axes))
        lo, hi = max(zero, type_range(bits, signed)[0]), min(zero + (1 << fraction), type_range(bits, signed)[1])
        out = self.edge(x.shape, bits, signed, lo, hi, x.layout, name)
        params = {
            "axes": list(axes), "bits": width, "fraction": fraction, "split": split, "zero": zero, "lo": lo, "hi": hi,
        }  # fmt: skip
        return self.add("softmax", out, params, {"exp": coarse} | ({"exp_fine": fine} if split else {}))

    def pad(self, pads, name=None) -> Builder:
        x, (top, left, bottom, right) = self.x, pads
        value = int(self.rng.integers(x.lo, x.hi + 1))
        shape = (x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right)
        out = self.edge(shape, x.bits, x.signed, x.lo, x.hi, name=name)
        return self.add("pad", out, {"pads": list(pads), "pad_value": value})

    def transpose(self, perm, name=None) -> Builder:
        """Needs a layout that stays one: channels-last and row-major ones do."""
        x = self.x
        layout = transposed(x.layout, x.shape, tuple(perm))
        out = self.edge(tuple(x.shape[axis] for axis in perm), x.bits, x.signed, x.lo, x.hi, layout, name)
        return self.add("transpose", out, {"perm": list(perm)})

    def reorder(self, layout=None, name=None) -> Builder:
        """Into the order that kernels take, unless told another."""
        x = self.x
        out = self.edge(x.shape, x.bits, x.signed, x.lo, x.hi, layout or usual(x.shape), name)
        return self.add("reorder", out, {})

    def argmax(self, axis=0, keepdims=False, name=None) -> Builder:
        x = self.x
        shape = list(x.shape)
        n = shape[axis]
        shape[axis : axis + 1] = [1] if keepdims else []
        bits = max(1, (n - 1).bit_length())
        out = self.edge(tuple(shape), bits, False, 0, n - 1, Layout.row_major(shape), name)
        self.edges[out.name] = Edge(out.name, out.shape, bits, False, 0, n - 1, ONE, 0, out.layout)
        return self.add("argmax", out, {"axis": axis, "keepdims": keepdims})


def samples(program: Program, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs over the whole declared range; the first two samples are its ends."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in program.inputs:
        e = program.edges[name]
        x = rng.integers(e.lo, e.hi, (n, *e.shape), endpoint=True, dtype=np.int64)
        x[0] = e.lo
        x[1:2] = e.hi
        found[name] = x.astype(e.dtype)
    return found


def lenet5(seed: int = 5) -> Program:
    """The shapes of LeNet-5 (Caffe) with random weights."""
    b = Builder(np.random.default_rng(seed)).input((1, 28, 28), name="image")
    how = {"form": "affine", "mb": 31}
    b.conv2d(20, (5, 5), **how).maxpool2d().conv2d(50, (5, 5), **how).maxpool2d().flatten()
    return b.dense(500, lo=0, **how).dense(10, name="logits", **how).program()


def ternary_map(seed: int = 6) -> Program:
    """A convolution with ternary weights, small beside its map: as many windows at once as there are kernels for."""
    rng = np.random.default_rng(seed)
    return Builder(rng).input((1, 28, 28)).conv2d(8, (5, 5), weight=rng.integers(-1, 2, (8, 1, 5, 5))).program()


def c_product(program: Program, folder, name: str = "net", stored=None, **options):
    """The C product of a Program in `folder` (without a model) -> Built. `options` go to the plan."""
    from hwcomp.backends.base import Product
    from hwcomp.backends.c import CBackend
    from hwcomp.verify.engine import Built
    from sw_ref import interp

    backend = CBackend()
    stored = samples(program, 2) if stored is None else stored
    facts = Product(name, ("a test",), stored, interp.run(program, stored))
    for path, content in backend.emit(program, backend.plan(program, options), facts).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Built(folder, {"name": name}, program)


def assert_all_equal(built, engine, count: int = 8, seed: int = 0) -> None:
    """Every tensor of the Program, with taps, and the outputs without: equal to the interpreter, types included."""
    from sw_ref import interp

    stored, seen = samples(built.program, count, seed), {}
    interp.run(built.program, stored, seen.__setitem__)
    found = engine.run(built, stored, True).values
    assert set(found) == set(seen)
    for name, value in seen.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    plain = engine.run(built, stored, False).values
    for name in built.program.outputs:
        np.testing.assert_array_equal(plain[name], seen[name])


def assert_all_equal_on_m4(built) -> None:
    """The same of two samples on the simulated Cortex-M4, where there is a compiler for it."""
    if shutil.which("arm-none-eabi-gcc"):
        from hwcomp.verify.m4 import CM4

        assert_all_equal(built, CM4(), 2)
