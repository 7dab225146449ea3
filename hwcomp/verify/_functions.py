"""Functions of single elements for the exact value of a layer: in float64 by the math library, not by what made the tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Function = Callable[[float], float]
_MOST = 1e300  # stands for infinity

# Operator -> (function of x and the attributes, what float32 evaluations round besides x and the result: constants of
# this magnitude are added on the way).
_TABLE: dict[str, tuple[Callable[..., float], Callable[[dict], float]]] = {
    "Abs": (lambda x, a: abs(x), lambda a: 0),
    "Ceil": (lambda x, a: math.ceil(x), lambda a: 0),
    "Celu": (lambda x, a: max(x, 0) + min(0, a["alpha"] * math.expm1(x / a["alpha"])), lambda a: abs(a["alpha"])),
    "Elu": (lambda x, a: x if x >= 0 else a["alpha"] * math.expm1(x), lambda a: abs(a["alpha"])),
    "Erf": (lambda x, a: math.erf(x), lambda a: 0),
    "Exp": (lambda x, a: math.exp(x), lambda a: 0),
    "Floor": (lambda x, a: math.floor(x), lambda a: 0),
    "HardSigmoid": (lambda x, a: min(max(a["alpha"] * x + a["beta"], 0), 1), lambda a: abs(a["beta"])),
    "LeakyRelu": (lambda x, a: x if x >= 0 else a["alpha"] * x, lambda a: 0),
    "Log": (lambda x, a: math.log(x), lambda a: 0),
    "Neg": (lambda x, a: -x, lambda a: 0),
    "Reciprocal": (lambda x, a: 1 / x, lambda a: 0),
    "Round": (lambda x, a: round(x), lambda a: 0),
    "Selu": (
        lambda x, a: a["gamma"] * (x if x >= 0 else a["alpha"] * math.expm1(x)),
        lambda a: abs(a["alpha"] * a["gamma"]),
    ),
    "Sigmoid": (lambda x, a: 1 / (1 + math.exp(-x)), lambda a: 0.5),
    "Sign": (lambda x, a: (x > 0) - (x < 0), lambda a: 0),
    "Softplus": (lambda x, a: max(x, 0) + math.log1p(math.exp(-abs(x))), lambda a: 1),
    "Softsign": (lambda x, a: x / (1 + abs(x)), lambda a: 0),
    "Sqrt": (lambda x, a: math.sqrt(x), lambda a: 0),
    "Tanh": (lambda x, a: math.tanh(x), lambda a: 0),
    "ThresholdedRelu": (lambda x, a: x if x > a["alpha"] else 0, lambda a: 0),
}
NAMES = tuple(_TABLE)


def function(name: str, attrs: dict[str, Any]) -> tuple[Function, float]:
    """(the function, magnitude of the constants on the way) for an ONNX operator with real attributes `attrs`."""
    f, constants = _TABLE[name]
    return total(lambda x: f(x, attrs)), float(constants(attrs))


def total(f: Function) -> Function:
    """f, finite everywhere: what overflows or has a pole is very large, 0 outside the domain."""

    def g(x: float) -> float:
        try:
            return min(max(float(f(x)), -_MOST), _MOST)
        except OverflowError:
            return _MOST
        except (ValueError, ZeroDivisionError):
            return f(math.copysign(1e-300, x)) if x == 0 else 0.0

    return g
