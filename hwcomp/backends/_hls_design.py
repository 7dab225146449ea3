"""An HLS design as data for the templates: streams, calls of the cell functions in order of the data, constant arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sw_ref.program import Edge


def integer(bits: int, signed: bool) -> str:
    """The C++ type of an integer of exactly so many bits."""
    return f"hwc_int<{bits}, {_literal(signed)}>"


def element(edge: Edge) -> str:
    """The C++ type of an element of `edge`; a bit that stands for -1 or +1 is unsigned."""
    return integer(edge.bits, edge.signed and not edge.bipolar)


@dataclass
class Net:
    """A stream of beats of `lanes` integers of C++ type `element`; `beats` per frame, room for `depth` of them."""

    name: str
    element: str
    lanes: int
    beats: int
    depth: int = 0

    @property
    def type(self) -> str:
        return f"hwc_beat<{self.element}, {self.lanes}>"


@dataclass(frozen=True)
class Rom:
    """A constant array [words, lanes] of integers of `bits` bits."""

    name: str
    bits: int
    signed: bool
    values: np.ndarray

    @property
    def native(self) -> str:
        """The C type that holds an element where no exact width is needed."""
        size = next(n for n in (8, 16, 32, 64) if n >= self.bits)
        return f"{'int' if self.signed else 'uint'}{size}_t"


@dataclass(frozen=True)
class Call:
    """A process: function `cell` with template arguments, on streams and constant arrays."""

    cell: str
    params: tuple[str, ...]
    args: tuple[str, ...]


@dataclass(frozen=True)
class Tap:
    """Where the stream of edge number `edge` can be watched."""

    edge: int
    net: Net


@dataclass
class Section:
    """One engine: a comment, the streams it makes, its calls and taps in order."""

    comment: tuple[str, ...]
    nets: list[Net] = field(default_factory=list)
    steps: list[Call | Tap] = field(default_factory=list)


@dataclass
class Design:
    """Grows section by section. `headers`: the cells in use."""

    sections: list[Section] = field(default_factory=list)
    roms: list[Rom] = field(default_factory=list)
    headers: set[str] = field(default_factory=set)

    def section(self, *comment: str) -> None:
        self.sections.append(Section(comment))

    def net(self, name: str, element: str, lanes: int, beats: int) -> Net:
        made = Net(name, element, lanes, beats)
        self.sections[-1].nets.append(made)
        return made

    def call(self, header: str, cell: str, params: list[object], args: list[str]) -> None:
        self.sections[-1].steps.append(Call(cell, tuple(map(_literal, params)), tuple(args)))
        self.headers.add(header)

    def tap(self, edge: int, net: Net) -> None:
        self.sections[-1].steps.append(Tap(edge, net))

    def rom(self, name: str, bits: int, signed: bool, values: np.ndarray) -> str:
        self.roms.append(Rom(name, bits, signed, values))
        return name


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 31 else _wide(value)
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no template argument")


def _wide(value: int) -> str:
    return "(-9223372036854775807LL - 1)" if value == -(1 << 63) else f"{value}LL"
