"""Bytes of the weights from the model in float to the product, stage by stage, whole network and by layer.

A stage counts what has to be stored to restore the weights in its form, the overhead of indices included: where zeros are
left out, a byte of distance for each weight that stays (a zero of its own beyond 255); indices of shared values, and their
table. Sources of this way to count: Han et al., "Deep Compression", ICLR 2016, tables 4 and 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwcomp.backends import _c_forms
from hwcomp.passes._stages import Stage
from sw_ref.program import Kernel, Program

FLOAT = 4  # bytes
DISTANCE = 1
STORED = ("mcu", "fpga", "hls")
WORDS = {
    "float": "the model, as float32", "prune": "filters or branches gone", "sparsify": "zeros left out",
    "low_rank": "factored", "few_bits": "few values", "share": "shared values", "vectors": "vectors of shared values",
    "integers": "integers, a byte or more each", "sparse": "integers, zeros left out",
    "shared": "indices of shared values", "mcu": "stored in C", "fpga": "stored in ROMs of the Verilog",
    "hls": "stored in ROMs of the HLS C++",
}  # fmt: skip


CONSTANTS = "all constants: what the product stores, biases, factors and tables, too"


def in_float(weights: int, zeros: int) -> tuple[int, int]:
    """(bytes, of these indices) of float32 weights: all of them, or without the zeros, whatever takes less."""
    left = weights - zeros
    sparse = (FLOAT + DISTANCE) * left
    return (sparse, DISTANCE * left) if sparse < FLOAT * weights else (FLOAT * weights, 0)


def as_they_are(weights: int, zeros: int) -> dict[str, int]:
    """Bytes of weights in float32 and int8, and of both without zeros."""
    left = weights - zeros
    return {
        "float32": FLOAT * weights, "float32, no zeros": (FLOAT + DISTANCE) * left, "int8": weights,
        "int8, no zeros": (1 + DISTANCE) * left,
    }  # fmt: skip


def layers(stages: list[dict[str, Any]]) -> list[str]:
    """Every layer of some stage, those of the model first."""
    return list(dict.fromkeys(node for s in stages for node in s["layers"]))


def facts(stages: list[Stage], program: Program, targets: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each stage {"stage", "parameters", "weights", "zeros", "macs", "flops", "bytes", "index_bytes", "constant_bytes", "layers":
    {node: bytes}}. None: parameters, MACs and FLOPs where a stage changes none; constant bytes, which are all that a product
    stores (biases, factors and tables, too), of what is none."""
    rows = [_of_graph(stage) for stage in stages]
    kernels = [k for k in program.kernels if "weight" in k.constants]
    forms = {k.name: _forms(k) for k in kernels}
    node = {k.name: _node(k, stages[0]) for k in program.kernels}
    zeros = sum(int((a == 0).sum()) for k in kernels for a in _weights(k))
    count = sum(a.size for k in kernels for a in _weights(k))

    def row(name: str, size: dict[str, int], index: int = 0, constants: int | None = None) -> dict[str, Any]:
        layers: dict[str, int] = {}
        for kernel, some in size.items():
            layers[node[kernel]] = layers.get(node[kernel], 0) + some
        return {
            "stage": name, "parameters": None, "weights": count, "zeros": zeros, "macs": None, "flops": None,
            "bytes": sum(size.values()), "index_bytes": index, "constant_bytes": constants, "layers": layers,
        }  # fmt: skip

    if not kernels:
        return rows
    least = None
    for name in ("integers", "sparse", "shared"):
        made = row(name, {k: f[name] for k, f in forms.items()}, sum(f["index"][name] for f in forms.values()))
        if least is None or made["bytes"] < least:
            rows.append(made)
            least = made["bytes"]
    return [*rows, *(row(target, *_stored(found)) for target, found in targets.items())]


def _of_graph(stage: Stage) -> dict[str, Any]:
    sizes = {node: in_float(*counts) for node, counts in stage.layers.items()}
    return {
        "stage": stage.name, "parameters": stage.parameters, "weights": stage.weights, "zeros": stage.zeros, "macs": stage.macs,
        "flops": stage.flops, "bytes": sum(a for a, _ in sizes.values()), "index_bytes": sum(b for _, b in sizes.values()),
        "constant_bytes": None, "layers": {node: a for node, (a, _) in sizes.items()},
    }  # fmt: skip


def _weights(kernel: Kernel) -> list[np.ndarray]:
    return [kernel.constants[n] for n in ("weight", "recurrent") if n in kernel.constants]


def _forms(kernel: Kernel) -> dict[str, Any]:
    """Bytes of a kernel's weights in each form, and what of these are distances (codes and their tables are payload)."""
    flat = np.concatenate([a.ravel() for a in _weights(kernel)])
    found = _c_forms.stages(flat)
    kept = found["sparse"] // (found["integers"] // flat.size + DISTANCE)
    index = {"integers": 0, "sparse": kept, "shared": kept}
    if "codebook" in kernel.constants:
        book, places = kernel.constants["codebook"], kernel.constants["index"]
        coded = book.size + -(-places.size * (book.shape[2] - 1).bit_length() // 8)
        found, index = {**found, "shared": coded}, {**index, "shared": 0}
    return {**found, "index": index}


def _node(kernel: Kernel, first: Stage) -> str:
    """The node of the model that a kernel comes from."""
    return next((n for n in kernel.origin if n in first.layers), kernel.name)


def _stored(found: dict[str, Any]) -> tuple[dict[str, int], int, int]:
    """Bytes of weights and their indices in a product by kernel, of these indices, and of all its constants."""
    if "kernels" in found:
        held = {k["name"]: k["weights"] for k in found["kernels"] if k["weights"]}
        size, index = ({name: w[key] for name, w in held.items()} for key in ("bytes", "index_bytes"))
        return size, sum(index.values()), found["constant_bytes"]
    bits = {s["kernel"]: (s["weight_rom_bits"], s["index_rom_bits"]) for s in found["stages"] if s["weight_rom_bits"]}
    size = {name: -(-(weights + index) // 8) for name, (weights, index) in bits.items()}
    return size, sum(index for _, index in bits.values()) // 8, -(-found["rom_bits"] // 8)
