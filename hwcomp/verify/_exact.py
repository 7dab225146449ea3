"""The exact value of a layer of the QDQ model, as a rational number, and how far float32 may stray from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from hwcomp.verify import _functions
from hwcomp.verify._qdq_layers import Layer
from sw_ref import numerics as nm

UNIT = 2.0**-24  # largest relative error of one float32 operation
# Roundings that reach every term: x and w dequantized, their product, the division by the scale of y, the scale's own
# two products, or the five of a BatchNormalization.
_ROUNDINGS = 8
_SOFTMAX_TABLE = 1 / 32  # docs/numerics.md, "Softmax"
_EXACT_BITS = 54  # integers that a float64 product holds exactly

Index = tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """A real tensor: `value(index)` exactly, `size` >= the sum of the magnitudes of its terms, `terms` added in a row.

    `integer` and `scale` are there while the value is still integer * scale. `table`: by how many steps of the output the
    Program itself may be off, because it takes what it rounds from a table.
    """

    value: Callable[[Index], Fraction]
    size: np.ndarray
    terms: int = 1
    integer: np.ndarray | None = None
    scale: Fraction = Fraction(1)
    table: float = 0.0


@dataclass
class Layered:
    """The exact result of a layer, in steps of its output's type, before rounding."""

    form: Form
    scale: Fraction
    zero: int
    least: int
    most: int

    def at(self, index: Index) -> Fraction:
        """Steps from the type's zero, limited to the type."""
        return min(max(self.form.value(index) / self.scale + self.zero, Fraction(self.least)), Fraction(self.most))

    def noise(self, index: Index, coarse: float = 0.0) -> float:
        """By how many steps a float32 computation of this element may be wrong, or one whose multipliers are rounded by
        up to `coarse` of their value.

        One rounding is at most UNIT of what it rounds. Those of single terms add up to _ROUNDINGS units of the sum of
        the terms' magnitudes. The sums of n terms are rounded n times, with errors of either sign that partly cancel:
        sqrt(n) units (Higham and Mary, 2019), where the worst case would be n.
        """
        units = _ROUNDINGS + math.sqrt(self.form.terms)
        return (UNIT * units + coarse) * float(self.form.size[index]) / float(self.scale) + self.form.table


@dataclass
class _Reader:
    """The cut model with its constants as arrays, and dequantized ones as (integers, scales, axis)."""

    layer: Layer
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    quantized: dict[str, tuple[np.ndarray, np.ndarray, int]] = field(default_factory=dict)

    def __post_init__(self):
        from onnx import numpy_helper

        self.arrays = {c.name: numpy_helper.to_array(c) for c in self.layer.model.graph.initializer}

    def fractions(self, name: str) -> np.ndarray:
        """A constant of the model as an object array of Fractions, dequantized or float."""
        if name not in self.quantized:
            a = self.arrays[name]
            return np.asarray([Fraction(float(v)) for v in a.ravel()], object).reshape(a.shape)
        q, scale, axis = self.quantized[name]
        shape = [1] * q.ndim
        shape[axis] = -1
        steps = np.broadcast_to(scale.reshape(shape), q.shape)
        pairs = zip(q.ravel(), steps.ravel(), strict=True)
        return np.asarray([int(v) * Fraction(float(s)) for v, s in pairs], object).reshape(q.shape)


