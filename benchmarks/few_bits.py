"""Layers of few bits in C: bytes of weights, and instructions and loads per product on this machine and on a Cortex-M4.

    python benchmarks/few_bits.py [--folder DIR]

Counts are exact (callgrind, gcc -O3 -mpopcnt; QEMU). Each layer is compiled in every form that the C back end knows, with all the
scratch that it asks for: what the plan's choice rests on. Index lists, which it does not use, stand beside them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import m4
import numpy as np
import records

from hwcomp.backends import _c_bits
from hwcomp.backends.base import Product
from hwcomp.backends.c import CBackend
from sw_ref import interp
from sw_ref.program import Edge, Kernel, Layout, Program

CHANNELS, SIZE, VECTOR = 128, 14, 512
FLAGS = ("-O3", "-mpopcnt", "-std=c99", "-w")
SOURCES = ("main.c", "net.c", "net_weights.c", "net_static.c")
FORMS = {
    "int8": range(-127, 128), "int4": range(-7, 8), "int3": range(-3, 4), "int2": (-2, -1, 0, 1), "ternary": (-1, 0, 1),
    "binary": (-1, 1),
}  # fmt: skip
MAIN = (
    '#include "net.h"\nstatic net_in_t in;\nstatic net_out_t out;\nint main(void) { net_run(&in, &out); return 0; }\n'
)
LISTS = """
#include <stdint.h>
#define ROWS 128
#define K 1152
int8_t x[K];
uint16_t at[ROWS][K];
int16_t plus[ROWS], end[ROWS];
int32_t y[ROWS];
__attribute__((noinline)) void layer(void)
{
    for (int m = 0; m < ROWS; m++) {
        int32_t a = 0;
        int i = 0;
        for (; i < plus[m]; i++)
            a += x[at[m][i]];
        for (; i < end[m]; i++)
            a -= x[at[m][i]];
        y[m] = a;
    }
}
int main(void)
{
    for (int m = 0; m < ROWS; m++) {
        plus[m] = K / 3;
        end[m] = 2 * K / 3;
        for (int i = 0; i < end[m]; i++)
            at[m][i] = (uint16_t)(i * 7 % K);
    }
    layer();
    return y[ROWS - 1];
}
"""


def program(kind: str, weights, inputs: tuple[int, int] | str) -> Program:
    """A layer behind an 8-bit input; `inputs`: the range of its activations, which thresholds make, "bits" for -1 and +1."""
    rng = np.random.default_rng(0)
    shape = (CHANNELS, SIZE, SIZE) if kind == "conv2d" else (VECTOR,)
    layout = Layout.channels_last(shape) if kind == "conv2d" else Layout.row_major(shape)
    one = int(np.float32(1).view(np.uint32))
    edges = {"x": Edge("x", shape, 8, True, -128, 127, one, 0, layout)}
    kernels, last = [], "x"
    if inputs != (-128, 127):
        lo, hi = (-1, 1) if inputs == "bits" else inputs
        step = 2 if inputs == "bits" else 1
        record = {"form": "threshold", "lo": lo, "hi": hi, "step": step}
        t = np.arange((hi - lo) // step, dtype=np.int8)[None]
        edges["s"] = Edge("s", shape, 1 if inputs == "bits" else 4, True, lo, hi, one, 0, layout, inputs == "bits")
        constants = {"threshold": t, "descending": np.zeros(1, np.int8)}
        kernels.append(Kernel("requantize", "sign", ("x",), ("s",), {"requantize": record}, constants))
        last = "s"
    size = (CHANNELS, CHANNELS, 3, 3) if kind == "conv2d" else (VECTOR, VECTOR)
    weight = rng.choice(np.array(list(weights)), size).astype(np.int8)
    edges["y"] = Edge("y", shape, 8, True, -128, 127, one, 0, layout)
    return Program(("x",), ("y",), edges, (*kernels, dot(kind, last, weight, rng)))


def dot(kind: str, source: str, weight: np.ndarray, rng: np.random.Generator, margin: int = 0) -> Kernel:
    """The kernel "layer" from `source` to "y", maps padded to the same size; accumulators have room for `margin` more."""
    most = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1).max()) * 128 + margin
    params = {"acc_bits": most.bit_length() + 1, "acc_lo": -most, "acc_hi": most}
    params["requantize"] = {"form": "affine", "shift": 34, "lo": -128, "hi": 127}
    if kind == "conv2d":
        size = weight.shape[2]
        params |= {"kernel": [size] * 2, "strides": [1, 1], "dilations": [1, 1], "pads": [size // 2] * 4, "groups": 1}
        params["pad_value"] = 0
    constants = {
        "weight": weight, "bias": rng.integers(-99, 99, len(weight)), "multiplier": rng.integers(1 << 24, 1 << 25, len(weight)),
        "offset": np.array([1 << 33]),
    }  # fmt: skip
    return Kernel(kind, "layer", (source,), ("y",), params, constants)


def product(layer: Program, folder: Path, **options) -> dict:
    """The C product in `folder`; what its report says of the layer's weights."""
    back_end = CBackend()
    edge = layer.edges["x"]
    given = {"x": np.random.default_rng(1).integers(-128, 128, (1, *edge.shape)).astype(np.int8)}
    plan = back_end.plan(layer, {"arena_slack": 10, **options})
    records.write(folder, back_end.emit(layer, plan, Product("net", ("a benchmark",), given, interp.run(layer, given))))
    make_countable(folder / "src")
    return back_end.report(layer, plan)["kernels"][-1]["weights"]


