"""Compare every tensor of an engine with the interpreter's; find the first that differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwcomp import npz
from hwcomp.errors import HwcompError, MissingToolError, shown
from hwcomp.verify.engine import Built, Engine, Progress
from hwcomp.verify.reference import run_program
from sw_ref.program import Program


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

    `limits`: most samples per engine name. An engine whose product or tools are missing is "not run".
    """
    limits = limits or {}
    total = len(next(iter(inputs.values())))
    counts = {e.name: min(total, limits.get(e.name, e.default_samples)) for e in engines}
    most = max(counts.values(), default=0)
    expected = run_program(built.program, {n: a[:most] for n, a in inputs.items()}, taps=True)
    return [
        _one(built, engine, inputs, expected, counts[engine.name], progress_for(engine.name, counts[engine.name]))
        for engine in engines
    ]


def _one(
    built: Built,
    engine: Engine,
    inputs: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    count: int,
    progress: Progress,
) -> Outcome:
    if engine.target and engine.target not in built.manifest["options"]["targets"]:
        return Outcome(engine.name, "not run", detail=f"the product was not compiled for {engine.target}")
    if missing := engine.missing():
        return Outcome(engine.name, "not run", detail=missing)
    if engine.name == "reference":
        return _against_golden(built)
    try:
        result = engine.run(built, {n: a[:count] for n, a in inputs.items()}, taps=True, progress=progress)
    except MissingToolError as error:
        return Outcome(engine.name, "not run", detail=str(error))
    except HwcompError as error:  # it was built and run, and failed
        return Outcome(engine.name, "differs", count, detail=str(error))
    absent = [name for name in built.program.edges if name not in result.values]
    if absent:
        return Outcome(engine.name, "differs", count, detail=f"tensor '{shown(absent[0])}' was not observed")
    want = {name: a[:count] for name, a in expected.items()}
    found = first_difference(built.program, want, result.values)
    elements = sum(int(a.size) for a in result.values.values())
    return Outcome(
        engine.name, "differs" if found else "equal", count, len(result.values), elements,
        found.text() if found else "", found, result.stats,
    )  # fmt: skip


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
