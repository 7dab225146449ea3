"""Every network of the folder `shared` on every target and engine: what is verified, what it costs, how fast it is.

Writes docs/networks.md. Cycles and instructions are exact: steady-state cycles per frame of the Verilog in Verilator with
random pauses elsewhere, instructions of one inference on a Cortex-M4 in QEMU. Every tensor is compared on every engine.
What was measured is kept in build/bench/networks.json: `--only NAME` and `--engines` measure a part of it again, and the
tables are written from all of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import network_tables
import pytest
import records
from records import DOCS

import hwcomp
from hwcomp.errors import UnsupportedError
from hwcomp.samples import to_stored
from hwcomp.verify import compare, engines
from hwcomp.verify.evaluate import evaluate
from tests.zoo import BINARY, QONNX, QUANTIZED, SEQUENCES, TINY_INT8, ZOO, Member, member, vectors

OUT = records.OUT / "networks"
STORE = records.OUT / "networks.json"
STATED = (*QUANTIZED, *TINY_INT8, *QONNX)  # networks that bring their own types
NETWORKS = (*ZOO, *SEQUENCES, *STATED, *BINARY)
TARGETS = {"c": "mcu", "c:m4": "mcu", "verilator": "fpga", "hls": "hls"}  # of the engines, in the order of the columns
SAMPLES = {"c": 500, "c:m4": 2, "verilator": 4, "hls": 16}


def measure(name: str, wanted: tuple[str, ...], row: dict, folder: Path | None = None, **compiled) -> dict:
    """`row`, with what the engines `wanted` give put in its place; with `c` also the proof, L4 and the accuracy.

    `compiled`: more options of the compile; `folder`: where products go (build/bench/networks).
    """
    m = member(name)
    row = {"engines": {}, "stats": {}, **row}
    for target in dict.fromkeys(TARGETS[e] for e in wanted):
        out = (folder or OUT / name) / target
        shutil.rmtree(out, ignore_errors=True)
        mine = [e for e in wanted if TARGETS[e] == target]
        calibration = None if name in QUANTIZED or name in TINY_INT8 else {m.input: m.calibration[:256]}
        try:
            built = hwcomp.compile(m.path, out, target=target, calibration=calibration, **compiled)
        except UnsupportedError as error:
            row["engines"] |= {e: {"status": "refused", "detail": str(error)} for e in mine}
            continue
        report = json.loads((out / "report.json").read_text())
        row["macs"], row[target] = report["macs"], report["targets"][target]
        row["proof"] = {
            k: sum(layer[f"{p}accumulators"] or 0 for layer in report["layers"])
            for k, p in (("accumulators", ""), ("differing", "differing_"))
        }
        for engine in mine:
            x = m.images if engine == "c" else vectors(name)
            stored = to_stored(built.program, {m.input: _shaped(built, x[: SAMPLES[engine]])})
            (outcome,) = compare.verify(built, stored, [engines.engine(engine)], {engine: SAMPLES[engine]})
            row["engines"][engine] = {
                "status": outcome.status, "detail": outcome.detail, "samples": outcome.samples, "elements": outcome.elements,
            }  # fmt: skip
            row["stats"][engine] = outcome.stats
        if "c" in mine:
            row |= {"l4": _l4(built, m, vectors(name)), "accuracy": _accuracy(built, m)}
    return row


def _shaped(built, x):
    return x.reshape(-1, *built.program.edges[built.program.inputs[0]].shape)


def _l4(built, m: Member, x) -> dict:
    found = hwcomp.verify_l4(built.dir, {m.input: _shaped(built, x)})
    return {
        "passed": found.passed, "outputs": sum(c.outputs for c in found.layers),
        "differing": sum(c.differing for c in found.layers), "largest": max((c.largest for c in found.layers), default=0),
    }  # fmt: skip


def _accuracy(built, m: Member) -> dict | None:
    if m.labels is None:
        return None
    x, labels = _shaped(built, m.images[: SAMPLES["c"]]), m.labels[: SAMPLES["c"]]
    found = evaluate(built, {m.input: x}, labels, "c")
    return {
        "samples": found.samples,
        "product": found.accuracy,
        "model": found.float_accuracy,
        "agreement": found.agreement,
    }


def good(row: dict) -> bool:
    verified = all(e["status"] in ("equal", "refused") for e in row["engines"].values())
    return verified and row.get("l4", {}).get("passed", True)


def arguments(doc: str) -> argparse.Namespace:
    """`engines`: names, in the order of the columns."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this network (repeatable)")
    parser.add_argument(
        "--engines", default=",".join(TARGETS), metavar="LIST", help="only these (c,c:m4,verilator,hls)"
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    options = parser.parse_args()
    options.engines = tuple(e for e in TARGETS if e in options.engines.split(","))
    return options


def measured(name: str, memo: Path, measurement: Callable[[dict], dict]) -> bool:
    """Put what `measurement` makes of a row into the memo; False where it failed, which others do not suffer from."""
    print(f"measuring {name}", file=sys.stderr)
    try:
        row = measurement(records.kept(memo).get(name, {}))
        records.keep(memo, records.kept(memo) | {name: row})  # others may be measured at the same time
        print(f"{name}: {'as it should be' if good(row) else row['engines']}", flush=True)
    except pytest.skip.Exception as skipped:
        print(f"{name}: {skipped}")
    except Exception:
        traceback.print_exc()
        return False
    return True


def main() -> int:
    options = arguments(__doc__)
    done = [
        measured(name, STORE, partial(measure, name, options.engines))
        for name in (() if options.tables else options.only or NETWORKS)
    ]
    known = records.kept(STORE)
    rows = {name: known[name] for name in NETWORKS if name in known}
    if rows:
        (DOCS / "networks.md").write_text(network_tables.page(rows, tuple(TARGETS)))
    return int(not all(done) or not all(map(good, rows.values())))


if __name__ == "__main__":
    sys.exit(main())
