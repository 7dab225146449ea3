"""report.json as one page that needs nothing else: no network, no script, no other file.

Names come from the model and are not trusted: `shown` makes them printable and short, the templates escape them.
Optional: `report["noise"]`, a list of {"tensor", "sqnr_db" (None: exact), "largest_error", "bad"}, one per tensor.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hwcomp.errors import shown
from hwcomp.pixels import Pixels
from hwcomp.report import _plots as plots
from hwcomp.report import _targets as targets
from hwcomp.report import _words as words
from hwcomp.report import _zeros as zeros
from hwcomp.report import energy
from hwcomp.templates_dir import templates

_OPEN_NOTES = 12  # more lines than that in one pass are folded away
_FORMS = {"float32": "the model in float32", "mcu": "C", "fpga": "Verilog", "hls": "HLS C++"}


def render(report: dict[str, Any]) -> str:
    """The whole page. The same report gives the same text."""
    values = {
        "name": shown(report["name"]),
        "sha256": shown(report["program_sha256"]),
        "warnings": [shown(w, 400) for w in report["warnings"]],
        "tiles": _network_tiles(report),
        "proofs": _proofs(report),
        "rate_ticks": plots.rate_ticks(),
        "layers": [_layer(layer) for layer in report["layers"]],
        "sums": {"macs": report["macs"], "weights": report["weights"]},
        "boundary": _boundary(report),
        "noise": _noise(report.get("noise") or []),
        "passes": [
            {"name": shown(n), "lines": [shown(line, 300) for line in lines], "open": len(lines) <= _OPEN_NOTES}
            for n, lines in report["passes"].items()
            if lines
        ],
        "fpga": targets.fpga(report),
        "mcu": targets.mcu(report),
        "others": targets.others(report),
        "memory": _memory(report.get("memory") or {}),
        "zeros": zeros.values(report),
        "fall": plots.waterfall(report.get("stages") or []),
        "energies": energy.CONSTANTS,
    }
    return _environment().get_template("report.html.j2").render(values)


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(templates() / "report"), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    env.filters |= {"n": words.number, "pc": lambda x: f"{100 * x:.2f}%", "tail": words.tail}
    return env


def _network_tiles(report: dict[str, Any]) -> list[dict[str, str]]:
    layers = report["layers"]
    differing = sum(layer["differing_accumulators"] for layer in layers)
    total = sum(layer["accumulators"] for layer in layers)
    full = "found" if "only a part" in report["proof"] else "all equal the float formula"
    exact = f"of {words.number(total)}: {full}" if total else "nothing is rescaled"
    some = f"of {words.number(total)}, {words.rate(differing, total)}"
    return [
        targets.tile("Layers", len(layers), f"{sum(layer['macs'] > 0 for layer in layers)} with multiplications"),
        targets.tile("MACs per frame", report["macs"], _from(report, "macs", f"{words.number(report['flops'])} FLOPs")),
        targets.tile(
            "Weights", report["weights"], _from(report, "weights", f"{words.number(report['parameters'])} parameters")
        ),
        targets.tile("Differing accumulators", differing, some if differing else exact),
        targets.tile("Accuracy", "not measured", "hwcomp eval DIR --data TEST.npz"),
    ]


def _from(report: dict[str, Any], key: str, note: str) -> str:
    """`note`, and what the model had where the network has less."""
    whole = report["stages"][0][key] if report["stages"] else report[key]
    return (
        note
        if whole <= report[key]
        else f"{note}; the model has {words.number(whole)} {'MACs' if key == 'macs' else key}"
    )


def _memory(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Traffic and energy by target; bars relative to the most."""
    most = max((m["energy_nj"]["dram"] for m in rows.values()), default=0)
    return [
        {
            "target": _FORMS.get(target, shown(target)), "macs": m["macs"], "operations": m["operations"],
            "activations": m["activation_bytes"], "constants": m["constant_bytes"],
            "intensity": f"{m['intensity'] or 0:.2f}",
            "energies": [(f"{nj:,.1f}", plots.fraction(nj, most)) for nj in (m["energy_nj"]["sram"], m["energy_nj"]["dram"])],
        }
        for target, m in rows.items()
    ]  # fmt: skip


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    named = {"kernel": shown(layer["kernel"]), "nodes": words.nodes(layer["nodes"]), "output": shown(layer["output"])}
    return {**named, "macs": layer["macs"], "weights": layer["weights"], **_type(layer)}


def _type(facts: dict[str, Any]) -> dict[str, Any]:
    (lo, hi), zero, scale = facts["range"], facts["zero_point"], facts["scale"]
    signed = words.signed(facts)
    return {
        "shape": words.shape(facts["shape"]), "type": words.type_name(facts["bits"], signed), "lo": lo, "hi": hi,
        "zero": zero, "scale": f"{scale:.6g}", "real": [f"{(v - zero) * scale:.4g}" for v in (lo, hi)],
        "bar": plots.range_bar(lo, hi, zero, facts["bits"], signed),
    }  # fmt: skip


def _boundary(report: dict[str, Any]) -> list[dict[str, Any]]:
    facts = report.get("boundary", {})
    ends = [("input", n) for n in report["inputs"]] + [("output", n) for n in report["outputs"]]
    return [{"way": way, "name": shown(n), **_type(facts[n]), **_pixels(facts[n])} for way, n in ends if n in facts]


def _pixels(facts: dict[str, Any]) -> dict[str, Any]:
    """What replaces scale and zero point where an input holds raw pixels."""
    if "pixels" not in facts:
        return {}
    pixels = Pixels.from_json(facts["pixels"])
    ends = [f"{v:.4g}" for v in pixels.interval()]
    std, mean = (":".join(f"{v:.6g}" for v in values) for values in (pixels.std, pixels.mean))
    return {"type": "raw uint8 pixels", "scale": f"1 / {std}", "zero": mean, "real": ends}


def _proofs(report: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for layer in report["layers"]:
        if not layer["proof"]:
            continue
        differing, total = layer["differing_accumulators"], layer["accumulators"]
        line = layer["proof"].removeprefix(f"{layer['output']}: ")
        rows.append(
            {
                "kernel": shown(layer["kernel"]), "nodes": words.nodes(layer["nodes"]), "line": shown(line, 300),
                "differing": differing, "total": total, "rate": words.rate(differing, total),
                "at": plots.rate_position(differing, total),
            }
        )  # fmt: skip
    without = [layer["kernel"] for layer in report["layers"] if not layer["proof"]]
    return {"summary": shown(report["proof"], 300), "rows": rows, "without": words.listed(without)}


def _noise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    best = max((r["sqnr_db"] for r in rows if r["sqnr_db"] is not None), default=0)
    result = []
    for r in rows:
        db, error = r["sqnr_db"], r.get("largest_error")
        result.append(
            {
                "tensor": shown(r["tensor"]), "db": "exact" if db is None else f"{db:.1f}",
                "at": 1.0 if db is None else max(plots.fraction(db, best), 0.0),
                "error": "" if error is None else f"{error:.4g}", "bad": r.get("bad", False),
            }
        )  # fmt: skip
    return result
