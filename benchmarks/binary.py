"""A binary 3x3 convolution of 128 channels in C: instructions per product, beside float C of the same layer.

    python benchmarks/binary.py [--folder DIR]

Counts are exact: callgrind on this machine (gcc -O3 -mpopcnt), QEMU for the Cortex-M4. The peer is emx-onnx-cgen's float C; the
float loop is what gcc -O3 vectorizes. Needs gcc, valgrind, arm-none-eabi-gcc and qemu-system-arm.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import few_bits
import numpy as np
import onnx
import peer_emx
from onnx import helper, numpy_helper

from hwcomp.driver import compile_model
from hwcomp.options import CompileOptions
from hwcomp.verify.m4 import per_kernel

CHANNELS, SIZE = 128, 14
MACS = CHANNELS * CHANNELS * 9 * SIZE * SIZE
SAMPLES = 2  # in the product's self-test
LOOP = f"""
#include <string.h>
static float x[{SIZE + 2}][{SIZE + 2}][{CHANNELS}], y[{SIZE}][{SIZE}][{CHANNELS}], w[9][{CHANNELS}][{CHANNELS}];
__attribute__((noinline)) void layer(void)
{{
    memset(y, 0, sizeof y);
    for (int oy = 0; oy < {SIZE}; oy++)
        for (int ox = 0; ox < {SIZE}; ox++)
            for (int t = 0; t < 9; t++)
                for (int c = 0; c < {CHANNELS}; c++)
                    for (int m = 0; m < {CHANNELS}; m++)
                        y[oy][ox][m] += x[oy + t / 3][ox + t % 3][c] * w[t][c][m];
}}
int main(void) {{ layer(); return y[0][0][0] > 1; }}
"""
PEER = f"""
void peer(const float x[1][{CHANNELS}][{SIZE}][{SIZE}], float y[1][{CHANNELS}][{SIZE}][{SIZE}]);
static float x[1][{CHANNELS}][{SIZE}][{SIZE}], y[1][{CHANNELS}][{SIZE}][{SIZE}];
int main(void) {{ peer(x, y); return y[0][0][0][0] > 1; }}
"""


def network(binary: bool) -> onnx.ModelProto:
    """The convolution, alone, or between two signs and in front of another layer, so that bits go in and out."""
    rng = np.random.default_rng(0)
    constants = {"w": np.sign(rng.standard_normal((CHANNELS, CHANNELS, 3, 3))).astype(np.float32)}
    conv = helper.make_node(
        "Conv", ["s" if binary else "x", "w"], ["h" if binary else "y"], pads=[1] * 4, kernel_shape=[3, 3]
    )
    nodes, out = [conv], [1, CHANNELS, SIZE, SIZE]
    if binary:
        for name, scale in (("g", 1), ("b", 1), ("m", 30)):
            constants[name] = (rng.standard_normal(CHANNELS) * scale).astype(np.float32)
        constants["r"] = np.full(CHANNELS, 900, np.float32)
        constants["v"] = np.sign(rng.standard_normal((10, CHANNELS, 1, 1))).astype(np.float32)
        nodes = [
            helper.make_node("Sign", ["x"], ["s"]), conv, helper.make_node("BatchNormalization", ["h", "g", "b", "m", "r"], ["n"]),
            helper.make_node("Sign", ["n"], ["t"]), helper.make_node("Conv", ["t", "v"], ["y"]),
        ]  # fmt: skip
        out = [1, 10, SIZE, SIZE]
    values = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, CHANNELS, SIZE, SIZE]), ("y", out))]
    initializers = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "layer", values[:1], values[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/binary"))
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network(True), folder / "binary.onnx")
    onnx.save(network(False), folder / "float.onnx")
    data = {"x": np.random.default_rng(1).standard_normal((SAMPLES, CHANNELS, SIZE, SIZE)).astype(np.float32)}
    product = folder / "product"
    if product.exists():
        subprocess.run(["rm", "-r", str(product)], check=True)
    built = compile_model(folder / "binary.onnx", product, CompileOptions(("mcu",), calibration=data, name="net"))
    source = product / "src" / "net.c"
    # A function of its own can be counted; nothing else changes.
    (source.parent / "counted.c").write_text(
        source.read_text().replace("static void net_k", "__attribute__((noinline)) void net_k")
    )
    files = ["counted.c", "net_weights.c", "net_static.c", "net_selftest.c", "test_main.c"]
    bits = few_bits.on_host(source.parent, "net_k1_conv2d", files) / SAMPLES
    (folder / "loop.c").write_text(LOOP)
    (folder / "peer_main.c").write_text(PEER)
    command = peer_emx.install(folder / "emx")
    options = [
        "--model-name",
        "peer",
        "--restrict-arrays",
        "--large-weight-threshold",
        "0",
        "--large-temp-threshold",
        "0",
    ]
    subprocess.run([command, "compile", "float.onnx", "peer.c", *options], cwd=folder, check=True, capture_output=True)
    rows = [
        ("bits, gcc -O3 -mpopcnt", bits), ("emx-onnx-cgen, float, gcc -O3", few_bits.on_host(folder, "peer", ("peer_main.c", "peer.c"))),
        ("float loop, vectorized", few_bits.on_host(folder, "layer", ("loop.c",))), ("bits, Cortex-M4", per_kernel(built)["conv2d_1"]),
    ]  # fmt: skip
    main_file = source.parent / "main.c"
    main_file.write_text(few_bits.MAIN)
    files = [main_file, *(source.parent / n for n in ("counted.c", "net_weights.c", "net_static.c"))]
    only = r"net_(k1_|differ)"
    m4_counts = few_bits.on_m4(source.parent, files, source.parent / "baremetal", only)
    print(
        f"3x3, {CHANNELS} to {CHANNELS} channels, {SIZE}x{SIZE}, padded: {MACS} products; packing and thresholds included"
    )
    for label, count in rows:
        print(
            f"{label:32} {count:>14,.0f} instructions  {count / MACS:.4f} per product  {count / bits:.1f} times the bits'"
        )
    loads = ", ".join(
        f"{m4_counts[k]:,} {k} ({m4_counts[k] / MACS:.4f} per product)" for k in ("instructions", "loads", "stores")
    )
    print(f"Cortex-M4, the functions of this layer alone: {loads}; an LDRD or LDM of several registers is one load")
    print()
    few_bits.table(folder)


if __name__ == "__main__":
    main()
