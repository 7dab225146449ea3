"""report.json: what was built, as JSON values. No wall-clock figure, no path."""

from __future__ import annotations

from math import isfinite
from typing import Any

from hwcomp.graph import Graph
from hwcomp.lower.build import Lowered
from hwcomp.lower.staircase import summary
from hwcomp.passes._stages import Stage
from hwcomp.plan.work import macs
from hwcomp.registry import OPS
from hwcomp.report import energy, waterfall
from hwcomp.verify.noise import LayerNoise
from sw_ref.program import Edge, Kernel

SCHEMA = 1


def program_facts(
    name: str,
    model: Graph,
    graph: Graph,
    lowered: Lowered,
    notes: dict[str, list[str]],
    warnings: list[str],
    targets: dict[str, Any],
    stages: list[Stage],
) -> dict[str, Any]:
    """`model`: the graph as it was imported, `graph`: as it was lowered. FLOPs and parameters are those of the compiled network,
    counted as in inspect."""
    program = lowered.program
    proofs = {p.kernel: p for p in lowered.proofs}
    layers = []
    for kernel in program.kernels:
        out = program.edges[kernel.outputs[0]]
        proof = proofs.get(out.name)
        layers.append(
            {
                "kernel": kernel.name, "kind": kernel.kind, "nodes": list(kernel.origin), "output": out.name,
                **_type(out), "macs": macs(program, kernel), "weights": weights(kernel),
                "proof": proof.line() if proof else None,
                "differing_accumulators": proof.differing if proof else 0,
                "accumulators": proof.accumulators if proof else 0,
                "named_accumulators": [list(run) for run in proof.named] if proof else [],
                "named_pairs": [list(pair) for pair in proof.pairs] if proof else [],
            }
        )  # fmt: skip
    all_macs, costs = sum(layer["macs"] for layer in layers), [OPS[node.op].cost(node, graph) for node in graph.nodes]
    others = sum(c.ops for c in costs)
    memory = {"float32": energy.of_graph(model, 32), **energy.of_product(program, others, targets)}
    return {
        "schema": SCHEMA, "name": name, "program_sha256": program.sha256(),
        "inputs": list(program.inputs), "outputs": list(program.outputs),
        "boundary": {n: _type(program.edges[n]) for n in dict.fromkeys((*program.inputs, *program.outputs))},
        "parameters": sum(c.params for c in costs), "weights": sum(layer["weights"] for layer in layers),
        "macs": all_macs, "flops": 2 * all_macs + others,
        "proof": summary(lowered.proofs), "layers": layers, "passes": notes, "warnings": warnings, "targets": targets,
        "memory": memory, "stages": waterfall.facts(stages, program, targets),
    }  # fmt: skip


def _type(edge: Edge) -> dict[str, Any]:
    return {
        "shape": list(edge.shape), "bits": edge.bits, "signed": edge.signed, "range": [edge.lo, edge.hi],
        "scale": float(edge.scale), "zero_point": edge.zero,
    }  # fmt: skip


def weights(kernel: Kernel) -> int:
    return sum(int(kernel.constants[n].size) for n in ("weight", "recurrent") if n in kernel.constants)


def noise_json(layers: tuple[LayerNoise, ...]) -> list[dict[str, Any]]:
    """Rows of JSON values. Rounded, so that the last bits of a machine's float arithmetic do not show.

    `sqnr_db` None: the tensor is exact, or there is no signal at all (then it is bad).
    """
    return [
        {
            "tensor": n.tensor, "sqnr_db": round(n.sqnr_db, 2) if isfinite(n.sqnr_db) else None,
            "lost_db": round(n.lost_db, 2) if isfinite(n.lost_db) else None, "largest_error": float(f"{n.worst:.3g}"),
            "bad": n.bad,
        }
        for n in layers
    ]  # fmt: skip
