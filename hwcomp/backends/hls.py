"""Target hls: (Program, the DataflowPlan of Verilog) -> C++ for high-level synthesis, one templated function per cell."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Any

import jinja2
import numpy as np

from hwcomp import templates_dir
from hwcomp.backends import _hls_engines as engines
from hwcomp.backends import _hls_wiring as wiring
from hwcomp.backends import _verilog_costs as costs
from hwcomp.backends._dataflow_ports import interface, masters, slaves
from hwcomp.backends._hls_design import Design, Net, Rom, element
from hwcomp.backends.base import Backend, Product, refuse_kinds
from hwcomp.names import comment
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import check_dataflow, plan_dataflow
from hwcomp.plan.stages import ALIASES, OUTPUT, DataflowPlan, Port
from hwcomp.registry import backend
from sw_ref.program import Program

DEFAULT_DIALECT = "vitis"
_LOGIC = FAMILIES["xc7"]  # what codebooks are weighed with: an HLS tool does not say what it will build on
_INCLUDE = re.compile(r'^#include "(hwc_\w+)\.h"', re.MULTILINE)


@dataclass(frozen=True)
class HlsPlan:
    """The plan that Verilog has too, and the C++ dialect to print it in."""

    flow: DataflowPlan
    dialect: str


@backend
class Hls(Backend):
    target = "hls"
    folder = "hls"
    kinds = frozenset((*engines.BUILDERS, *ALIASES))

    def supports(self, program: Program) -> None:
        refuse_kinds(program, self.target, self.kinds)
        check_dataflow(program)

    def plan(self, program: Program, options: dict[str, Any]) -> HlsPlan:
        flow = plan_dataflow(
            program, options.get("pe_simd_budget"), bool(options.get("least_fifos")), skip=False, logic=_LOGIC
        )
        return HlsPlan(_coded(program, flow), options.get("hls_dialect", DEFAULT_DIALECT))

    def emit(self, program: Program, plan: HlsPlan, product: Product) -> dict[str, str | bytes]:
        design = build(program, plan.flow)
        ins, outs = slaves(plan.flow), masters(plan.flow)
        golden = [
            (f"{kind}{i}", p, _beats(program, port, data[port.edge]))
            for kind, ports, rows, data in (
                ("in", plan.flow.inputs, ins, product.golden_in), ("out", plan.flow.outputs, outs, product.golden_out),
            )
            for i, (port, p) in enumerate(zip(ports, rows, strict=True))
        ]  # fmt: skip
        values = {
            "dialect": f"hls/{plan.dialect}.j2", "kind": plan.dialect, "name": product.name, "top": f"{product.name}_top",
            "banner": product.banner, "design": design, "plan": plan.flow, "inputs": ins, "outputs": outs, "golden": golden,
            "frames": len(next(iter(product.golden_in.values()))),
        }  # fmt: skip
        headers = _closure(design.headers | {"hwc_axis"}, plan.dialect)
        values["headers"] = sorted(headers)
        files: dict[str, str | bytes] = {f"hls/{h}.h": text for h, text in headers.items()}
        for template, path in (
            ("top.h.j2", f"{product.name}_top.h"), ("top.cpp.j2", f"{product.name}_top.cpp"),
            ("weights.h.j2", f"{product.name}_weights.h"), ("golden.h.j2", f"{product.name}_golden.h"), ("tb.cpp.j2", "tb.cpp"),
            ("run_hls.tcl.j2", "run_hls.tcl"), ("README.md.j2", "README.md"),
        ):  # fmt: skip
            files[f"hls/{path}"] = environment().get_template(f"hls/{template}").render(values)
        return files

    def report(self, program: Program, plan: HlsPlan) -> dict[str, Any]:
        flow = plan.flow
        return {
            "dialect": plan.dialect, "budget": flow.budget, "lanes": flow.lanes, "interval": flow.interval,
            "rom_bits": sum(costs.rom_bits(program, s) for s in flow.stages),
            "multipliers": sum(costs.multipliers(program, s) for s in flow.stages),
            "stages": [
                {
                    "kernel": program.kernels[s.kernel].name, "rom_bits": costs.rom_bits(program, s),
                    **costs.weight_bits(program, s), "skipped": costs.skipped(program, s),
                }
                for s in flow.stages
            ],
            "interface": {**interface(flow), "dialect": plan.dialect},
        }  # fmt: skip


def _coded(program: Program, flow: DataflowPlan) -> DataflowPlan:
    """`flow` with codebooks only where an engine here takes them."""
    coded = [s.codebook is None or engines.multiplies(program, s) for s in flow.stages]
    stages = [s if c else replace(s, codebook=None) for s, c in zip(flow.stages, coded, strict=True)]
    return replace(flow, stages=tuple(stages))


def build(program: Program, plan: DataflowPlan) -> Design:
    """All sections, in an order in which every stream is written before it is read."""
    design = Design()
    branches: dict[tuple[int, int], Net] = {}  # who reads -> what it reads
    index = {name: i for i, name in enumerate(program.edges)}
    readers = plan.readers()

    def made(edge: str, net: Net) -> None:
        design.tap(index[edge], net)
        branches.update(zip(readers[edge], wiring.fork(design, net, len(readers[edge])), strict=True))

    for port, p in zip(plan.inputs, slaves(plan), strict=True):
        design.section(f"Input {comment(port.edge)}")
        net = design.net(f"e{index[port.edge]}", element(program.edges[port.edge]), p["lanes"], p["beats"])
        params = [net.element, p["bits"], net.lanes, net.beats, p["tdata"]]
        design.call("hwc_axis", "hwc_axis_in", params, [p["prefix"], net.name])
        made(port.edge, net)
    for stage in plan.stages:
        edge = program.kernels[stage.kernel].outputs[0]
        sources = [branches[stage.kernel, i] for i in range(len(stage.sources))]
        made(edge, engines.build(design, program, stage, sources, f"e{index[edge]}"))
    for i, (port, p) in enumerate(zip(plan.outputs, masters(plan), strict=True)):
        design.section(f"Output {comment(port.edge)}")
        net = wiring.arrive(design, port.source, branches[OUTPUT, i], f"out{i}")
        params = [net.element, p["bits"], net.lanes, net.beats, p["tdata"]]
        design.call("hwc_axis", "hwc_axis_out", params, [net.name, p["prefix"]])
    return design


@functools.cache
def environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir.templates()), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    env.filters |= {"comment": comment, "rows": _rows}
    return env


def _closure(headers: set[str], dialect: str) -> dict[str, str]:
    """Text of the headers and of all that they include, by name."""
    texts: dict[str, str] = {}
    todo = sorted(headers)
    while todo:
        name = todo.pop()
        if name not in texts:
            folder = "prim/hls" if name.startswith("hwc_prim_") else "hls"
            text = environment().get_template(f"{folder}/{name}.h.j2").render(dialect=f"hls/{dialect}.j2")
            # Pragmas that a dialect does not have leave lines of spaces.
            texts[name] = re.sub(r"^ +\n", "", text, flags=re.MULTILINE)
            todo += _INCLUDE.findall(texts[name])
    return texts


def _rows(rom: Rom) -> str:
    """The initialiser of a constant array, a word a line."""
    lines = []
    for word in rom.values.tolist():
        values = ["(-9223372036854775807LL - 1)" if v == -(1 << 63) else f"{v}{'LL' * (rom.bits > 32)}" for v in word]
        lines.append("  {" + ", ".join(values) + "},")
    return "\n".join(lines)


def _beats(program: Program, port: Port, golden: np.ndarray) -> list[list[int]]:
    """Bytes of TDATA, lowest first, of every beat of all frames."""
    s = port.outer
    lanes = s.codes(program.edges[port.edge], golden)
    bits = ((lanes[:, :, None] >> np.arange(s.bits)) & 1).astype(np.uint8).reshape(len(lanes), -1)
    return np.packbits(bits, axis=1, bitorder="little").tolist()
