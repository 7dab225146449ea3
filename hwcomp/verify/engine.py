"""What an engine is: something that runs a compiled folder on integers and returns integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp.pixels import Pixels
from sw_ref.program import Program

Progress = Callable[[int], None]  # called with the number of samples just finished


@dataclass(frozen=True)
class Built:
    """A compiled folder, loaded: `dir` as given on the command line, its manifest and its Program."""

    dir: Path
    manifest: dict[str, Any]
    program: Program

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def pixels(self) -> dict[str, Pixels]:
        """The inputs that hold raw pixels."""
        types = self.manifest.get("options", {}).get("input_types", {})
        return {name: Pixels.from_json(data) for name, data in types.items()}


@dataclass
class RunResult:
    """`values`: edge name -> logical integers [samples, *shape]; outputs always, every edge with taps.

    `stats`: exact counts of this run (instructions, cycles, stack bytes ...), JSON values.
    """

    values: dict[str, np.ndarray]
    stats: dict[str, Any] = field(default_factory=dict)


class Engine:
    """`name` as in `--engine`; `target` is the product folder it needs ("mcu", "fpga") or None."""

    name: str
    target: str | None = None
    # The most samples that `verify` gives it when the user names no number: simulators are slow.
    default_samples = 1000

    def missing(self) -> str:
        """Empty where the tools are installed, else which are missing and how to get them."""
        return ""

    def run(
        self, built: Built, inputs: dict[str, np.ndarray], taps: bool, progress: Progress = lambda n: None
    ) -> RunResult:
        """Integers [samples, *shape] by input name -> results. May build into a cache outside `built.dir`."""
        raise NotImplementedError
