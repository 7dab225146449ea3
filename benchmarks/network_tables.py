"""docs/networks.md from what benchmarks/networks.py has measured."""

from __future__ import annotations

HEAD = """# Networks

Written by `python benchmarks/networks.py`; the networks are those of the folder `shared` beside the repository. Float
networks: int8, calibrated on at most 256 training images. Networks that are quantized already (QDQ, QOperator, QONNX) keep
their types. Binary ones (`bnn_*`) are float files with weights of -1 and +1. Default number of lanes. Recurrent layers are
there for target mcu.

## The same bits
Engine columns: every intermediate tensor equals the NumPy reference, bit by bit, on so many samples. *Proof*: the
requantizers against the model's float formula over every accumulator that can occur. *L4*: every layer against onnxruntime
on `model.qdq.onnx`, and on the model itself where it brings its types, given the same integers; a difference is explained as
a tie, in recurrent layers (step by step, each behind the product's hidden states) as an error of tables and states that
[numerics](numerics.md) bounds. *Accuracy*: of the product (and of the model in float arithmetic), on labelled samples.

"""
COSTS = """
## What they cost
*Cycles per frame*: steady state of the Verilog in Verilator; *beats*: what its largest engine needs. Instructions are not
cycles.

"""
_COST_COLUMNS = (
    "network", "MACs", "lanes", "interval", "cycles per frame", "/ beats", "latency", "ROM kbit", "FIFO + buffer kbit",
    "M4 instructions", "per MAC", "flash", "RAM + stack",
)  # fmt: skip


def page(rows: dict[str, dict], engines: tuple[str, ...]) -> str:
    """The page: a table of what is verified, one of what it costs."""
    return HEAD + tables(rows, engines)


def tables(rows: dict[str, dict], engines: tuple[str, ...]) -> str:
    """Both tables."""
    columns = ("network", *engines, "proof: accumulators, differing", "L4: outputs, differing, largest", "accuracy")
    bits = [_bits(name, row, engines) for name, row in rows.items()]
    costs = [_costs(name, row) for name, row in rows.items()]
    refused = sorted(
        {
            f"`{n}` on `{e}`: {v['detail']}"
            for n, row in rows.items()
            for e, v in row["engines"].items()
            if v["status"] == "refused"
        }
    )
    notes = "\nRefused:\n" + "".join(f"- {line}\n" for line in refused) if refused else ""
    return _table(columns, bits) + notes + COSTS + _table(_COST_COLUMNS, costs)


def _table(columns: tuple[str, ...], lines: list[list[str]]) -> str:
    rows = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*rows, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def _bits(name: str, row: dict, engines: tuple[str, ...]) -> list[str]:
    l4, accuracy, proof = row.get("l4"), row.get("accuracy"), row.get("proof")
    found = "-"
    if l4:
        found = f"{l4['outputs']:,}, {l4['differing']}, {l4['largest']:g}" + ("" if l4["passed"] else " **fails**")
    right = "-"
    if accuracy:
        right = f"{accuracy['product']:.1%} ({accuracy['model']:.1%}) of {accuracy['samples']}"
    counted = f"{proof['accumulators']:,}, {proof['differing']:,}" if proof else "-"
    return [f"`{name}`", *(_engine(row["engines"].get(e)) for e in engines), counted, found, right]


def _engine(found: dict | None) -> str:
    if found is None:
        return "-"
    words = {"equal": f"equal ({found.get('samples', 0)})", "refused": "refused"}
    return words.get(found["status"], f"**{found['status']}**")


def _costs(name: str, row: dict) -> list[str]:
    fpga, stats, m4 = row.get("fpga"), row["stats"].get("verilator"), row["stats"].get("c:m4")
    cells = [f"`{name}`", f"{row['macs']:,}"]
    cells += [str(fpga["lanes"]), f"{fpga['interval']:,}"] if fpga else ["-"] * 2
    if fpga and stats:
        cycles = stats["cycles_per_frame"]
        cells += [f"{cycles:,.0f}", f"{cycles / stats['largest_engine_beats']:.3f}", f"{stats['latency_cycles']:,}"]
    else:
        cells += ["-"] * 3
    cells += [f"{fpga['rom_bits'] / 1e3:,.0f}", f"{fpga['buffer_bits'] / 1e3:,.0f}"] if fpga else ["-"] * 2
    if m4:
        cells += [
            f"{m4['instructions']:,}", f"{m4['instructions'] / max(row['macs'], 1):.2f}", f"{m4['flash_bytes']:,}",
            f"{m4['ram_bytes'] + m4['stack_bytes']:,}",
        ]  # fmt: skip
    else:
        cells += ["-"] * 4
    return cells
