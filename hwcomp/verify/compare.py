"""Compare every tensor of an engine with the interpreter's; find the first that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwcomp import npz
from hwcomp.errors import HwcompError, MissingToolError, shown
from hwcomp.verify.engine import Built, Engine, Progress
from hwcomp.verify.reference import run_program
from sw_ref.program import Program

_CHUNK_ELEMENTS = 1 << 26  # elements of all tensors that are compared at once
_LEAST_CHUNK = 32


@dataclass(frozen=True)
class Difference:
    """The first differing tensor in execution order: where, both values, and the ONNX nodes that made it."""

    tensor: str
    sample: int
    index: tuple[int, ...]
    expected: int
    got: int
    count: int
    nodes: tuple[str, ...]

    def text(self) -> str:
        made = ", ".join(f"'{shown(n)}'" for n in self.nodes) or "the input"
        return (
            f"tensor '{shown(self.tensor)}' (from {made}) is the first that differs: sample {self.sample}, index "
            f"{list(self.index)}: {self.got}, expected {self.expected}; {self.count} elements differ in it"
        )


@dataclass(frozen=True)
class Outcome:
    """`status`: "equal", "differs" or "not run" (then `detail` says why). `tensors`, `elements`: how much was compared."""

    engine: str
    status: str
    samples: int = 0
    tensors: int = 0
    elements: int = 0
    detail: str = ""
    difference: Difference | None = None
    stats: dict[str, Any] = field(default_factory=dict)


def first_difference(
    program: Program, expected: dict[str, np.ndarray], got: dict[str, np.ndarray]
) -> Difference | None:
    for name in program.edges:
        if name not in got:
            continue
        want, have = expected[name], got[name]
        if have.shape != want.shape:
            raise ValueError(f"{name!r}: the engine returned shape {have.shape}, not {want.shape}")
        unequal = want.astype(np.int64) != have.astype(np.int64)
        if unequal.any():
            where = tuple(int(i) for i in np.argwhere(unequal)[0])
            producer = program.producer(name)
            nodes = producer.origin if producer else ()
            return Difference(name, where[0], where[1:], int(want[where]), int(have[where]), int(unequal.sum()), nodes)
    return None


def verify(
    built: Built, inputs: dict[str, np.ndarray], engines: list[Engine], limits: dict[str, int] | None = None,
    progress_for: Callable[[str, int], Progress] = lambda name, total: lambda n: None,
) -> list[Outcome]:  # fmt: skip
    """Run `inputs` (stored integers) on every engine with all taps, in the order given.

    `limits`: most samples per engine name. An engine whose product or tools are missing is "not run". Samples are taken
    in chunks, so that memory does not grow with their number.
    """
    total = len(next(iter(inputs.values())))
    runs = []
    for engine in engines:
        count = min(total, (limits or {}).get(engine.name, engine.default_samples))
        runs.append(_Run(built, engine, count, progress_for(engine.name, count)))
    step = max(_LEAST_CHUNK, _CHUNK_ELEMENTS // sum(e.size for e in built.program.edges.values()))
    for start in range(0, max((r.count for r in runs if r.open), default=0), step):
        chunk = {n: a[start : start + step] for n, a in inputs.items()}
        expected = run_program(built.program, chunk, taps=True)
        for run in runs:
            run.compare(start, chunk, expected)
    return [run.outcome() for run in runs]


class _Run:
    """One engine's comparison, growing chunk by chunk until a difference or the end."""

    def __init__(self, built: Built, engine: Engine, count: int, progress: Progress):
        self.built, self.engine, self.count, self.progress = built, engine, count, progress
        self.samples = self.tensors = self.elements = 0
        self.stats: dict[str, Any] = {}
        self.final: Outcome | None = None
        if engine.target and engine.target not in built.manifest["options"]["targets"]:
            self.final = Outcome(engine.name, "not run", detail=f"the product was not compiled for {engine.target}")
        elif missing := engine.missing():
            self.final = Outcome(engine.name, "not run", detail=missing)
        elif engine.name == "reference":
            self.final = _against_golden(built)

    @property
    def open(self) -> bool:
        return self.final is None

    def compare(self, start: int, chunk: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
        """Run the samples of a chunk that begins at sample `start`, as many as this engine still has."""
        count = min(self.count - start, len(next(iter(chunk.values()))))
        if not self.open or count <= 0:
            return
        inputs = {n: a[:count] for n, a in chunk.items()}
        try:
            result = self.engine.run(self.built, inputs, taps=True, progress=self.progress)
        except MissingToolError as error:
            self.final = Outcome(self.engine.name, "not run", detail=str(error))
            return
        except (HwcompError, OSError) as error:  # it could not be built or loaded, or stopped
            self.final = self._outcome("not run", f"failed: {error}")
            return
        self.samples += count
        self.tensors = len(result.values)
        self.elements += sum(int(a.size) for a in result.values.values())
        self.stats = self.stats or result.stats
        absent = [name for name in self.built.program.edges if name not in result.values]
        if absent:
            self.final = self._outcome("not run", f"failed: tensor '{shown(absent[0])}' was not observed")
        elif found := first_difference(self.built.program, {n: a[:count] for n, a in expected.items()}, result.values):
            found = replace(found, sample=found.sample + start)
            self.final = self._outcome("differs", found.text(), found)

    def outcome(self) -> Outcome:
        return self.final or self._outcome("equal")

    def _outcome(self, status: str, detail: str = "", difference: Difference | None = None) -> Outcome:
        return Outcome(
            self.engine.name, status, self.samples, self.tensors, self.elements, detail, difference, self.stats
        )


def _against_golden(built: Built) -> Outcome:
    """The interpreter is the norm itself; what can be checked is that it still gives the outputs stored at the compile."""
    inputs = npz.load(built.dir / "vectors" / "inputs.npz")
    golden = npz.load(built.dir / "vectors" / "outputs.npz")
    got = run_program(built.program, inputs)
    found = first_difference(built.program, golden, got)
    elements = sum(int(a.size) for a in got.values())
    count = len(next(iter(inputs.values())))
    return Outcome(
        "reference", "differs" if found else "equal", count, len(got), elements, found.text() if found else "", found
    )
