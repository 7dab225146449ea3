"""Target fpga: (Program, DataflowPlan) -> plain Verilog-2005 that instantiates the hand-written cells."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hwcomp.backends import _verilog_costs as costs
from hwcomp.backends import _verilog_engines as engines
from hwcomp.backends import _verilog_vectors as vectors
from hwcomp.backends import _verilog_wired as wired
from hwcomp.backends import _verilog_wiring as wiring
from hwcomp.backends import _verilog_zeros as zeros
from hwcomp.backends._dataflow_ports import interface, masters, slaves
from hwcomp.backends._verilog_netlist import Netlist, Nets, master, slave
from hwcomp.backends.base import Backend, Product, refuse_kinds
from hwcomp.names import comment
from hwcomp.plan import unrolled
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import DOTS, check_dataflow, plan_dataflow
from hwcomp.plan.estimate import luts
from hwcomp.plan.folding import STEPS
from hwcomp.plan.stages import ALIASES, OUTPUT, DataflowPlan, Stage
from hwcomp.plan.timing import frame_latency
from hwcomp.registry import backend
from hwcomp.templates_dir import templates
from sw_ref.program import Program

_CELL = re.compile(r"^\s*(hwc_\w+)\s*#", re.MULTILINE)


_STEPS = {"xc7": STEPS, "ecp5": 0, "ice40": 0}
"""Of hwc_popcount, by family: measured, docs/hardware.md, "Counting bits"."""


@backend
class Verilog(Backend):
    target = "fpga"
    folder = "rtl"
    kinds = frozenset((*engines.BUILDERS, *ALIASES))

    def supports(self, program: Program) -> None:
        refuse_kinds(program, self.target, self.kinds)
        check_dataflow(program)

    def plan(self, program: Program, options: dict[str, Any]) -> DataflowPlan:
        return plan_dataflow(
            program, options.get("pe_simd_budget"), bool(options.get("least_fifos")),
            unrolled.chosen(program, options.get("unroll", ())), _STEPS[family := options.get("fpga_family", "xc7")],
            logic=FAMILIES[family],
        )  # fmt: skip

    def emit(self, program: Program, plan: DataflowPlan, product: Product) -> dict[str, str | bytes]:
        netlist = Netlist(product.name)
        edge_nets = _build(netlist, program, plan)
        taps = [(i, edge_nets[n]) for i, n in enumerate(program.edges) if n in edge_nets]
        top = f"{product.name}_top"
        modules = {
            f"{name}.v": _ENV.get_template(template).render(v, banner=product.banner)
            for name, (template, v) in netlist.modules.items()
        }
        inside = {cell for text in modules.values() for cell in _CELL.findall(text)}
        cells = _closure(netlist.cells - netlist.modules.keys() | inside)
        names = [f"{c}.v" for c in sorted(cells)] + sorted(modules) + [f"{top}.v"]
        values = {
            "name": product.name, "top": top, "banner": product.banner, "netlist": netlist, "plan": plan, "taps": taps,
            "inputs": slaves(plan), "outputs": masters(plan),
            "layers": [_layer_line(program, s) for s in plan.stages], "sources": names,
            "frames": len(next(iter(product.golden_in.values()))),
        }  # fmt: skip
        files: dict[str, str | bytes] = {f"rtl/{c}.v": text for c, text in cells.items()}
        files |= {f"rtl/{name}": text for name, text in modules.items()}
        for template, path in (
            ("top.v.j2", f"rtl/{top}.v"), ("tb.v.j2", "rtl/tb.v"), ("core.j2", f"rtl/{product.name}.core"),
            ("files.f.j2", f"rtl/{product.name}.f"), ("README.md.j2", "rtl/README.md"),
        ):  # fmt: skip
            files[path] = _ENV.get_template(template).render(values)
        files |= {f"rtl/mem/{name}": text for name, text in netlist.roms.items()}
        files |= vectors.memories(program, plan, product)
        return files

    def report(self, program: Program, plan: DataflowPlan) -> dict[str, Any]:
        stages = []
        for s in plan.stages:
            kernel = program.kernels[s.kernel]
            fold = asdict(s.fold) if s.fold else None
            stages.append(
                {
                    "kernel": kernel.name, "kind": kernel.kind, "nodes": list(kernel.origin), "beats": s.beats,
                    "lanes": costs.dot_lanes(kernel, s), "fold": fold, "out_lanes": s.out.lanes,
                    "fifo_words": [source.depth for source in s.sources],
                    "rom_bits": costs.rom_bits(program, s), **costs.weight_bits(program, s), "skipped": costs.skipped(program, s),
                    "buffer_bits": costs.buffer_bits(program, s),
                    "multipliers": costs.multipliers(program, s), **costs.weights(program, s), **wired.facts(program, s),
                    "sparse": zeros.of(program, plan, s),
                }
            )  # fmt: skip
        fifos = costs.fifos(program, plan)
        dots = sum(s["kind"] in DOTS for s in stages)
        bits = sum(s["buffer_bits"] for s in stages) + sum(costs.source_bits(p.source) for p in plan.outputs)
        return {
            "budget": plan.budget, "lanes": plan.lanes, "interval": plan.interval,
            "latency_estimate": frame_latency(program, plan),
            "rom_bits": sum(s["rom_bits"] for s in stages),
            "buffer_bits": bits, "lut_estimate": luts(plan.lanes, dots, len(stages) - dots, bits, costs.logic(program, plan)),
            "multipliers": sum(s["multipliers"] for s in stages),
            "fifos": fifos, "fifo_bits": sum(f["bits"] for f in fifos), "fifos_are_least": plan.least_fifos,
            "stages": stages,
            "interface": interface(plan),
        }  # fmt: skip


_ENV = Environment(
    loader=FileSystemLoader(templates() / "verilog"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    keep_trailing_newline=True,
)  # fmt: skip
_ENV.filters["comment"] = comment


def _layer_line(program: Program, stage: Stage) -> str:
    kernel, lanes = program.kernels[stage.kernel], "-"
    if costs.dot_lanes(kernel, stage):
        lanes = "unrolled" if stage.fold.unrolled else f"{stage.fold.pe} PE x {stage.fold.dot} SIMD"
    return f"{kernel.name:14} {stage.beats:9} beats  {lanes:18} {comment(', '.join(kernel.origin))}"


def _build(netlist: Netlist, program: Program, plan: DataflowPlan) -> dict[str, Nets]:
    """All sections; returns the nets of each edge that has some of its own, by edge name."""
    nets: dict[str, Nets] = {}
    branches: dict[tuple[int, int], Nets] = {}  # who reads -> what it reads
    index = {name: i for i, name in enumerate(program.edges)}
    readers = plan.readers()

    def made(edge: str, stream: Nets) -> None:
        nets[edge] = stream
        branches.update(zip(readers[edge], wiring.fork(netlist, stream, len(readers[edge])), strict=True))

    for i, (port, p) in enumerate(zip(plan.inputs, slaves(plan), strict=True)):
        netlist.section(
            f"Input {comment(port.edge)}: {p['lanes']} lanes of {p['bits']} bits, {p['beats']} beats per frame"
        )
        stream = netlist.nets(f"e{index[port.edge]}", port.outer.width)
        ports = {f"{n}_i": f"{p['prefix']}_{n}" for n in ("tvalid", "tlast")}
        ports |= {"tdata_i": f"{p['prefix']}_tdata[{p['width'] - 1}:0]", "tready_o": f"{p['prefix']}_tready"}
        ports |= {**master(stream), "frame_err_o": f"frame_err[{i}]"}
        netlist.instance("hwc_axis_in", f"in{i}", {"DW": p["width"], "BEATS": p["beats"]}, ports)
        made(port.edge, stream)
    for stage in plan.stages:
        edge = program.kernels[stage.kernel].outputs[0]
        sources = [branches[stage.kernel, i] for i in range(len(stage.sources))]
        made(edge, engines.build(netlist, program, stage, sources, f"e{index[edge]}"))
    for i, (port, p) in enumerate(zip(plan.outputs, masters(plan), strict=True)):
        netlist.section(
            f"Output {comment(port.edge)}: {p['lanes']} lanes of {p['bits']} bits, {p['beats']} beats per frame"
        )
        last = wiring.arrive(netlist, port.source, branches[OUTPUT, i], f"out{i}")
        ports = {f"{n}_o": f"{p['prefix']}_{n}" for n in ("tvalid", "tlast")}
        ports |= {
            "tdata_o": f"{p['prefix']}_tdata[{p['width'] - 1}:0]", "tready_i": f"{p['prefix']}_tready", **slave(last),
        }  # fmt: skip
        netlist.instance("hwc_axis_out", f"out{i}", {"DW": p["width"], "BEATS": p["beats"]}, ports)
    return nets


def _closure(cells: set[str]) -> dict[str, str]:
    """Text of the cells and of all cells that they instantiate, by name."""
    texts: dict[str, str] = {}
    todo = sorted(cells)
    while todo:
        cell = todo.pop()
        if cell in texts:
            continue
        path = templates() / "verilog" / f"{cell}.v"
        path = path if path.exists() else templates() / "prim" / "verilog" / f"{cell}.v"
        texts[cell] = path.read_text(encoding="utf-8")
        todo += sorted(set(_CELL.findall(texts[cell])) - texts.keys() - {cell})
    return texts
