"""3x3 convolutions of the C back end by Winograd's F(2x2, 3x3): 16 products per channel for four outputs, not 36, in exact integers.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: Y = A^T [(G g G^T) * (B^T d B)] A. With 2 G in place
of G the transformed weights are integers, and the sums four times the accumulator, so that a shift by 2 is exact. Transformed
weights and values are halfwords; a Cortex-M4 takes two products per instruction, four tiles against two rows at a time.
"""

from __future__ import annotations

import numpy as np

from hwcomp.backends._c_common import ends
from hwcomp.backends._c_dot import Printed
from hwcomp.plan.index_lists import ROWS, forms
from hwcomp.plan.memory import WeightLayout
from sw_ref.program import Edge, Kernel, Program

TILES = 4  # side by side
_POSITIONS = 16
_TURN = 8  # most quads of channels that a turn of the loop takes
_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])  # times 2
_B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # transposed
_INT16, _INT32 = (1 << 15) - 1, (1 << 31) - 1
# Instructions on a Cortex-M4, measured with benchmarks/winograd.py: of four channels of a tile, of a tile that reaches over the edge
# (and per channel), of an output of either form besides its products, of a block of windows or tiles.
_SPREAD, _BORDER, _OUTSIDE, _OUTPUT, _DIRECT_OUTPUT, _BLOCK = 180.0, 48.0, 9.0, 17.0, 12.0, 40.0


# Bytes of code there at -O3: of a layer, of its tiles that reach over the edge, of products, of each quad of channels in their turn.
_LAYER, _EDGE, _PRODUCTS, _QUAD = 1050, 1100, 50, 90


def transformed(weight: np.ndarray) -> np.ndarray:
    """int64 [M, 16, C]: 4 G g G^T of weights [M, C, 3, 3]."""
    found = np.einsum("ai,mcij,bj->mabc", _G, weight.astype(np.int64), _G)
    return found.reshape(len(weight), _POSITIONS, -1)


def largest(lo: int, hi: int) -> np.ndarray:
    """int64 [16]: the largest magnitude that B^T d B has where all d are within lo..hi."""
    rows = np.einsum("ai,bj->abij", _B, _B).reshape(_POSITIONS, -1)
    up, down = np.maximum(rows, 0).sum(axis=1), np.maximum(-rows, 0).sum(axis=1)
    return np.maximum(np.abs(up * hi - down * lo), np.abs(up * lo - down * hi))


def possible(kernel: Kernel, x: Edge, y: Edge) -> bool:
    """Whether the kernel has such a form, and no number in it can leave its type."""
    p, weight = kernel.params, kernel.constants["weight"]
    rows, channels, *size = weight.shape
    if size != [3, 3] or any(list(p[n]) != [1, 1] for n in ("strides", "dilations")) or p["groups"] != 1:
        return False
    if channels % 4 or rows % ROWS or x.dtype.itemsize > 1 or p["acc_bits"] > 32 or len(_tiles(y)) < TILES:
        return False
    u, lo, hi = np.abs(transformed(weight)), min(x.lo, p["pad_value"]), max(x.hi, p["pad_value"])
    v = largest(lo, hi)
    sums = (u.sum(axis=2) * v).sum(axis=1) + 4 * np.abs(kernel.constants["bias"].astype(np.int64))
    return bool(max(u.max(initial=0), v.max()) <= _INT16 and sums.max() <= _INT32)


def _tiles(y: Edge) -> list[tuple[int, int]]:
    """(row, column) of the first output of each tile."""
    return [(r, c) for r in range(0, y.shape[1], 2) for c in range(0, y.shape[2], 2)]


def layout(kernel: Kernel) -> WeightLayout:
    rows, channels = kernel.constants["weight"].shape[:2]
    return WeightLayout(rows, 9 * channels, _POSITIONS * channels, 2, True, "int16_t", winograd=True)


def scratch(kernel: Kernel) -> int:
    """Bytes: transformed values of four tiles, sums of four tiles and two rows, and a tile as it lies in memory."""
    channels = kernel.constants["weight"].shape[1]
    return _POSITIONS * TILES * channels * 2 + _POSITIONS * TILES * 2 * 4 + _POSITIONS * channels


