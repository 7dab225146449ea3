"""Where zeros pay: instructions and cycles of one layer against the part of its weights that is left, measured and expected.

    python benchmarks/break_even.py [--tables]

Index lists of the C product on a Cortex-M4 (QEMU, exact) beside the dense kernel, and beats of the Verilog plan at equal lanes;
64 channels of 3x3. Writes docs/break-even.svg and the tables of docs/sparsity.md from what is kept in build/bench.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import records
import sparsity
from records import DOCS, OUT
from sparsity import DENSITIES, PATTERNS, fresh, layer, weights

from hwcomp.backends import _c_kernels
from hwcomp.plan import index_lists
from hwcomp.plan.dataflow import fold_dataflow
from tests.sparse_nets import blocks

CHANNELS, KERNEL, SIZE = 64, 3, 8
SHAPE = CHANNELS, CHANNELS * KERNEL * KERNEL
CURVES = {
    "blocks 4x4": (4, 4, 16),
    "single weights": (1, 1, 4),
}  # rows and columns of what is left, lanes of the Verilog
MEMO = OUT / "break_even.json"
PAGE, PLOT = DOCS / "sparsity.md", DOCS / "break-even.svg"
MARKS = "<!-- benchmarks/break_even.py writes from here -->", "<!-- to here -->"


def measured(folder: Path, known: dict[str, dict[str, list[float]]]) -> None:
    """By curve and density: [instructions of the dense kernel, what the plan expects, beats of the dense design]."""
    base = None
    for name, (rows, columns, lanes) in CURVES.items():
        mine = known.setdefault(name, {})
        for density in DENSITIES:
            if f"{density:.2f}" in mine:
                continue
            if base is None:
                program = layer("conv2d", CHANNELS, KERNEL, SIZE, weights(PATTERNS["dense"], *SHAPE))
                base = sparsity.on_m4(program, fresh(folder))[0]
            w = weights(lambda rng, s, r=rows, c=columns, d=density: blocks(rng, s, r, c, d), *SHAPE)
            dense, *others = index_lists.forms(w, SHAPE[1], 4)
            best = min(others, key=lambda f: f.instructions)
            usual = _c_kernels.layout_of
            _c_kernels.layout_of = lambda *a, b=best, u=usual: replace(u(*a), unit=b.unit, words=b.words)
            program = layer("conv2d", CHANNELS, KERNEL, SIZE, w)
            try:
                count = sparsity.on_m4(program, fresh(folder))[0]
            finally:
                _c_kernels.layout_of = usual
            beats = [fold_dataflow(program, lanes, skip=skip).interval for skip in (True, False)]
            mine[f"{density:.2f}"] = [count / base, best.instructions / dense.instructions, beats[0] / beats[1]]
            print(name, density, mine[f"{density:.2f}"], flush=True)
            records.keep(MEMO, known)


def tables(known: dict[str, dict[str, list[float]]]) -> str:
    head = [f"{name}, {what}" for name in CURVES for what in ("M4", "expected", f"Verilog, {CURVES[name][2]} lanes")]
    lines = ["![Instructions and cycles against density](break-even.svg)", ""]
    lines += [f"| density | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for density in DENSITIES:
        cells = [f"{v:.3f}" for name in CURVES for v in known[name][f"{density:.2f}"]]
        lines.append(f"| {density:.2f} | {' | '.join(cells)} |")
    for name in CURVES:
        points = [(float(d), known[name][d][0]) for d in sorted(known[name])]
        at = _crossing(points)
        where = "above the densities measured" if at is None else f"at a density of {at:.2f}"
        lines += ["", f"{name}: index lists take as many instructions as the dense kernel {where}."]
    return "\n".join(lines)


def _crossing(points: list[tuple[float, float]]) -> float | None:
    """Density at which a rising curve reaches 1, between its points; None where it stays below."""
    for (a, low), (b, high) in pairwise(points):
        if low <= 1 < high:
            return a + (b - a) * (1 - low) / (high - low)
    return None


# --- the plot ---------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP = 560, 300, 52, 16
_COLOURS = {"blocks 4x4": "#2a72c8", "single weights": "#c9541f"}


def plot(known: dict[str, dict[str, list[float]]]) -> str:
    """The curves as SVG: instructions in lines, cycles dashed."""
    top = 1.4

    def at(density: float, ratio: float) -> str:
        return f"{LEFT + density * WIDTH:.1f},{TOP + (1 - min(ratio, top) / top) * HEIGHT:.1f}"

    size = f'viewBox="0 0 {WIDTH + LEFT + 190} {HEIGHT + 60}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect width="100%" height="100%" fill="#fff"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1, 1.25):
        x, y = at(0, tick).split(",")
        bold = ' stroke-width="2"' if tick == 1 else ""
        parts.append(
            f'<path d="M{x} {y}h{WIDTH}" stroke="#ccc"{bold}/><text x="{LEFT - 8}" y="{float(y) + 4:g}" text-anchor="end">{tick:g}</text>'
        )
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = at(tick, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">part of the weights that is left</text>'
    )
    for i, (name, colour) in enumerate(_COLOURS.items()):
        mine = known[name]
        for column, dash, what in ((0, "", "instructions"), (2, ' stroke-dasharray="5 4"', "cycles")):
            points = " ".join(at(float(d), mine[d][column]) for d in sorted(mine))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            y = TOP + 20 + 40 * i + (20 if column else 0)
            x = LEFT + WIDTH + 12
            parts.append(
                f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2"{dash}/><text x="{x + 30}" y="{y}">{name}, {what}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", action="store_true", help="measure nothing, write what is known")
    args = parser.parse_args()
    known = records.kept(MEMO)
    if not args.tables:
        with tempfile.TemporaryDirectory() as folder:
            measured(Path(folder), known)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    PAGE.write_text(
        f"{before}{MARKS[0]}\n\n{tables(known)}\n\n{MARKS[1]}{rest.partition(MARKS[1])[2]}", encoding="utf-8"
    )
    PLOT.write_text(plot(known), encoding="utf-8")


if __name__ == "__main__":
    main()
