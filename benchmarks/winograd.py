"""3x3 convolutions by Winograd's F(2x2, 3x3): instructions and bytes on a Cortex-M4 beside the direct form.

    python benchmarks/winograd.py [--folder DIR] [--networks] [--lines]

Counts are exact (QEMU), of the whole layer with its transforms and requantizers; outputs are compared on host and M4. `--networks`:
whole networks of the folder `shared`. `--lines`: F(2, 3) along lines only, as a prototype that products don't have
(benchmarks/winograd_1d.c.j2).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import accuracy
import few_bits
import jinja2
import numpy as np
import records
import sparsity
from accuracy import networks

import hwcomp
from hwcomp import samples
from hwcomp.backends import _c_winograd
from hwcomp.backends._c_text import render, rows
from hwcomp.verify import compare, engines, m4
from hwcomp.verify.engine import Built
from hwcomp.verify.m4 import CM4
from sw_ref import interp
from sw_ref.program import Program

CHANNELS = (8, 16, 32, 64, 128)
SIZES = (4, 7, 8, 16, 32)
MOST = (
    128 * 128 * 8 * 8
)  # channels^2 times outputs of a map: what fits the memory of the machine in QEMU, and the patience
NETWORKS = ("resnet8_fused_fashion", "lenet5_caffe_mnist", "squeezenets_fashion", "ic_resnet8")


def layer(channels: int, size: int) -> Program:
    weight = sparsity.weights(sparsity.PATTERNS["dense"], channels, 9 * channels)
    return sparsity.layer("conv2d", channels, 3, size, weight)


def layers(folder: Path) -> None:
    print(
        "| channels | map | instructions, direct | Winograd | of direct | expected | bytes, direct | Winograd | scratch |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for channels in CHANNELS:
        for size in SIZES:
            if channels * channels * size * size > MOST:
                continue
            program = layer(channels, size)
            direct, plain = sparsity.on_m4(program, sparsity.fresh(folder), c_weights="packed")
            count, facts = sparsity.on_m4(program, sparsity.fresh(folder), c_weights="fast")
            mine, others = _c_winograd.instructions(program, program.kernels[1])
            assert facts["form"].startswith("Winograd") == (mine < others)
            print(
                f"| {channels} | {size}x{size} | {direct:,} | {count:,} | {count / direct:.3f} | {mine / others:.3f} |"
                f" {plain['bytes']:,} | {facts['bytes']:,} | {_c_winograd.scratch(program.kernels[1]):,} |", flush=True,
            )  # fmt: skip


def lines(folder: Path) -> None:
    print("| channels | map | of direct, F(2x2, 3x3) | of direct, F(2, 3) |")
    print("|---|---|---|---|")
    for channels in CHANNELS:
        size = 8
        program = layer(channels, size)
        direct, _ = sparsity.on_m4(program, sparsity.fresh(folder), c_weights="packed")
        made = sparsity.fresh(folder)
        both, _ = sparsity.on_m4(program, made, c_weights="fast")
        print(
            f"| {channels} | {size}x{size} | {both / direct:.3f} | {on_lines(program, made) / direct:.3f} |",
            flush=True,
        )


def on_lines(program: Program, folder: Path) -> int:
    """Instructions of the prototype, put in place of the layer of a product; its outputs are those of the interpreter."""
    kernel, source = program.kernels[1], folder / "src"
    weight = kernel.constants["weight"].astype(np.int64)
    m, channels, size = *weight.shape[:2], program.edges["x"].shape[1]
    u = np.einsum("mcij,bj->mbic", weight, _c_winograd._G)
    pairs = u.reshape(m // 2, 2, 4, 3, channels // 4, 2, 2).transpose(0, 2, 3, 4, 6, 1, 5) & 0xFFFF
    words = (pairs[..., 0] | pairs[..., 1] << 16).astype(np.uint32)
    long = 3 * channels
    prim = {"name": "line", "c": long, "tiles": 4, "turn": _c_winograd.turn(long // 4)}
    dot = render("prim/c/winograd.c.j2", p="net", prim=prim)
    for old, new in (("#512", "#128"), ("#248", "#56"), (f"#{128 * long}", f"#{32 * long}")):
        assert old in dot
        dot = dot.replace(old, new)
    template = jinja2.Template((Path(__file__).parent / "winograd_1d.c.j2").read_text(), trim_blocks=True)
    prototype = template.render(c=channels, m=m, size=size, x="int8_t")
    table = f"static const uint32_t line_weights[{words.size}] __attribute__((aligned(4))) = {{\n{rows(words, 'uint32_t')}\n}};\n"
    text = (source / "net.c").read_text()
    start = text.index("void net_run_arena")
    body = text[start:].replace("net_k1_conv2d", "net_k1_line")
    (source / "net.c").write_text(text[:start] + table + dot + prototype + body)
    given = {"x": np.random.default_rng(1).integers(-128, 128, (2, *program.edges["x"].shape)).astype(np.int8)}
    found = CM4().run(Built(folder, {"name": "net"}, program), given, False).values["y"]
    assert (found == interp.run(program, given)["y"]).all()
    return few_bits.product_on_m4(source, r"(net|line)_(?!pack|unpack|run|k0_)")["instructions"]


def whole(shared: Path) -> None:
    print("| network | --c-weights | instructions | bytes | RAM | layers |")
    print("|---|---|---|---|---|---|")
    accuracy.CALIBRATION = 256
    for network in networks(shared):
        if network.name not in NETWORKS:
            continue
        calibration, test, _ = network.samples()
        for form in ("packed", "fast"):
            with tempfile.TemporaryDirectory() as folder:
                built = hwcomp.compile(
                    network.model, Path(folder) / "out", target="mcu", calibration=calibration, c_weights=form
                )
                stored = samples.to_stored(built.program, {n: x[:2] for n, x in test.items()})
                (outcome,) = compare.verify(built, stored, [engines.engine("c:m4")])
                assert outcome.status == "equal", outcome.detail
                figures, text = m4.measure(built), (built.dir / "report.json").read_text()
            print(
                f"| {network.name} | {form} | {figures['instructions']:,} | {figures['weight_bytes']:,} | {figures['ram_bytes']:,} |"
                f" {text.count('Winograd F(')} |", flush=True,
            )  # fmt: skip


def main() -> None:
    parser = records.arguments(__doc__)
    parser.add_argument("--folder", type=Path, help="where products are built")
    parser.add_argument("--networks", action="store_true", help="only whole networks")
    parser.add_argument("--lines", action="store_true", help="only the prototype along lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made) / "layer"
        if options.lines:
            lines(folder)
        elif options.networks:
            whole(options.shared)
        else:
            layers(folder)


if __name__ == "__main__":
    main()
