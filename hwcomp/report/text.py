"""Reports as text: tables for a terminal or a log."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from hwcomp.errors import shown
from hwcomp.report import _words as words
from hwcomp.report import _zeros as zeros
from hwcomp.report import energy, waterfall
from hwcomp.report.facts import noise_json
from hwcomp.verify.compare import Outcome
from hwcomp.verify.evaluate import Evaluation
from hwcomp.verify.noise import DROP_DB, LOW_DB
from hwcomp.verify.teacher import STEPWISE, LayerCheck, TeacherReport

_WIDTH = 130


def _render(*parts: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None, legacy_windows=False, highlight=False, markup=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return table


def summary(report: dict[str, Any]) -> str:
    """A few lines after a compile."""
    weights = f"{report['parameters']:,} parameters, of these {report['weights']:,} weights"
    lines = [
        f"{report['name']}: {len(report['layers'])} kernels, {weights}, {report['macs']:,} MACs, {report['flops']:,} FLOPs"
    ]
    if (mcu := report["targets"].get("mcu")) is not None:
        lines.append(
            f"mcu:  {mcu['constant_bytes']:,} bytes of constants in flash, an arena of {mcu['arena_bytes']:,} bytes in RAM"
        )
    if (fpga := report["targets"].get("fpga")) is not None:
        lines.append(
            f"fpga: {fpga['lanes']} of {fpga['budget']} lanes, a frame every {fpga['interval']:,} cycles, "
            f"latency about {fpga['latency_estimate']:,} cycles, "
            f"{fpga['rom_bits']:,} ROM bits, {fpga['buffer_bits']:,} buffer bits"
        )
    if (hls := report["targets"].get("hls")) is not None:
        lines.append(
            f"hls:  {hls['dialect']} C++, {hls['lanes']} of {hls['budget']} lanes, {hls['interval']:,} beats per frame in the "
            f"busiest engine, {hls['rom_bits']:,} ROM bits"
        )
    lines.append(f"proof: {report['proof']}")
    few = report["passes"].get("few_bits", [])
    return "\n".join([*lines, *(shown(line, 300) for line in few if any(f.startswith("auto:") for f in few))])


def report_text(report: dict[str, Any]) -> str:
    """Everything in report.json, as tables."""
    parts: list[Any] = [summary(report), ""]
    layers = _table("Layers", "kernel", "nodes", "output", "range", "MACs", "weights")
    for layer in report["layers"]:
        layers.add_row(
            layer["kernel"], words.nodes(layer["nodes"]), "x".join(map(str, layer["shape"])) or "1",
            f"[{layer['range'][0]}, {layer['range'][1]}]", f"{layer['macs']:,}", f"{layer['weights']:,}",
        )  # fmt: skip
    layers.add_row("in all", "", "", "", f"{report['macs']:,}", f"{report['weights']:,}")
    parts += [layers, ""]
    if (fpga := report["targets"].get("fpga")) is not None:
        stages = _table(
            "FPGA engines",
            "kernel",
            "beats",
            "lanes",
            "PE x taps x SIMD",
            "out lanes",
            "multipliers",
            "ROM bits",
            "buffer bits",
        )
        for s in fpga["stages"]:
            fold = f"{s['fold']['pe']} x {s['fold']['taps']} x {s['fold']['simd']}" if s["fold"] else "-"
            busy = "*" if s["beats"] == fpga["interval"] else ""
            stages.add_row(
                s["kernel"] + busy, f"{s['beats']:,}", str(s["lanes"]), fold, str(s["out_lanes"]),
                str(s["multipliers"]), f"{s['rom_bits']:,}",
                f"{s['buffer_bits']:,}",
            )  # fmt: skip
        engines = any(s["beats"] == fpga["interval"] for s in fpga["stages"])
        limit = "* sets the interval" if engines else "a stream between engines sets the interval"
        parts += [stages, limit, "", *_wired(fpga), *_fifos(fpga)]
    if (mcu := report["targets"].get("mcu")) is not None:
        memory = _table("MCU memory", "what", "bytes")
        flash = mcu["constant_bytes"] + mcu["code_bytes_estimate"]
        ram = mcu["arena_bytes"] + mcu["input_bytes"] + mcu["output_bytes"] + mcu["stack_bytes_estimate"]
        for what, size in (
            ("flash, about", flash), ("  constants", mcu["constant_bytes"]), ("  of these, weights", mcu["weight_bytes"]),
            ("  code, about", mcu["code_bytes_estimate"]), ("RAM, at most", ram), ("  arena", mcu["arena_bytes"]),
            ("  inputs and outputs", mcu["input_bytes"] + mcu["output_bytes"]), ("  stack, at most", mcu["stack_bytes_estimate"]),
        ):  # fmt: skip
            memory.add_row(what, f"{size:,}")
        parts += [memory, "", *_weight_forms(mcu)]
    parts += [*_zeros(report), *_stages(report["stages"]), *_memory(report["memory"], "target")]
    parts.append("Proof lines")
    parts += [
        f"  {shown(layer['output'])}{layer['proof'][len(layer['output']) :]}"
        for layer in report["layers"]
        if layer["proof"]
    ]
    if report["warnings"]:
        parts += ["", "Warnings", *(f"  {w}" for w in report["warnings"])]
    return _render(*parts)


def _zeros(report: dict[str, Any]) -> list[Any]:
    """Layers with zeros: skipped or not, and why."""
    rows = zeros.rows(report)
    if not rows:
        return []
    table = _table("Zeros", "target", "layer", "not zero", "form", "of dense", "why")
    for r in rows:
        ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f}"
        table.add_row(r["target"], r["kernel"], words.share(r["density"]), r["used"], ratio, r["why"])
    return [table, "of dense: instructions or beats that the plan expects of skipping, relative to the dense form", ""]


def _stages(stages: list[dict[str, Any]]) -> list[Any]:
    """Bytes of the weights from float to the product, in all and by layer."""
    if not stages:
        return []
    table = _table(
        "Weights, stage by stage", "stage", "what", "weights", "zeros", "MACs", "FLOPs", "bytes", "indices", "of float",
        "all constants",
    )  # fmt: skip
    for s in stages:
        work = ("" if s[key] is None else f"{s[key]:,}" for key in ("macs", "flops"))
        constants = "" if s["constant_bytes"] is None else f"{s['constant_bytes']:,}"
        part = words.share(s["bytes"] / (stages[0]["bytes"] or 1))
        table.add_row(
            s["stage"], waterfall.WORDS.get(s["stage"], ""), f"{s['weights']:,}", f"{s['zeros']:,}", *work, f"{s['bytes']:,}",
            f"{s['index_bytes']:,}", part, constants,
        )  # fmt: skip
    layers = _table("Bytes of the weights by layer", "layer", *(s["stage"] for s in stages))
    for node in waterfall.layers(stages):
        layers.add_row(words.end(node), *(f"{s['layers'].get(node, 0):,}" for s in stages))
    layers.add_row("in all", *(f"{s['bytes']:,}" for s in stages))
    return [table, f"bytes of the weights with their indices; {waterfall.CONSTANTS}", "", layers, ""]


def _memory(rows: dict[str, Any], of: str) -> list[Any]:
    """Traffic and energy of one inference, a row per form or target."""
    columns = (
        "MACs",
        "operations",
        "activation bytes",
        "constant bytes",
        "operations per byte",
        "nJ on the chip",
        "nJ, constants in DRAM",
    )
    table = _table("Memory traffic and energy of one inference", of, *columns)
    for name, m in rows.items():
        counts = (f"{m[key]:,}" for key in ("macs", "operations", "activation_bytes", "constant_bytes"))
        table.add_row(
            name, *counts, f"{m['intensity'] or 0:.2f}", *(f"{m['energy_nj'][at]:,.1f}" for at in ("sram", "dram"))
        )
    return [table, energy.CONSTANTS, ""]


def _weight_forms(mcu: dict[str, Any]) -> list[Any]:
    """How the weights are stored, where a layer has others than bytes."""
    rows = [(k["name"], k["weights"]) for k in mcu["kernels"] if k["weights"]]
    if all(w["saving"] <= 4 for _, w in rows):
        return []
    table = _table("Weights in C", "kernel", "weights", "bytes", "less than float", "form", "why")
    for name, w in rows:
        table.add_row(name, f"{w['weights']:,}", f"{w['bytes']:,}", f"{w['saving']:g} x", w["form"], w["why"])
    return [table, ""]


def _wired(fpga: dict[str, Any]) -> list[Any]:
    """Weights as adders, where they are or could be, beside an engine."""
    rows = [(s["kernel"], s["wired"]) for s in fpga["stages"] if "wired" in s]
    if not rows:
        return []
    table = _table("Weights as adders", "kernel", "wired in", "adders", "LUTs, about", "why")
    for name, w in rows:
        most = "" if w["unrolled"] else "<= "
        cells = (
            "yes" if w["unrolled"] else "no",
            f"{most}{w['adders']:,}",
            f"{most}{w['luts']:,}",
            shown(w["why"], 300),
        )
        table.add_row(shown(name), *cells)
    return [table, ""]


def _fifos(fpga: dict[str, Any]) -> list[Any]:
    """The FIFOs whose depth was chosen."""
    if not fpga["fifos"]:
        return []
    table = _table("FIFOs", "in front of", "stream", "words", "bits", "why")
    for f in fpga["fifos"]:
        table.add_row(shown(f["reader"]), shown(f["stream"]), f"{f['words']:,}", f"{f['bits']:,}", words.why(f["why"]))
    least = "none can be one word less" if fpga["fifos_are_least"] else "enough, but not the least"
    return [table, f"{fpga['fifo_bits']:,} bits in all; {least}", ""]


def outcomes_text(outcomes: list[Outcome]) -> str:
    """One line per engine; what differs, or why it did not run, below."""
    table = _table("", "engine", "result", "samples", "tensors", "elements compared", "exact counts")
    for o in outcomes:
        counts = ", ".join(f"{k} {v:,}" for k, v in o.stats.items() if isinstance(v, int | float))
        table.add_row(o.engine, o.status, f"{o.samples:,}", str(o.tensors), f"{o.elements:,}", counts)
    notes = [f"{o.engine}: {o.detail}" for o in outcomes if o.detail]
    done = [o for o in outcomes if o.status == "equal"]
    verdict = f"{len(done)} of {len(outcomes)} engines equal the reference on every bit"
    return _render(table, *notes, verdict)


def outcomes_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    rows = []
    for o in outcomes:
        row = {
            "engine": o.engine, "status": o.status, "samples": o.samples, "tensors": o.tensors, "elements": o.elements,
            "detail": o.detail, "stats": o.stats, "difference": None,
        }  # fmt: skip
        if (d := o.difference) is not None:
            row["difference"] = {
                "tensor": d.tensor, "sample": d.sample, "index": list(d.index), "expected": d.expected, "got": d.got,
                "count": d.count, "nodes": list(d.nodes),
            }  # fmt: skip
        rows.append(row)
    return rows


def evaluation_text(e: Evaluation) -> str:
    lines = [f"{e.samples:,} samples on engine {e.engine}"]
    if e.accuracy is not None:
        lines.append(
            f"accuracy {100 * e.accuracy:.2f} %, float {100 * e.float_accuracy:.2f} %, lost {e.loss_points:.2f} points"
        )
    lines.append(f"same decision as the float model: {100 * e.agreement:.2f} %")
    if not e.layers:
        return _render(*lines, "noise of single tensors: not measured, a pruned network has others than the model")
    table = _table("Signal to quantization noise", "tensor", "dB", "below its inputs", "largest error", "")
    for n in e.layers:
        mark = "<< bad" if n.bad else ""
        table.add_row(shown(n.tensor), f"{n.sqnr_db:.1f}", f"{n.lost_db:.1f}", f"{n.worst:.4g}", mark)
    bad = sum(n.bad for n in e.layers)
    limits = f"below {LOW_DB:g} dB, or more than {DROP_DB:g} dB below their inputs"
    return _render(*lines, "", table, *([f"{bad} of {len(e.layers)} tensors are bad: {limits}"] if bad else []))


def evaluation_json(e: Evaluation) -> dict[str, Any]:
    return {
        "engine": e.engine, "samples": e.samples, "accuracy": e.accuracy, "float_accuracy": e.float_accuracy,
        "loss_points": e.loss_points, "agreement": e.agreement,
        "layers": noise_json(e.layers),
    }  # fmt: skip


def inspection_text(data: dict[str, Any]) -> str:
    table = _table("Layers", "node", "operator", "output", "parameters", "MACs", "other operations")
    for layer in data["layers"]:
        table.add_row(
            words.end(layer["node"]), layer["operator"], "x".join(map(str, layer["shape"])), f"{layer['parameters']:,}",
            f"{layer['macs']:,}", f"{layer['operations']:,}",
        )  # fmt: skip
    others = sum(layer["operations"] for layer in data["layers"])
    table.add_row("in all", "", "", f"{data['parameters']:,}", f"{data['macs']:,}", f"{others:,}")
    total = (
        f"{data['parameters']:,} parameters, {data['macs']:,} MACs, {data['flops']:,} FLOPs; weights {data['float_bytes']:,} "
        f"bytes in float, {data['int8_bytes']:,} in int8; largest live tensors {data['peak_live_elements']:,} elements"
    )
    targets = [f"{t}: {'yes' if reason is None else reason}" for t, reason in data["targets"].items()]
    if (stated := data["quantized"]) is not None:
        types = ", ".join(f"{count} {name}" for name, count in stated["tensors"].items()) or "no"
        floats = stated["float_weights"]
        left = f"; left in float: {shown(', '.join(floats))}" if floats else ""
        total += (
            f"\nalready quantized: {types} tensors, {stated['weights']} weights in integers "
            f"({stated['per_channel']} per channel){left}"
        )
    kept = "int8" if data["quantized"] is None else "keep"
    memory = [*_forms(data), *_memory(data["memory"], "tensors in")]
    return _render(table, total, "", *memory, f"Targets (with --quant {kept})", *(f"  {line}" for line in targets))


def _forms(data: dict[str, Any]) -> list[Any]:
    """Bytes of the weights in the forms that they could be stored in as they are."""
    table = _table("Bytes of weights and their indices, as they are", "node", *data["forms"])
    for layer in data["layers"]:
        if layer["forms"]:
            table.add_row(words.end(layer["node"]), *(f"{size:,}" for size in layer["forms"].values()))
    table.add_row("in all", *(f"{size:,}" for size in data["forms"].values()))
    return [table, ""]


def teacher_text(report: TeacherReport) -> str:
    """One line per layer and mode; differences that are not explained below."""
    columns = ("outputs", "differing", "largest", "farthest from a tie", "of the noise", "unexplained")
    layers = _table("Layers, each on the reference's integers", "tensor", "kernel", "optimizations", *columns)
    for c in report.layers:
        away = (f"{c.distance:.1e} steps", f"{100 * c.share:.1f} %") if c.differing > c.unexplained else ("", "")
        counts = (f"{c.outputs:,}", f"{c.differing:,}", str(c.largest), *away, str(c.unexplained))
        layers.add_row(shown(c.tensor), c.kind, c.mode, *counts)
    names = ("output", "optimizations", "values", "differing", "largest", "same decision")
    ends = _table("End to end (reported only)", *names)
    for e in report.ends:
        share = f"{e.agreeing:,} of {report.samples:,}"
        ends.add_row(shown(e.tensor), e.mode, f"{e.outputs:,}", f"{e.differing:,}", str(e.largest), share)
    notes = [_note(c) for c in report.layers if not c.passed]
    outputs, differing = (sum(getattr(c, f) for c in report.layers) for f in ("outputs", "differing"))
    failed = sum(not c.passed for c in report.layers)
    verdict = f"{report.samples:,} samples: {differing:,} of {outputs:,} layer outputs differ from onnxruntime's"
    verdict += ", each where the exact value is within float noise of a tie" if differing else ""
    if any(c.differing for c in report.layers if c.kind in STEPWISE):
        verdict += ", or within what the tables and states of a recurrent layer may be off by"
    if failed:
        verdict = f"{failed} of {len(report.layers)} layer checks failed"
    return _render(layers, "", ends, "", *notes, verdict)


def _note(c: LayerCheck) -> str:
    where = f"tensor '{shown(c.tensor)}', optimizations {c.mode}"
    if c.first is None:
        return f"{where}: a difference of {c.largest} steps"
    f = c.first
    exact = "a selection of input elements" if f.exact is None else f"exactly {f.exact:.9g} before rounding"
    return (
        f"{where}: sample {f.sample}, index {list(f.index)}: the program computes {f.program}, "
        f"onnxruntime {f.onnxruntime}; it is {exact}"
    )


def teacher_json(report: TeacherReport) -> dict[str, Any]:
    return {
        "status": "passed" if report.passed else "failed",
        "samples": report.samples,
        "layers": [{**asdict(c), "passed": c.passed} for c in report.layers],
        "end_to_end": [asdict(e) for e in report.ends],
    }
