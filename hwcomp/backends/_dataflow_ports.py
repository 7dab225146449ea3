"""The outer streams of a streaming design, the same for Verilog and HLS: names, widths, and what a driver must know."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hwcomp.plan.stages import DataflowPlan, Port
from hwcomp.plan.streams import Stream


def slaves(plan: DataflowPlan) -> list[dict[str, Any]]:
    return [_port(p, i, len(plan.inputs), "s") for i, p in enumerate(plan.inputs)]


def masters(plan: DataflowPlan) -> list[dict[str, Any]]:
    return [_port(p, i, len(plan.outputs), "m") for i, p in enumerate(plan.outputs)]


def interface(plan: DataflowPlan) -> dict[str, Any]:
    """JSON: the ports, and how every edge travels."""
    return {
        "interval": plan.interval,
        "inputs": [_facts(p) for p in slaves(plan)],
        "outputs": [_facts(p) for p in masters(plan)],
        "streams": {n: asdict(s) for n, s in plan.streams.items()},
    }  # fmt: skip


def _facts(p: dict[str, Any]) -> dict[str, int | str]:
    return {
        "name": p["edge"], "prefix": p["prefix"], "lanes": p["lanes"], "lane_bits": p["bits"], "tdata_bits": p["tdata"],
        "beats": p["beats"], "channels": p["channels"], "pixels": p["pixels"],
    }  # fmt: skip


def _tdata(stream: Stream) -> int:
    return (stream.width + 7) // 8 * 8


def _port(port: Port, index: int, count: int, letter: str) -> dict[str, Any]:
    prefix = f"{letter}_axis" if count == 1 else f"{letter}{index}_axis"
    s = port.outer
    return {
        "prefix": prefix, "edge": port.edge, "width": s.width, "tdata": _tdata(s), "lanes": s.lanes, "bits": s.bits,
        "beats": s.beats, "index": index, "signed": s.signed, "channels": s.channels, "pixels": s.pixels,
    }  # fmt: skip
