"""Every network of the folder `shared` through both targets: what is verified, what it costs, how fast it is.

Writes docs/networks.md. Cycles and instructions are exact: steady-state cycles per frame of the Verilog in Verilator with
random pauses elsewhere, instructions of one inference on a Cortex-M4 in QEMU. Every tensor is compared on every engine.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench" / "networks"
sys.path.insert(0, str(ROOT))

import hwcomp  # noqa: E402  after the path
from hwcomp.samples import to_stored  # noqa: E402
from hwcomp.verify import compare, engines  # noqa: E402
from tests.zoo import ZOO, member, vectors  # noqa: E402

VERILATED, ON_M4 = 4, 2


def measure(name: str, images: int) -> dict:
    """Compile for both targets with the default number of lanes, verify on all engines, and collect the bills."""
    m = member(name)
    folder = OUT / name
    built = hwcomp.compile(m.path, folder, target="mcu,fpga", calibration={m.input: m.calibration[:256]})
    recorded = vectors(name)
    given = {"c": m.images[:images], "c:m4": recorded[:ON_M4], "verilator": recorded[:VERILATED]}
    row: dict = {"equal": True, "elements": {}, "stats": {}}
    for engine, samples in given.items():
        stored = to_stored(built.program, {m.input: samples})
        (outcome,) = compare.verify(built, stored, [engines.engine(engine)], {engine: len(samples)})
        row["equal"] &= outcome.status == "equal"
        row["elements"][engine] = outcome.elements
        row["stats"][engine] = outcome.stats
        row[f"{engine} images"] = outcome.samples
        if outcome.status != "equal":
            row.setdefault("details", []).append(f"{engine}: {outcome.status} {outcome.detail}")
    l4 = hwcomp.verify_l4(folder, {m.input: recorded})
    row["l4"] = {
        "passed": l4.passed, "outputs": sum(c.outputs for c in l4.layers), "differing": sum(c.differing for c in l4.layers),
        "largest": max(c.largest for c in l4.layers),
    }  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    row["macs"], row["mcu"], row["fpga"] = report["macs"], report["targets"]["mcu"], report["targets"]["fpga"]
    return row


HEAD = (
    ("network", "MACs", "tensors equal on", "L4: outputs, differing", "lanes", "interval", "cycles per frame", "/ beats",
     "latency", "ROM kbit", "FIFO + buffer kbit", "M4 instructions", "per MAC", "flash", "RAM + stack")
)  # fmt: skip


def line(name: str, row: dict) -> list[str]:
    fpga, stats, m4 = row["fpga"], row["stats"]["verilator"], row["stats"]["c:m4"]
    cycles = stats["cycles_per_frame"]
    engines_ = ", ".join(f"{e} ({row[f'{e} images']})" for e in row["elements"])
    l4 = row["l4"]
    return [
        f"`{name}`", f"{row['macs']:,}", engines_ if row["equal"] else "**differs**",
        f"{l4['outputs']:,}, {l4['differing']}" + ("" if l4["passed"] else " **fails**"), str(fpga["lanes"]),
        f"{fpga['interval']:,}", f"{cycles:,.0f}", f"{cycles / stats['largest_engine_beats']:.3f}", f"{stats['latency_cycles']:,}",
        f"{fpga['rom_bits'] / 1e3:,.0f}", f"{fpga['buffer_bits'] / 1e3:,.0f}", f"{m4['instructions']:,}",
        f"{m4['instructions'] / max(row['macs'], 1):.2f}", f"{m4['flash_bytes']:,}", f"{m4['ram_bytes'] + m4['stack_bytes']:,}",
    ]  # fmt: skip


def table(rows: dict[str, dict]) -> str:
    lines = [
        "# Networks",
        "",
        "Written by `python benchmarks/networks.py`; the networks are those of the folder `shared` beside the repository. int8,",
        "calibrated on at most 256 training images, default number of lanes. *Tensors equal on*: engine (images): every",
        "intermediate tensor equals the NumPy reference, bit by bit. *L4*: every layer against onnxruntime on `model.qdq.onnx`,",
        "given the same integers; each difference is 1 and within float noise of a tie. *Cycles per frame*: steady state of the",
        "Verilog in Verilator; *beats*: what its largest engine needs. Instructions are not cycles.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
    ]
    lines += ["| " + " | ".join(line(name, row)) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument("--images", type=int, default=500, help="images on the C engine")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    rows, failed = {}, False
    for name in options.only or ZOO:
        print(f"measuring {name}", file=sys.stderr)
        try:
            rows[name] = measure(name, options.images)
            print(" | ".join(line(name, rows[name])), flush=True)
            for detail in rows[name].get("details", ()):
                print(f"  {detail}")
        except pytest.skip.Exception as skipped:
            print(f"{name}: {skipped}")
        except Exception:  # the other networks are still worth measuring
            traceback.print_exc()
            failed = True
    (OUT.parent / "networks.json").write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n")
    if not options.only and rows:
        (ROOT / "docs" / "networks.md").write_text(table(rows))
    return int(failed or not all(row["equal"] and row["l4"]["passed"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