def stored(kernel: Kernel) -> np.ndarray:
    """uint32: for each pair of rows [16][C / 2][2] words of two channels, the lower one in the lower half; of every four channels
    0 and 2, then 1 and 3."""
    u = transformed(kernel.constants["weight"])
    m, positions, channels = u.shape
    pairs = (
        u.reshape(m // 2, 2, positions, channels // 4, 2, 2).transpose(0, 2, 3, 5, 1, 4) & 0xFFFF
    )  # [.., half, row, which]
    return (pairs[..., 0] | pairs[..., 1] << 16).astype(np.uint32).ravel()


def instructions(program: Program, kernel: Kernel) -> tuple[float, float]:
    """On a Cortex-M4: (of this form, of the fastest other one that its zeros allow)."""
    _, y = ends(program, kernel)
    weight = kernel.constants["weight"]
    rows, channels = weight.shape[:2]
    tiles, quads = _tiles(y), channels // 4
    outside = sum(_outside(program, kernel, *tile) for tile in tiles)
    turns = quads // turn(quads)
    products = rows / 2 * (_POSITIONS * (22 * quads + (3 * turns + 17 if turns > 1 else 7)) + 20)
    blocks, count = -(-len(tiles) // TILES), y.shape[1] * y.shape[2]
    mine = blocks * (products + _BLOCK) + len(tiles) * (quads * _SPREAD + 4 * rows * _OUTPUT)
    mine += outside * (_BORDER + _OUTSIDE * channels)
    flat = weight.transpose(0, 2, 3, 1).reshape(rows, -1)
    best = min(f.instructions for f in forms(flat, 9 * channels, TILES))
    return mine, -(-count // TILES) * (best + _BLOCK) + count * rows * _DIRECT_OUTPUT


def chosen(program: Program, kernel: Kernel) -> bool:
    if not possible(kernel, *ends(program, kernel)):
        return False
    mine, others = instructions(program, kernel)
    return mine < others


def explained(program: Program, kernel: Kernel) -> str:
    """What the choice rests on, for the report."""
    mine, others = instructions(program, kernel)
    return f"16 products for 36, {mine / others:.2f} of the instructions expected, 32 bytes for 9 (--c-weights fast)"


def code_bytes(out: Printed) -> int:
    """Of a layer without its products, for a Cortex-M4."""
    return _LAYER + (_EDGE if out.k["outside"] else 0)


def shared_code_bytes(printed: list[Printed]) -> int:
    """Of the products of all layers: those with as many channels share them."""
    turns = {name: v["turn"] for out in printed for (kind, name), v in out.prims.items() if kind == "winograd"}
    return sum(_PRODUCTS + _QUAD * n for n in turns.values())


def add(out: Printed, program: Program, index: int) -> None:
    """The values of the template, primitives and weights."""
    kernel = program.kernels[index]
    x, y = ends(program, kernel)
    rows, channels = kernel.constants["weight"].shape[:2]
    tiles, k = _tiles(y), out.k
    out.template = "winograd"
    k |= {
        "tiles": TILES, "rest": len(tiles) % TILES != 0, "even": y.shape[1] % 2 == 0 and y.shape[2] % 2 == 0,
        "outside": any(_outside(program, kernel, *tile) for tile in tiles), "acc": "int32_t", "scratch": True,
        "winograd": f"{channels}", "tile": f"{channels}_{x.dtype.name}", "zeros": explained(program, kernel), "rows": rows,
    }  # fmt: skip
    common = {"c": channels, "tiles": TILES}
    out.prims["tile", k["tile"]] = {"name": k["tile"], "x": k["x"], "signed": x.dtype.kind == "i", **common}
    out.prims["winograd", k["winograd"]] = {"name": k["winograd"], "turn": turn(channels // 4), **common}
    out.prims["untile", ""] = {"tiles": TILES}
    what = "transformed weights, pairs of rows as [16 positions][channel / 2][2]; channels 0,2,1,3 within four"
    out.arrays.append(("uint32_t", f"w{index}", stored(kernel), what))


def _outside(program: Program, kernel: Kernel, row: int, column: int) -> bool:
    """Whether the tile of these outputs reaches over the edge of the map."""
    (_, height, width), (top, left, _, _) = program.edges[kernel.inputs[0]].shape, kernel.params["pads"]
    return not (0 <= row - top <= height - 4 and 0 <= column - left <= width - 4)


def turn(quads: int) -> int:
    """Quads of channels that a turn of the loop takes."""
    return max(d for d in range(1, _TURN + 1) if quads % d == 0)
