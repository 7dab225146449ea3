"""What the HTML report says about each target."""

from __future__ import annotations

from typing import Any

from hwcomp.errors import shown
from hwcomp.report import _plots as plots
from hwcomp.report import _words as words

_MCU_BILL = {
    "constant_bytes": "Flash, constants in all", "weight_bytes": "of these, weights", "arena_bytes": "RAM, arena",
    "peak_live_bytes": "of the arena, most alive at once", "peak_tensor_bytes": "of the arena, most tensors at once",
    "input_bytes": "RAM, the caller's inputs", "output_bytes": "RAM, the caller's outputs",
    "stack_bytes_estimate": "RAM, stack, estimate", "ram_bytes": "RAM in all", "macs": "MACs per frame",
    "code_bytes_estimate": "Flash, code, estimate",
}  # fmt: skip
_RAM = ("arena_bytes", "input_bytes", "output_bytes", "stack_bytes_estimate")
_FPGA_BILL = {
    "interval": "Interval, cycles between frames", "latency_estimate": "Latency of a frame in cycles, estimate",
    "lanes": "Multiply-accumulate lanes", "budget": "Budget of lanes", "rom_bits": "ROM bits",
    "buffer_bits": "Buffer bits", "fifo_bits": "of these, FIFOs", "multipliers": "Multipliers",
    "lut_estimate": "LUTs of int8 weights, rough estimate",
}  # fmt: skip
_PLAIN = ("int8_t", "uint8_t", "int16_t")  # forms of weights that need no words


def tile(label: str, value: int | str, note: str = "", unit: str = "") -> dict[str, str]:
    text = value if isinstance(value, str) else words.number(value)
    return {"label": label, "value": text, "unit": unit, "note": note, "kind": "text" if value == text else "number"}


def _bill(facts: dict[str, Any], labels: dict[str, str]) -> list[tuple[str, str, str]]:
    """(what, exact figure, in KiB) of every figure: the known ones first, in our order."""
    rows = []
    for key in [*labels, *(k for k in facts if k not in labels)]:
        value = facts.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            scaled = words.kib(value) if "bytes" in key else words.kib(value / 8) if "bits" in key else ""
            rows.append((labels.get(key) or words.key(key), words.number(value), scaled))
    return rows


def _named(report: dict[str, Any]) -> dict[str, str]:
    return {layer["kernel"]: words.nodes(layer["nodes"]) for layer in report["layers"]}


def mcu(report: dict[str, Any]) -> dict[str, Any] | None:
    facts = report["targets"].get("mcu")
    if facts is None:
        return None
    kernels, nodes = facts["kernels"], _named(report)
    most = {key: max((k[key] for k in kernels), default=0) for key in ("macs", "constant_bytes", "scratch_bytes")}
    rows = [
        {
            "kernel": shown(k["name"]), "nodes": nodes.get(k["name"], ""),
            "metrics": [(k[key], plots.fraction(k[key], top)) for key, top in most.items()],
        }
        for k in kernels
    ]  # fmt: skip
    constants, arena = facts["constant_bytes"], facts["arena_bytes"]
    flash = constants + facts["code_bytes_estimate"]
    ports = facts.get("input_bytes", 0), facts.get("output_bytes", 0)
    return {
        "tiles": [
            tile("Flash, about", flash, f"constants {constants:,}, the rest is code", "bytes"),
            tile("RAM, arena", arena, words.kib(arena), "bytes"),
            tile("RAM, inputs and outputs", sum(ports), f"{ports[0]:,} in, {ports[1]:,} out", "bytes"),
            tile("Stack, estimate", facts["stack_bytes_estimate"], "under the run function", "bytes"),
        ],
        "bill": _bill(facts | {"ram_bytes": sum(facts[k] for k in _RAM)}, _MCU_BILL), "rows": rows,
        "ports": ports, "arena": arena,
        "forms": [_form(k) for k in kernels if k["weights"] and k["weights"]["form"] not in _PLAIN],
        "map": plots.memory_map(facts, [shown(k["name"]) for k in kernels]),
        "buffers": [_buffer(b, len(kernels)) for b in facts.get("buffers", [])],
        "most": _most(kernels, facts["macs"]),
    }  # fmt: skip


def _most(kernels: list[dict[str, Any]], macs: int) -> str:
    """The fewest layers that do half of the work."""
    chosen, done = [], 0
    for k in sorted(kernels, key=lambda k: -k["macs"]):
        if 2 * done >= macs:
            break
        chosen.append(k["name"])
        done += k["macs"]
    if not chosen:
        return ""
    if len(chosen) > 4:
        return f"{len(chosen)} of {len(kernels)} layers do half of all MACs."
    return f"{words.listed(chosen)} {'do' if len(chosen) > 1 else 'does'} {words.share(done / macs)} of all MACs."


