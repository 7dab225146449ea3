"""What a backend is, and the facts besides Program and plan that generated files carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwcomp.errors import UnsupportedError
from sw_ref.program import Kernel, Program


@dataclass(frozen=True)
class Product:
    """Facts for the generated text.

    `name`: a legal C and Verilog identifier. `banner`: lines for the head of every file (tool version, model hash,
    options, proof, licence). `golden_in`, `golden_out`: stored integers [samples, *shape] by edge name, for self-tests.
    """

    name: str
    banner: tuple[str, ...]
    golden_in: dict[str, np.ndarray]
    golden_out: dict[str, np.ndarray]


class Backend:
    """`target` is the command-line name, `folder` the product folder that `emit` fills, `kinds` the kernels it prints."""

    target: str
    folder: str
    kinds: frozenset[str]

    def supports(self, program: Program) -> None:
        """Raise UnsupportedError naming the first kernel that this backend can't print, its ONNX node and who can."""
        raise NotImplementedError

    def plan(self, program: Program, options: dict[str, Any]) -> Any:
        """How this target executes the Program. Never changes a bit. WorkFailed where a budget can't be met."""
        raise NotImplementedError

    def emit(self, program: Program, plan: Any, product: Product) -> dict[str, str | bytes]:
        """Relative path (inside DIR) -> content. Deterministic."""
        raise NotImplementedError

    def report(self, program: Program, plan: Any) -> dict[str, Any]:
        """JSON facts for the report: bytes, cycles, lanes per kernel. No wall-clock figure."""
        raise NotImplementedError


def refuse_kinds(program: Program, target: str, kinds: frozenset[str]) -> None:
    """UnsupportedError for the first kernel that is not of one of these kinds, of a back end that prints no other."""
    for kernel in program.kernels:
        if kernel.kind not in kinds:
            raise _refusal(kernel, f"kernel {kernel.kind}", target)


def _refusal(kernel: Kernel, what: str, target: str) -> UnsupportedError:
    node = kernel.origin[0] if kernel.origin else kernel.name
    return UnsupportedError(f"{what} is not available for target {target}", node=node, fix="use target mcu")
