"""What all kernel kinds of the C back end share: refusals, the numbers of a window, the comment over a function."""

from __future__ import annotations

from typing import Any

from hwcomp.backends._c_text import c_type, comment
from hwcomp.errors import UnsupportedError
from hwcomp.plan.memory import Work
from sw_ref.program import Edge, Kernel, Layout, Program


def refuse(kernel: Kernel, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"the C back end can't print a {kernel.kind} kernel", node=(kernel.origin or (kernel.name,))[0], why=why,
        fix="ask for another target",
    )  # fmt: skip


def ends(program: Program, kernel: Kernel) -> tuple[Edge, Edge]:
    return program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]


def check_order(program: Program, kernel: Kernel) -> None:
    x, y = ends(program, kernel)
    if x.layout != y.layout:
        raise refuse(kernel, "its input and output lie in different orders")


def check_map(program: Program, kernel: Kernel) -> None:
    for edge in ends(program, kernel):
        if len(edge.shape) != 3:
            raise refuse(kernel, f"it needs tensors [channels, height, width], not {list(edge.shape)}")
        if edge.layout != Layout.channels_last(edge.shape):
            raise refuse(kernel, "it needs its maps channels last")


def no_work(program: Program, kernel: Kernel) -> Work:
    return Work()


def work_in_place(program: Program, kernel: Kernel) -> Work:
    """The output may take the memory of the input where its elements are as large."""
    x, y = ends(program, kernel)
    return Work(in_place=(0,) if x.dtype.itemsize == y.dtype.itemsize else ())


def map_values(kernel: Kernel, x: Edge, y: Edge) -> dict[str, Any]:
    p = kernel.params
    (kh, kw), (sh, sw), (dh, dw) = p["kernel"], p["strides"], p["dilations"]
    (c, height, width), (m, oh, ow) = x.shape, y.shape
    top, left, _, _ = p["pads"]

    def inner(pad: int, size: int, extent: int, stride: int, outs: int) -> tuple[int, int]:
        """The outputs whose windows lie inside."""
        first = min(-(-pad // stride), outs)
        return first, max(first, min(outs, (size - extent + pad) // stride + 1))

    oy0, oy1 = inner(top, height, (kh - 1) * dh + 1, sh, oh)
    ox0, ox1 = inner(left, width, (kw - 1) * dw + 1, sw, ow)
    return {
        "kh": kh, "kw": kw, "sh": sh, "sw": sw, "dh": dh, "dw": dw, "c": c, "height": height, "width": width, "m": m,
        "oh": oh, "ow": ow, "pt": top, "pl": left, "oy0": oy0, "oy1": oy1, "ox0": ox0, "ox1": ox1,
        "pad": p["pad_value"], "border": (oy0, oy1, ox0, ox1) != (0, oh, 0, ow), "x": c_type(x.dtype),
        "y": c_type(y.dtype), "x_bytes": x.dtype.itemsize,
    }  # fmt: skip


def window_text(kernel: Kernel) -> str:
    p = kernel.params
    text = f"kernel {p['kernel'][0]}x{p['kernel'][1]}, stride {p['strides'][0]}x{p['strides'][1]}"
    if list(p["dilations"]) != [1, 1]:
        text += f", dilation {p['dilations'][0]}x{p['dilations'][1]}"
    if any(p["pads"]):
        text += f", pads {list(p['pads'])} of {p['pad_value']}"
    if p.get("groups", 1) > 1:
        text += f", {p['groups']} groups"
    return text


def heading(program: Program, index: int, *lines: str) -> str:
    """The comment over a kernel's function."""
    kernel = program.kernels[index]
    origin = f", from ONNX {comment(', '.join(kernel.origin))}" if kernel.origin else ""
    text = [f"/* Layer {index}: {comment(kernel.name)} ({kernel.kind}){origin}."]
    xs, y = (program.edges[n] for n in kernel.inputs), program.edges[kernel.outputs[0]]
    text.append(f"   {' and '.join(map(shown, xs))} -> {shown(y)}")
    text += [f"   {line}" for line in lines]
    return "\n".join(text) + " */"


def shown(e: Edge) -> str:
    last = ", channels last" if e.layout == Layout.channels_last(e.shape) != Layout.row_major(e.shape) else ""
    return f"{c_type(e.dtype)} {list(e.shape)}{last}, {e.lo}..{e.hi}"