def _buffer(b: dict[str, Any], steps: int) -> dict[str, Any]:
    first, last = ("load" if t < 0 else "store" if t >= steps else str(t) for t in (b["first"], b["last"]))
    return {
        "what": shown(b["name"]) if b["name"] else "scratch", "scratch": not b["name"],
        "kernel": shown(b["kernel"]) if b["kernel"] else "input", "offset": b["offset"], "bytes": b["bytes"],
        "steps": first if first == last else f"{first} to {last}",
    }  # fmt: skip


def _form(kernel: dict[str, Any]) -> dict[str, Any]:
    facts = kernel["weights"]
    return {**facts, "kernel": shown(kernel["name"]), "form": shown(facts["form"]), "why": shown(facts["why"], 300)}


def fpga(report: dict[str, Any]) -> dict[str, Any] | None:
    facts = report["targets"].get("fpga")
    if facts is None:
        return None
    stages, nodes, interval = facts["stages"], _named(report), facts["interval"]
    most = {key: max((s[key] for s in stages), default=0) for key in ("lanes", "rom_bits", "buffer_bits")}
    rows = [
        {
            "kernel": shown(s["kernel"]), "nodes": nodes.get(s["kernel"]) or words.nodes(s["nodes"]),
            "beats": s["beats"], "at": plots.INTERVAL_AT * plots.fraction(s["beats"], interval),
            "busy": words.share(plots.fraction(s["beats"], interval)), "bottleneck": s["beats"] == interval,
            "metrics": [(s[key], plots.fraction(s[key], top)) for key, top in most.items()],
            "fold": f"{s['fold']['pe']} × {s['fold']['taps']} × {s['fold']['simd']}" if s["fold"] else "",
            "out_lanes": s["out_lanes"],
        }
        for s in stages
    ]  # fmt: skip
    lanes, macs = facts["lanes"], report["macs"] - _skipped(report, stages)
    used = f", {words.share(macs / (lanes * interval))} busy" if lanes and macs else ""
    have = {s["kernel"] for s in stages}
    slowest = [s["kernel"] for s in stages if s["beats"] == interval]
    return {
        "tiles": [
            tile("Interval", interval, words.frequency(interval), "cycles"),
            tile("Latency, estimate", facts["latency_estimate"], words.duration(facts["latency_estimate"]), "cycles"),
            tile("Lanes", lanes, f"of {facts['budget']:,}{used}"),
            tile("ROM", facts["rom_bits"], words.kib(facts["rom_bits"] / 8), "bits"),
            tile("Buffers", facts["buffer_bits"], words.kib(facts["buffer_bits"] / 8), "bits"),
        ],
        "bill": _bill(facts, _FPGA_BILL), "rows": rows, "interval": interval, "line": plots.INTERVAL_AT,
        "slowest": f"{words.listed(slowest) or 'A stream between engines'} {'set' if len(slowest) > 1 else 'sets'} the interval.",
        "busy": words.share(plots.fraction(sum(s["beats"] for s in stages), interval * len(stages))),
        "without": words.listed([layer["kernel"] for layer in report["layers"] if layer["kernel"] not in have]),
        "fifos": [
            {**f, "reader": shown(f["reader"]), "stream": shown(f["stream"]), "why": words.why(f["why"])}
            for f in facts.get("fifos", [])
        ],
        "least": facts.get("fifos_are_least", False),
        "wired": [{"kernel": shown(s["kernel"]), **s["wired"], "why": shown(s["wired"]["why"], 300)} for s in stages if "wired" in s],
        "ports": [_port(way, p) for way in ("inputs", "outputs") for p in facts.get("interface", {}).get(way, [])],
    }  # fmt: skip


def _skipped(report: dict[str, Any], stages: list[dict[str, Any]]) -> int:
    """MACs of beats that are left out."""
    work = {layer["kernel"]: layer["macs"] for layer in report["layers"]}
    left_out = [(s["kernel"], s["sparse"]["beats"]) for s in stages if s.get("sparse") and s["sparse"]["skips"]]
    return round(sum(work[kernel] * (1 - beats) for kernel, beats in left_out))


def _port(way: str, p: dict[str, Any]) -> dict[str, Any]:
    return {**p, "name": shown(p["name"]), "prefix": shown(p["prefix"]), "way": way.removesuffix("s")}


def others(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Targets that this page has no plots for: their figures."""
    names = [t for t in report["targets"] if t not in ("mcu", "fpga")]
    return [{"name": shown(t), "bill": _bill(report["targets"][t], {})} for t in names]