def exact(layer: Layer, inputs: list[np.ndarray]) -> Layered | None:
    """The layer on integers [samples, *shape]; None where it only selects elements, so that nothing is rounded."""
    reader = _Reader(layer)
    given = {value.name: q for value, q in zip(layer.model.graph.input, inputs, strict=True)}
    forms: dict[str, Form] = {}
    for node in layer.model.graph.node:
        attrs = {a.name: a for a in node.attribute}
        if node.op_type == "DequantizeLinear":
            scale = reader.arrays[node.input[1]]
            if node.input[0] in reader.arrays:
                zero = reader.arrays[node.input[2]].reshape(-1)[0]  # one for all, as the export writes it
                q = reader.arrays[node.input[0]].astype(np.int64) - int(zero)
                reader.quantized[node.output[0]] = (q, scale, attrs["axis"].i)
            else:
                forms[node.output[0]] = _dequantized(given[node.input[0]], scale, int(reader.arrays[node.input[2]]))
        elif node.op_type == "QuantizeLinear":
            zero = reader.arrays[node.input[2]]
            info = np.iinfo(zero.dtype)
            scale = Fraction(float(reader.arrays[node.input[1]]))
            form = forms.get(node.input[0])
            return None if form is None else Layered(form, scale, int(zero), info.min, info.max)
        elif node.op_type not in _RULES:
            return None
        else:
            terms = [forms[name] for name in node.input if name in forms]
            forms[node.output[0]] = _RULES[node.op_type](*terms, node, attrs, reader)
    return None


def _dequantized(q: np.ndarray, scale: np.ndarray, zero: int) -> Form:
    integer, s = q.astype(np.int64) - zero, Fraction(float(scale))
    return Form(lambda i: int(integer[i]) * s, np.abs(integer) * float(s), 1, integer, s)


def _conv(x: Form, node, attrs, reader: _Reader) -> Form:
    def accumulate(data, weight):
        window = {name: tuple(attrs[name].ints) for name in ("strides", "dilations", "pads")}
        none, groups = np.zeros(len(weight), np.int64), attrs["group"].i
        return nm.conv2d_accumulate(data, weight, none, **window, groups=groups, pad_value=0, acc_bits=_EXACT_BITS)

    return _dot(x, node, reader, accumulate, axis=1)


def _dense(x: Form, node, attrs, reader: _Reader) -> Form:
    def accumulate(data, weight):
        rows = weight if node.op_type == "Gemm" else weight.T  # [M, K]
        return nm.exact_matmul(data, rows, _EXACT_BITS)

    return _dot(x, node, reader, accumulate, axis=x.integer.ndim - 1)


def _matmul(x: Form, *rest) -> Form:
    if len(rest) == 3:  # by a constant
        return _dense(x, *rest)
    y = rest[0]
    integer, scale = np.matmul(x.integer, y.integer), x.scale * y.scale
    size = np.matmul(np.abs(x.integer), np.abs(y.integer)) * float(scale)
    return Form(lambda i: int(integer[i]) * scale, size, x.integer.shape[-1], integer, scale)


def _layernorm(x: Form, node, attrs, reader: _Reader) -> Form:
    """In float64: 2^29 times finer than what it is compared with. A distance from the mean is wrong by a part of the largest
    element; a normalized value is at most sqrt(n), and the Program has it in steps of 2^-22 of that.
    """
    shape, axis = x.size.shape, attrs["axis"].i
    real = (x.integer * float(x.scale)).reshape(*shape[:axis], -1)
    constants = [reader.arrays[name].astype(np.float64).ravel() for name in node.input[1:]]
    gain, shift = constants[0], constants[1] if len(constants) > 1 else np.zeros(real.shape[-1])
    centred = real - real.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + attrs["epsilon"].f)
    y = (centred / deviation * gain + shift).reshape(shape)
    reach = np.abs(real).max(axis=-1, keepdims=True) / deviation + math.sqrt(real.shape[-1])
    size = (reach * np.abs(gain) + np.abs(shift)).reshape(shape)
    return Form(lambda i: Fraction(float(y[i])), size, real.shape[-1])


