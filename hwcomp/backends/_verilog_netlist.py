"""A netlist of cells as data for the top template: streams are three nets, cells are wired end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MemFile:
    """A parameter that names a file in the folder of ROM files (top parameter MEM_DIR)."""

    name: str


@dataclass(frozen=True)
class Sized:
    """A parameter that needs more than 32 bits: `value` in two's complement of `bits`."""

    value: int
    bits: int


@dataclass(frozen=True)
class Nets:
    """Nets NAME_valid, NAME_ready, NAME_data of a stream of `width` bits."""

    name: str
    width: int


@dataclass(frozen=True)
class Instance:
    cell: str
    name: str
    params: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, str], ...]


@dataclass
class Section:
    """One engine: a comment, the nets it makes, its cells, nets that are joined (left = right), streams nobody reads."""

    comment: tuple[str, ...]
    nets: list[Nets] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    assigns: list[tuple[str, str]] = field(default_factory=list)
    unread: list[Nets] = field(default_factory=list)


@dataclass
class Netlist:
    """Grows section by section. `roms`: text of each ROM file by name; `cells`: the cell types in use; `modules`: the
    template of an unrolled layer and what it takes, by the name of the module, which begins with `prefix`."""

    prefix: str = ""
    sections: list[Section] = field(default_factory=list)
    modules: dict[str, tuple[str, dict[str, object]]] = field(default_factory=dict)
    roms: dict[str, str] = field(default_factory=dict)
    cells: set[str] = field(default_factory=set)

    def section(self, *comment: str) -> Section:
        self.sections.append(Section(comment))
        return self.sections[-1]

    def nets(self, name: str, width: int) -> Nets:
        made = Nets(name, width)
        self.sections[-1].nets.append(made)
        return made

    def instance(
        self, cell: str, name: str, params: dict[str, object], ports: dict[str, str], *, clocked: bool = True
    ) -> None:
        texts = tuple((k, _literal(v)) for k, v in params.items())
        clock = {"clk_i": "clk_i", "rst_ni": "rst_ni"} if clocked else {}
        self.sections[-1].instances.append(Instance(cell, f"u_{name}", texts, tuple({**clock, **ports}.items())))
        self.cells.add(cell)

    def stage(self, cell: str, source: Nets, name: str, width: int, params: dict[str, object]) -> Nets:
        """A cell from stream `source` to the new stream `name`."""
        made = self.nets(name, width)
        self.instance(cell, name, params, {**slave(source), **master(made)})
        return made

    def rom(self, name: str, text: str) -> MemFile:
        self.roms[name] = text
        return MemFile(name)


def slave(nets: Nets) -> dict[str, str]:
    return {"s_valid_i": f"{nets.name}_valid", "s_ready_o": f"{nets.name}_ready", "s_data_i": f"{nets.name}_data"}


def master(nets: Nets) -> dict[str, str]:
    return {"m_valid_o": f"{nets.name}_valid", "m_ready_i": f"{nets.name}_ready", "m_data_o": f"{nets.name}_data"}


def pair(
    netlist: Netlist, cell: str, params: dict[str, object], sources: Sequence[Nets], name: str, width: int
) -> Nets:
    """A cell from two streams, a and b, to the new stream `name`."""
    made = netlist.nets(name, width)
    ports = master(made)
    for letter, source in zip("ab", sources, strict=True):
        ports |= {
            f"{letter}_valid_i": f"{source.name}_valid", f"{letter}_ready_o": f"{source.name}_ready",
            f"{letter}_data_i": f"{source.name}_data",
        }  # fmt: skip
    netlist.instance(cell, name, params, ports)
    return made


def _literal(value: object) -> str:
    if isinstance(value, MemFile):
        return f'{{MEM_DIR, "/{value.name}"}}'
    if isinstance(value, Sized):
        return f"{value.bits}'h{value.value & ((1 << value.bits) - 1):x}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no Verilog parameter")
    return str(value)
