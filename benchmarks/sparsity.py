"""Zeros inside layers: instructions and bytes of the generated C on a Cortex-M4, cycles of the Verilog, beside the dense forms.

    python benchmarks/sparsity.py [--folder DIR] [--m4 | --verilog]

Counts are exact (QEMU) or those of the simulated design (Verilator). Weights are random; every product's outputs are compared with
the interpreter.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import few_bits
import numpy as np
import records

from hwcomp import __version__, npz, product, samples
from hwcomp.backends.base import Product
from hwcomp.backends.c import CBackend
from hwcomp.backends.verilog import Verilog
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.verify import compare, engines
from hwcomp.verify.c_host import CHost
from hwcomp.verify.engine import Built
from hwcomp.verify.m4 import CM4
from sw_ref import interp
from sw_ref.program import Edge, Kernel, Layout, Program
from tests.sparse_nets import blocks, n_of_m

DENSITIES = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)


def layer(kind: str, channels: int, kernel: int, size: int, weight: np.ndarray) -> Program:
    """One layer of 8 bits behind one that copies its input, so that it gets scratch; `weight` [M, K] with K as it lies in a window of a
    channels-last map.
    """
    conv = kind == "conv2d"
    shape = (channels, size, size) if conv else (channels,)
    layout = Layout.channels_last(shape) if conv else Layout.row_major(shape)
    one = int(np.float32(1).view(np.uint32))
    rng = np.random.default_rng(0)
    edges = {n: Edge(n, shape, 8, True, -128, 127, one, 0, layout) for n in ("x", "x1", "y")}
    if conv:
        weight = weight.reshape(channels, kernel, kernel, channels).transpose(0, 3, 1, 2)
    copy = {"requantize": {"form": "rne", "shift": 0, "zero": 0, "lo": -128, "hi": 127}}
    first = Kernel("requantize", "copy", ("x",), ("x1",), copy, {"multiplier": np.ones(1, np.int32)})
    return Program(("x",), ("y",), edges, (first, few_bits.dot(kind, "x1", weight.astype(np.int8), rng, 99)))


PATTERNS = {
    "dense": lambda rng, shape: np.ones(shape, bool),
    "blocks 4x4, 50 %": lambda rng, shape: blocks(rng, shape, 4, 4, 0.5),
    "2:4, shared by 4": lambda rng, shape: n_of_m(rng, shape, 2, 4, 4),
    "1:4, shared by 4": lambda rng, shape: n_of_m(rng, shape, 1, 4, 4),
    "2:4 free": lambda rng, shape: n_of_m(rng, shape, 2, 4, 1),
    "single weights, 90 %": lambda rng, shape: blocks(rng, shape, 1, 1, 0.1),
}
LARGE = {
    "blocks 8x8, 50 %": lambda rng, shape: blocks(rng, shape, 8, 8, 0.5),
    "blocks 16x16, 50 %": lambda rng, shape: blocks(rng, shape, 16, 16, 0.5),
}


def weights(pattern, channels: int, k: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 128, (channels, k)) * rng.choice([-1, 1], (channels, k)) * pattern(rng, (channels, k))


def on_m4(program: Program, folder: Path, **options) -> tuple[int, dict]:
    """(instructions of the layer, what the report says of its weights); the product equals the interpreter."""
    back_end = CBackend()
    given = {"x": np.random.default_rng(1).integers(-128, 128, (2, *program.edges["x"].shape)).astype(np.int8)}
    plan = back_end.plan(program, {"arena_slack": 10, **options})
    expected = interp.run(program, given)
    records.write(folder, back_end.emit(program, plan, Product("net", ("a benchmark",), given, expected)))
    for engine in (CHost(), CM4()):
        found = engine.run(Built(folder, {"name": "net"}, program), given, False).values["y"]
        assert (found == expected["y"]).all(), engine
    source = folder / "src"
    few_bits.make_countable(source)
    count = few_bits.product_on_m4(source, r"net_(?!pack|unpack|run|k0_)")["instructions"]
    return count, back_end.report(program, plan)["kernels"][1]["weights"]


def m4_tables(folder: Path) -> None:
    print("| layer | channels | weights | instructions | of dense | bytes | of dense | form |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, channels, kernel, size in (
        ("conv2d", 64, 3, 8), ("conv2d", 128, 3, 4), ("conv2d", 64, 1, 8), ("conv2d", 128, 1, 8), ("dense", 64, 1, 1),
        ("dense", 128, 1, 1), ("dense", 512, 1, 1),
    ):  # fmt: skip
        first = None
        for name, pattern in PATTERNS.items():
            program = layer(kind, channels, kernel, size, weights(pattern, channels, channels * kernel * kernel))
            count, facts = on_m4(program, fresh(folder))
            first = first or (count, facts["bytes"])
            label = f"{kind} {kernel}x{kernel}" if kind == "conv2d" else kind
            print(
                f"| {label} | {channels} | {name} | {count:,} | {count / first[0]:.3f} | {facts['bytes']:,} | "
                f"{facts['bytes'] / first[1]:.3f} | {facts['form']} |", flush=True,
            )  # fmt: skip


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder / "product", ignore_errors=True)
    return folder / "product"


def on_fpga(program: Program, folder: Path, budget: int, skip: bool) -> tuple[int, float, dict]:
    """(lanes, cycles per frame, the layer in the report) of a simulated design that equals the interpreter on every tensor."""
    back_end, given = Verilog(), samples.random_stored(program, 8)
    plan = plan_dataflow(program, budget, skip=skip)
    facts = Product("net", ("a benchmark",), given, interp.run(program, given))
    report = back_end.report(program, plan)
    manifest = {
        "schema": product.SCHEMA, "name": "net", "hwcomp": __version__, "program_sha256": program.sha256(),
        "options": {"targets": ["fpga"]}, "targets": {"fpga": report["interface"]},
    }  # fmt: skip
    files = back_end.emit(program, plan, facts)
    files["program/program.json"] = product.dump_json(program.to_json())
    files["program/constants.npz"] = npz.dumps(program.constants())
    product.write(folder, files, manifest)
    (outcome,) = (
        o for o in compare.verify(product.load(folder), given, [engines.engine("verilator")]) if o.engine != "reference"
    )
    assert outcome.status == "equal", outcome
    return plan.lanes, outcome.stats["cycles_per_frame"], report["stages"][-1]


def verilog_table(folder: Path) -> None:
    print(
        "\n| layer | lanes | weights | cycles | dense | ratio | beats for a pixel | channels chosen |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    channels = 64
    cases = (
        (4, "blocks 4x4, 50 %"), (16, "blocks 4x4, 50 %"), (64, "blocks 8x8, 50 %"), (256, "blocks 16x16, 50 %"),
        *((n, name) for name in ("2:4, shared by 4", "2:4 free", "1:4, shared by 4") for n in (4, 16, 64, 256)),
        (4, "single weights, 90 %"), (64, "single weights, 90 %"),
    )  # fmt: skip
    for kind, kernel in (("conv2d", 3), ("dense", 1)):
        for budget, name in cases if kind == "conv2d" else (cases[1], *cases[4:12]):
            weight = weights({**PATTERNS, **LARGE}[name], channels, channels * kernel * kernel)
            program = layer(kind, channels, kernel, 8, weight)
            sparse, dense = (on_fpga(program, fresh(folder), budget, skip)[1:] for skip in (True, False))
            label = f"{kind} {kernel}x{kernel}" if kind == "conv2d" else kind
            print(
                f"| {label} | {budget} | {name} | {sparse[0]:,.0f} | {dense[0]:,.0f} | {sparse[0] / dense[0]:.3f} | "
                f"{sparse[1].get('zeros', 'all').split(' for')[0]} | {sparse[1].get('select', 'all').split(':')[0]} |", flush=True,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--m4", action="store_true")
    parser.add_argument("--verilog", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if args.m4 or not args.verilog:
            m4_tables(folder)
        if args.verilog or not args.m4:
            verilog_table(folder)


if __name__ == "__main__":
    main()