def make_countable(source: Path) -> None:
    """A main() beside the C of product `net`, whose kernels become functions of their own; nothing else changes."""
    (source / "main.c").write_text(MAIN)
    text = (source / "net.c").read_text()
    (source / "net.c").write_text(text.replace("static void net_k", "static __attribute__((noinline)) void net_k"))


def on_host(folder: Path, function: str, sources: Sequence[str]) -> int:
    """Instructions inside `function`, with what it calls (callgrind)."""
    subprocess.run(["gcc", *FLAGS, *sources, "-lm", "-o", "run"], cwd=folder, check=True)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=counts", f"--toggle-collect={function}", "./run"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def on_m4(folder: Path, sources: list[Path], board: Path, only: str) -> dict[str, int]:
    """Instructions, loads and stores of the functions that `only` matches."""
    image = folder / "image.elf"
    m4.build(image, sources, board, ["-O3", "-std=c99", "-w"], 4096)
    return m4.memory_operations(image, b"", only)


def product_on_m4(source: Path, only: str) -> dict[str, int]:
    """The same, of a product that is countable."""
    return on_m4(source, [source / f for f in SOURCES], source / "baremetal", only)


def measured(folder: Path, layer: Program, **options) -> tuple[dict, float, float, float]:
    """(what the report says, instructions per product here, on the M4, loads per product there)."""
    facts = product(layer, folder, **options)
    kernel, source = layer.kernels[-1], folder / "src"
    number = len(layer.kernels) - 1
    products = layer.edges["y"].size * kernel.constants["weight"][0].size
    host = on_host(source, f"net_k{number}_{kernel.kind}", SOURCES)
    only = r"net_(?!pack|unpack|run|k\d+_requantize_all|k\d+_pack)"
    found = product_on_m4(source, only)
    return facts, host / products, found["instructions"] / products, found["loads"] / products


def table(folder: Path) -> None:
    print(
        f"{'layer':8} {'weights':8} {'inputs':8} {'form':32} {'bytes':>8} {'less':>6} {'x86':>7} {'M4':>7} {'loads':>7}"
    )

    def row(kind, name, inputs, what, **options):
        layer = program(kind, FORMS[name], inputs)
        at = folder / f"{kind}_{name}_{what}_{options.get('c_weights', '')}".replace(" ", "_").replace("*", "_")
        facts, host, target, loads = measured(at, layer, **options)
        label = f"{kind:8} {name:8} {what:8} {facts['form']:32} {facts['bytes']:8,} {facts['saving']:5.1f}x"
        print(f"{label} {host:7.4f} {target:7.4f} {loads:7.4f}", flush=True)

    for kind in ("conv2d", "dense"):
        for name in FORMS:
            row(kind, name, (-128, 127), "8 bits")
        row(kind, "ternary", (-128, 127), "8 bits", c_weights="fast")
        for name in ("binary", "ternary"):
            row(kind, name, "bits", "+-1")
            row(kind, name, (0, 3), "2 bits")
            row(kind, name, (0, 7), "3 bits")
            masked = name == "ternary"  # and in the other form, which is not taken
            usual, _c_bits.MOST[masked] = _c_bits.MOST[masked], 3 if masked else 2
            row(kind, name, (0, 7), "3 bits*")
            _c_bits.MOST[masked] = usual
    (folder / "lists.c").write_text(LISTS)
    board = folder / "conv2d_int8_8_bits_" / "src" / "baremetal"
    host = on_host(folder, "layer", ["lists.c"]) / (128 * 1152)
    found = on_m4(folder, [folder / "lists.c"], board, "layer")
    target, loads = (found[k] / (128 * 1152) for k in ("instructions", "loads"))
    label = f"{'lists':8} {'ternary':8} {'8 bits':8} {'indices of +1 and -1, 2/3 of all':32} {128 * 1152 * 4 // 3:8,} {3:5.1f}x"
    print(f"{label} {host:7.4f} {target:7.4f} {loads:7.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/few_bits"))
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table(folder)


if __name__ == "__main__":
    main()
