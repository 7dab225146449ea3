"""The C back end: a Program becomes C99 for a microcontroller. Templates hold the text, _c_kernels.py the values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwcomp.backends import _c_forms, _c_zeros
from hwcomp.backends import _c_kernels as kernels
from hwcomp.backends._c_bits import Bits, packed
from hwcomp.backends._c_code import code_bytes
from hwcomp.backends._c_dot import Printed
from hwcomp.backends._c_text import c_type, comment, field_names, render
from hwcomp.backends._c_xnor import unpacked_bytes
from hwcomp.backends.base import Backend, Product
from hwcomp.plan import memory
from hwcomp.plan.memory import MemoryPlan, Step
from hwcomp.plan.work import macs
from hwcomp.registry import backend
from sw_ref.program import Edge, Kernel, Program

# Bytes of stack under NAME_run on a 32-bit core: an upper estimate of the frames of NAME_run_arena, one kernel, its
# block function and a dot product, each of which keeps at most nine registers and a few addresses.
_STACK_FRAMES = 512
_BAREMETAL = (
    "Makefile", "README.md", "board.c", "board.h", "link.ld", "main.c", "semihost.c", "semihost.h", "startup.c",
)  # fmt: skip
_GOLDEN_SAMPLES = 2  # in the self-test


@dataclass(frozen=True)
class Port:
    """One array of NAME_in_t or NAME_out_t."""

    field: str
    edge: Edge

    @property
    def values(self) -> dict[str, Any]:
        e = self.edge
        return {
            "field": self.field, "type": c_type(e.dtype), "size": e.size, "name": comment(e.name),
            "shape": list(e.shape), "zero": e.zero, "scale_bits": e.scale_bits, "lo": e.lo, "hi": e.hi,
        }  # fmt: skip


def ports(program: Program) -> tuple[list[Port], list[Port]]:
    """The struct fields of inputs and outputs, in the order of the Program."""
    ins, outs = field_names(program.inputs), field_names(program.outputs)
    return (
        [Port(f, program.edges[n]) for f, n in zip(ins, program.inputs, strict=True)],
        [Port(f, program.edges[n]) for f, n in zip(outs, program.outputs, strict=True)],
    )


def tap_ids(program: Program) -> dict[str, int]:
    """Edge -> the id that NAME_TAP gets: its place among the edges of the Program."""
    return {name: i for i, name in enumerate(program.edges)}


@backend
class CBackend(Backend):
    """C99 with a static library, a self-test and a bare-metal example."""

    target = "mcu"
    folder = "src"
    kinds = frozenset(kernels.KINDS)

    def supports(self, program: Program) -> None:
        for kernel in program.kernels:
            kernels.supports(program, kernel)

    def plan(self, program: Program, options: dict[str, Any]) -> MemoryPlan:
        self.supports(program)
        bits = packed(program)
        form = options.get("c_weights", "packed")
        work = [kernels.work(program, k, bits, form) for k in program.kernels]
        stored = {name: b.bytes for name, b in bits.items()}
        return memory.plan(
            program, work, kernels.ALIASES, slack=options.get("arena_slack", memory.SLACK), stored=stored
        )

    def emit(self, program: Program, plan: MemoryPlan, product: Product) -> dict[str, str | bytes]:
        p = product.name
        ins, outs = ports(program)
        bits = packed(program)
        printed = [kernels.printed(program, plan, i, bits) for i in range(len(program.kernels))]
        values = {
            "p": p, "banner": [comment(line, 200) for line in product.banner], "plan": plan,
            "ins": [port.values for port in ins], "outs": [port.values for port in outs],
            "arrays": [a for k in printed for a in k.arrays],
        }  # fmt: skip
        files = {
            f"src/{p}.h": render("c/header.h.j2", **values),
            f"src/{p}.c": render("c/model.c.j2", **values, **_model(program, plan, printed, ins, outs, p, bits)),
            f"src/{p}_weights.h": render("c/weights.h.j2", **values),
            f"src/{p}_weights.c": render("c/weights.c.j2", **values),
            f"src/{p}_static.c": render("c/static.c.j2", **values),
            f"src/{p}_golden.h": render("c/golden.h.j2", **values, **_golden(product, ins, outs)),
            f"src/{p}_selftest.c": render("c/selftest.c.j2", **values),
            "src/test_main.c": render("c/test_main.c.j2", **values),
            "src/CMakeLists.txt": render("c/CMakeLists.txt.j2", **values),
        }
        for name in _BAREMETAL:
            files[f"src/baremetal/{name}"] = render(f"c/baremetal/{name}.j2", **values)
        return files

    def report(self, program: Program, plan: MemoryPlan) -> dict[str, Any]:
        bits = packed(program)
        printed = [kernels.printed(program, plan, i, bits) for i in range(len(program.kernels))]
        sizes = [sum(np.dtype(t[:-2]).itemsize * v.size for t, _, v, _ in k.arrays) for k in printed]
        weights = [_c_forms.stored_bytes(k) for k in printed]
        return {
            "arena_bytes": plan.arena_bytes,
            "peak_live_bytes": plan.peak_live,
            "peak_tensor_bytes": plan.peak_tensors,
            "input_bytes": sum(program.edges[n].size * program.edges[n].dtype.itemsize for n in program.inputs),
            "output_bytes": sum(program.edges[n].size * program.edges[n].dtype.itemsize for n in program.outputs),
            "constant_bytes": sum(sizes),
            "weight_bytes": sum(weights),
            "stack_bytes_estimate": _STACK_FRAMES,
            "code_bytes_estimate": code_bytes(program, printed),
            "macs": sum(macs(program, k) for k in program.kernels),
            "kernels": [
                {
                    "name": k.name, "kind": k.kind, "macs": macs(program, k), "constant_bytes": size,
                    "scratch_bytes": step.scratch, "windows": out.k.get("n") if "dot" in out.k else None,
                    "weights": _c_forms.of(k, step, out), "zeros": _zeros(program, k, step, out),
                }
                for k, step, size, out in zip(program.kernels, plan.steps, sizes, printed, strict=True)
            ],
            "buffers": [asdict(b) for b in memory.buffers(program, plan)],
        }  # fmt: skip


def _zeros(program: Program, kernel: Kernel, step: Step, out: Printed) -> dict[str, Any] | None:
    """Of a layer of dot products that are not counts of bits."""
    dots = ("conv2d", "depthwise2d", "dense", "steps", "scatter", "book")
    rows = kernels.rows_of(program, kernel) if out.template in dots else None
    if rows is None:
        return None
    return _c_zeros.of(kernel, rows, step.weights, out.k.get("n", 1), _c_forms.of(kernel, step, out)["form"])


def _model(
    program: Program, plan: MemoryPlan, printed, ins: list[Port], outs: list[Port], p: str, bits: dict[str, Bits]
) -> dict[str, Any]:
    """Values of NAME.c besides the common ones."""
    prims: dict[str, dict] = {}
    for k in printed:
        for (kind, name), values in k.prims.items():
            first = not prims.setdefault(kind, {})
            prims[kind].setdefault(name, values | {"first": first})
    tensors = {}
    for i, (name, edge) in enumerate(program.edges.items()):
        place = plan.places.get(name)
        if place and place.where == "arena" and not _is_alias(program, name):
            kind = {
                "variable": f"t{i}",
                "type": "uint32_t" if name in bits else c_type(edge.dtype),
                "offset": place.offset,
            }
            tensors[name] = kind | {"name": comment(name)}
    permutes, calls = _calls(program, plan, printed, ins, outs, p, tensors)
    return {
        "prims": prims,
        "kernels": [(k.template, k.k) for k in printed],
        "permutes": permutes,
        "calls": calls,
        "tensors": list(tensors.values()),
        "reads_input": any("in->" in c["text"] for c in calls if c["tap"] is None),
    }


def _is_alias(program: Program, name: str) -> bool:
    maker = program.producer(name)
    return maker is not None and maker.kind in kernels.ALIASES


def _calls(program: Program, plan: MemoryPlan, printed, ins: list[Port], outs: list[Port], p: str, tensors: dict):
    """The body of NAME_run_arena: (permutation functions, calls and taps in order)."""
    ids = tap_ids(program)

    def address(name: str) -> str:
        while _is_alias(program, name):
            name = program.producer(name).inputs[0]
        if name in tensors:
            return tensors[name]["variable"]
        place = plan.places[name]
        struct, port = ("in", ins[place.port]) if place.where == "input" else ("out", outs[place.port])
        return f"{struct}->{port.field}"

    def tap(name: str) -> dict[str, Any]:
        return {"tap": ids[name], "text": address(name), "size": program.edges[name].size, "name": comment(name)}

    permutes, calls = [], []
    for i in plan.loads:
        name = program.inputs[i]
        permutes.append(_permute(f"pack{i}", program.edges[name], unpack=False))
        calls.append({"tap": None, "text": f"{p}_pack{i}(in->{ins[i].field}, {address(name)})"})
    calls += [tap(name) for name in program.inputs]
    for i, (kernel, step) in enumerate(zip(program.kernels, plan.steps, strict=True)):
        if printed[i].template:
            suffix = "requantize_all" if kernel.kind == "requantize" else kernel.kind
            arguments = [address(n) for n in (*kernel.inputs, *kernel.outputs)]
            if "pack" in printed[i].k:
                at = step.scratch_offset + step.scratch - unpacked_bytes(program, kernel)
                kind = c_type(program.edges[kernel.outputs[0]].dtype)
                arguments[-1] = f"({kind} *)(bytes + {at})"
            if printed[i].k.get("scratch"):
                arguments.append(f"bytes + {step.scratch_offset}" if step.scratch_offset else "bytes")
            calls.append({"tap": None, "text": f"{p}_k{i}_{suffix}({', '.join(arguments)})"})
            if "pack" in printed[i].k:
                text = f"{p}_k{i}_pack((const {kind} *)(bytes + {at}), {address(kernel.outputs[0])})"
                calls.append({"tap": None, "text": text})
        calls.append(tap(kernel.outputs[0]))
    for i in plan.stores:
        name = program.outputs[i]
        permutes.append(_permute(f"unpack{i}", program.edges[name], unpack=True))
        calls.append({"tap": None, "text": f"{p}_unpack{i}({address(name)}, out->{outs[i].field})"})
    return permutes, calls


def _permute(name: str, edge: Edge, unpack: bool) -> dict[str, Any]:
    """A copy between the caller's row-major array and the carried order."""
    dims, perm = edge.layout.dims, edge.layout.perm
    strides = [int(np.prod(dims[a + 1 :])) for a in range(len(dims))]
    return {
        "name": name, "type": c_type(edge.dtype), "unpack": unpack,
        "comment": f"{comment(edge.name)} {list(edge.shape)}",
        "loops": [("ijklmnop"[n], dims[a], strides[a]) for n, a in enumerate(perm)],
    }  # fmt: skip


def _golden(product: Product, ins: list[Port], outs: list[Port]) -> dict[str, Any]:
    samples = min(_GOLDEN_SAMPLES, *(len(v) for v in (*product.golden_in.values(), *product.golden_out.values())))
    return {
        "samples": samples,
        "golden_in": [[product.golden_in[p.edge.name][i] for p in ins] for i in range(samples)],
        "golden_out": [[product.golden_out[p.edge.name][i] for p in outs] for i in range(samples)],
    }
