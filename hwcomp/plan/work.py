"""The work of a kernel, whatever executes it."""

from __future__ import annotations

from sw_ref.program import Kernel, Program


def macs(program: Program, kernel: Kernel) -> int:
    """Multiply-accumulates of one sample; taps on padding count, as is usual."""
    out, c = program.edges[kernel.outputs[0]], kernel.constants
    if kernel.kind in ("conv2d", "dense"):
        return out.size * c["weight"][0].size
    if kernel.kind in ("gru", "lstm"):
        return (c["weight"].size + c["recurrent"].size) * kernel.params["steps"]
    if kernel.kind == "matmul":
        a, b = (program.edges[n] for n in kernel.inputs)
        return a.size * b.shape[-1]
    return 0