def _dot(x: Form, node, reader: _Reader, accumulate, axis: int) -> Form:
    if node.input[1] in reader.quantized:
        q, scale, _ = reader.quantized[node.input[1]]
    else:  # the ones of a window sum
        q = reader.arrays[node.input[1]].astype(np.int64)
        scale = np.ones(len(q))
    integer = accumulate(x.integer, q)
    reach = accumulate(np.abs(x.integer), np.abs(q.astype(np.int64)))
    steps = [x.scale * Fraction(float(s)) for s in scale]
    shape = [1] * integer.ndim
    shape[axis] = -1
    size = reach * np.asarray([float(s) for s in steps]).reshape(shape)
    form = Form(lambda i: int(integer[i]) * steps[i[axis]], size, q.size // len(scale))
    return _shifted(form, reader.fractions(node.input[2]).reshape(shape)) if len(node.input) > 2 else form


def _shifted(x: Form, by: np.ndarray) -> Form:
    added = np.broadcast_to(by, x.size.shape)
    return Form(lambda i: x.value(i) + added[i], x.size + np.abs(by).astype(np.float64), x.terms + 1)


def _add(x: Form, *rest) -> Form:
    if len(rest) == 3:  # a constant
        node, _, reader = rest
        return _shifted(x, reader.fractions(node.input[1]))
    y = rest[0]
    return Form(lambda i: x.value(i) + y.value(i), x.size + y.size, x.terms + y.terms)


def _sub(x: Form, y: Form, *rest) -> Form:
    return Form(lambda i: x.value(i) - y.value(i), x.size + y.size, x.terms + y.terms)


def _divided(x: Form, by: np.ndarray) -> Form:
    """`by`: positive integers that broadcast to the tensor."""
    divisors = np.broadcast_to(by, x.size.shape)
    return Form(lambda i: x.value(i) / int(divisors[i]), x.size / divisors, x.terms)


def _div(x: Form, node, attrs, reader: _Reader) -> Form:
    by = np.broadcast_to(reader.fractions(node.input[1]), x.size.shape)
    return Form(lambda i: x.value(i) / by[i], x.size / np.abs(by).astype(np.float64), x.terms)


def _average(x: Form, node, attrs, reader: _Reader) -> Form:
    """Window sums, divided by all taps or by those inside the tensor."""
    kernel, channels = tuple(attrs["kernel_shape"].ints), x.integer.shape[1]
    window = {"strides": tuple(attrs["strides"].ints), "pads": tuple(attrs["pads"].ints), "dilations": (1, 1)}

    def sums(data: np.ndarray) -> np.ndarray:
        ones, none = np.ones((channels, 1, *kernel), np.int64), np.zeros(channels, np.int64)
        return nm.conv2d_accumulate(data, ones, none, **window, groups=channels, pad_value=0, acc_bits=_EXACT_BITS)

    integer, taps = sums(x.integer), math.prod(kernel)
    form = Form(lambda i: int(integer[i]) * x.scale, sums(np.abs(x.integer)) * float(x.scale), taps)
    if "count_include_pad" in attrs and attrs["count_include_pad"].i:
        return _divided(form, np.int64(taps))
    return _divided(form, sums(np.ones_like(x.integer)))


def _reshape(x: Form, node, attrs, reader: _Reader) -> Form:
    old, wanted = x.size.shape, reader.arrays[node.input[1]].tolist()
    size = x.size.reshape([old[i] if n == 0 else n for i, n in enumerate(wanted)])

    def before(i: Index) -> Index:
        return tuple(int(n) for n in np.unravel_index(np.ravel_multi_index(i, size.shape), old))

    integer = None if x.integer is None else x.integer.reshape(size.shape)
    return replace(x, value=lambda i: x.value(before(i)), size=size, integer=integer)


def _softmax(x: Form, node, attrs, reader: _Reader) -> Form:
    """In float64: 2^29 times finer than what it is compared with. What a float32 distance from the largest is wrong by is
    a part of the exponential."""
    axis = attrs["axis"].i
    real = x.integer * float(x.scale)
    e = np.exp(real - real.max(axis=axis, keepdims=True))
    shares = e / e.sum(axis=axis, keepdims=True)
    size = shares * (1 + 2 * x.size.max(axis=axis, keepdims=True))
    return Form(lambda i: Fraction(float(shares[i])), size, real.shape[axis], table=_SOFTMAX_TABLE)


def _identity(x: Form, node, attrs, reader: _Reader) -> Form:
    return x


def _mul(x: Form, *rest) -> Form:
    if len(rest) == 3:  # a constant
        node, _, reader = rest
        factors = np.broadcast_to(reader.fractions(node.input[1]), x.size.shape)
        return Form(lambda i: x.value(i) * factors[i], x.size * np.abs(factors).astype(np.float64), x.terms)
    y = rest[0]

    def factor(i: Index) -> Fraction:
        return y.value(tuple(0 if n == 1 else k for k, n in zip(i, y.size.shape, strict=True)))

    return Form(lambda i: x.value(i) * factor(i), x.size * y.size, x.terms)


def _function(x: Form, node, attrs, reader: _Reader) -> Form:
    f, constants = _functions.function(node.op_type, {name: a.f for name, a in attrs.items()})
    return _applied(x, f, constants)


def _pow(x: Form, node, attrs, reader: _Reader) -> Form:
    exponent = float(reader.arrays[node.input[1]])
    return _applied(x, _functions.total(lambda v: math.pow(v, exponent)), 0.0)


def _applied(x: Form, f: _functions.Function, constants: float) -> Form:
    """f in float64: 2^29 times finer than what it is compared with. An error of x reaches it times the slope there."""
    shape = x.size.shape
    real = np.asarray([float(x.value(i)) for i in np.ndindex(*shape)]).reshape(shape)
    step = UNIT * x.size + 1e-30
    y, above, below = (np.vectorize(f, otypes=[float])(v) for v in (real, real + step, real - step))
    size = np.abs(y) + np.maximum(np.abs(above - y), np.abs(below - y)) / step * x.size + constants
    return Form(lambda i: Fraction(float(y[i])), size, x.terms)


def _batchnorm(x: Form, node, attrs, reader: _Reader) -> Form:
    """The square root is taken in float64: 2^29 times finer than what it is compared with."""
    scale, bias, mean, var = (reader.arrays[n].astype(np.float64) for n in node.input[1:])
    gain = scale / np.sqrt(var + attrs["epsilon"].f)
    shape = (-1, *[1] * (x.size.ndim - 2))
    size = x.size * np.abs(gain).reshape(shape) + (np.abs(mean * gain) + np.abs(bias)).reshape(shape)
    gains = [Fraction(float(g)) for g in gain]
    shifts = [Fraction(float(b)) - Fraction(float(m)) * g for b, m, g in zip(bias, mean, gains, strict=True)]
    return Form(lambda i: x.value(i) * gains[i[1]] + shifts[i[1]], size, x.terms + 1)


def _clip(x: Form, node, attrs, reader: _Reader) -> Form:
    ends = [None, None]
    for n, name in enumerate(node.input[1:]):
        ends[n] = Fraction(float(reader.arrays[name])) if name else None
    return _limited(x, *ends)


def _relu(x: Form, node, attrs, reader: _Reader) -> Form:
    return _limited(x, Fraction(0), None)


def _limited(x: Form, lo: Fraction | None, hi: Fraction | None) -> Form:
    def value(i: Index) -> Fraction:
        v = x.value(i) if lo is None else max(x.value(i), lo)
        return v if hi is None else min(v, hi)

    return replace(x, value=value, integer=None)


_RULES = {
    "Add": _add, "AveragePool": _average, "BatchNormalization": _batchnorm, "Clip": _clip, "Conv": _conv, "Div": _div,
    "Gemm": _dense, "Identity": _identity,
    "LayerNormalization": _layernorm, "MatMul": _matmul, "Mul": _mul, "Pow": _pow, "Relu": _relu, "Reshape": _reshape,
    "Softmax": _softmax, "Sub": _sub, **dict.fromkeys(_functions.NAMES, _function),
}  # fmt: skip
