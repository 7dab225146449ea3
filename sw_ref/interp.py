"""The interpreter of a Program: the norm that C, Verilog and every other product must equal.

Each kernel kind is one function below, written with the primitives of numerics.py and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sw_ref import numerics as nm
from sw_ref.program import Kernel, Program


def requantize(acc: np.ndarray, kernel: Kernel, axis: int) -> np.ndarray:
    """Apply the kernel's requantize record to accumulators; constants run along `axis` (or have one element)."""
    rq = kernel.params["requantize"]
    if rq["form"] == "threshold":
        t, down = kernel.constants["threshold"], kernel.constants["descending"]
        columns = [_along(t[:, i], acc.ndim, axis) for i in range(t.shape[1])]
        return nm.requantize_threshold(acc, columns, _along(down, acc.ndim, axis), rq["lo"], rq["step"])
    m = _along(kernel.constants["multiplier"], acc.ndim, axis)
    if rq["form"] == "rne":
        return nm.requantize_rne(acc, m, rq["shift"], rq["zero"], rq["lo"], rq["hi"])
    offset = _along(kernel.constants["offset"], acc.ndim, axis)
    return nm.requantize_affine(acc, m, offset, rq["shift"], rq["lo"], rq["hi"])


def _along(constants: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """Constants per channel shaped to broadcast along `axis` of `rank` axes; one for all needs no such axis."""
    shape = [1] * rank
    if constants.size > 1:
        shape[axis] = -1
    return constants.astype(np.int64).reshape(shape)


def _conv2d(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    p, c = kernel.params, kernel.constants
    acc = nm.conv2d_accumulate(
        x, c["weight"], c["bias"], strides=p["strides"], dilations=p["dilations"], pads=p["pads"],
        groups=p["groups"], pad_value=p["pad_value"], acc_bits=p["acc_bits"],
    )  # fmt: skip
    return requantize(acc, kernel, axis=1)


def _dense(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    acc = nm.dense_accumulate(
        x, kernel.constants["weight"], kernel.constants["bias"], acc_bits=kernel.params["acc_bits"]
    )
    return requantize(acc, kernel, axis=acc.ndim - 1)


def _maxpool2d(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    p = kernel.params
    return nm.maxpool2d(
        x, kernel=p["kernel"], strides=p["strides"], dilations=p["dilations"], pads=p["pads"], pad_value=p["pad_value"]
    )


def _requantize(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return requantize(x.astype(np.int64), kernel, axis=1)


def _reshape(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[0], *kernel.params["shape"])


def _argmax(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    index = nm.argmax_first(x, axis=1 + kernel.params["axis"])
    return np.expand_dims(index, 1 + kernel.params["axis"]) if kernel.params["keepdims"] else index


def _add(kernel: Kernel, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rq = kernel.params["requantize"]
    ma, mb = (int(v) for v in kernel.constants["multiplier"])
    offset = int(kernel.constants["offset"][0])
    if rq["form"] == "rne":
        return nm.add_rne(a, b, ma, mb, offset, rq["shift"], rq["zero"], rq["lo"], rq["hi"])
    return nm.add_affine(a, b, ma, mb, offset, rq["shift"], rq["lo"], rq["hi"])


def _mul(kernel: Kernel, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    zero_a, zero_b = kernel.params["zeros"]
    return requantize(nm.product(a, zero_a, b, zero_b), kernel, axis=1)


def _lut(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return nm.look_up(x, kernel.constants["table"], kernel.params["first"])


def _avgpool2d(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    p = kernel.params
    acc = nm.sumpool2d(
        x, kernel=p["kernel"], strides=p["strides"], dilations=p["dilations"], pads=p["pads"], pad_value=p["pad_value"]
    )
    acc = acc + int(kernel.constants["bias"][0])
    rq = p["requantize"]
    m = kernel.constants["multiplier"].astype(np.int64)[kernel.constants["count_class"].astype(np.int64)]
    if rq["form"] == "rne":
        return nm.requantize_rne(acc, m, rq["shift"], rq["zero"], rq["lo"], rq["hi"])
    offset = int(kernel.constants["offset"][0])
    return nm.requantize_affine(acc, m, offset, rq["shift"], rq["lo"], rq["hi"])


def _concat(kernel: Kernel, *xs: np.ndarray) -> np.ndarray:
    return np.concatenate(xs, axis=1 + kernel.params["axis"])


def _slice(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    p = kernel.params
    index = [slice(None)] * x.ndim
    index[1 + p["axis"]] = slice(p["start"], p["stop"])
    return x[tuple(index)]


def _transpose(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return x.transpose(0, *(1 + axis for axis in kernel.params["perm"]))


def _reorder(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return x


def _pad(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    top, left, bottom, right = kernel.params["pads"]
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(x, widths, constant_values=kernel.params["pad_value"])


def _shuffle(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return x[:, kernel.constants["order"].astype(np.int64)]


def _repeat(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    return np.repeat(x, kernel.params["times"], axis=1 + kernel.params["axis"])


def _softmax(kernel: Kernel, x: np.ndarray) -> np.ndarray:
    p, c = kernel.params, kernel.constants
    return nm.softmax(
        x, tuple(1 + a for a in p["axes"]), c["exp"], c.get("exp_fine"), split=p["split"], bits=p["bits"],
        fraction=p["fraction"], zero=p["zero"], lo=p["lo"], hi=p["hi"],
    )  # fmt: skip


KERNELS: dict[str, Callable[..., np.ndarray]] = {
    "add": _add,
    "argmax": _argmax,
    "avgpool2d": _avgpool2d,
    "concat": _concat,
    "conv2d": _conv2d,
    "dense": _dense,
    "lut": _lut,
    "maxpool2d": _maxpool2d,
    "mul": _mul,
    "pad": _pad,
    "reorder": _reorder,
    "repeat": _repeat,
    "requantize": _requantize,
    "reshape": _reshape,
    "shuffle": _shuffle,
    "slice": _slice,
    "softmax": _softmax,
    "transpose": _transpose,
}


def run(program: Program, inputs: dict[str, np.ndarray], observe: Callable[[str, np.ndarray], None] | None = None):
    """Run a batch: integer arrays [N, *shape] by input name -> {edge name: array of the edge's type} for the outputs.

    `observe(name, array)` sees every edge, inputs included, in execution order. Raises ValueError where a value leaves
    the range that the Program declares for its edge: that would be a bug in `lower`.
    """
    values: dict[str, np.ndarray] = {}
    last_use = {n: i for i, k in enumerate(program.kernels) for n in k.inputs}

    def define(name: str, array: np.ndarray) -> None:
        edge = program.edges[name]
        if array.shape[1:] != edge.shape:
            raise ValueError(f"{name!r}: shape {array.shape[1:]}, the program says {edge.shape}")
        if array.size and (int(array.min()) < edge.lo or int(array.max()) > edge.hi):
            raise ValueError(f"{name!r}: value outside the declared range [{edge.lo}, {edge.hi}]")
        if edge.bipolar and not array.all():
            raise ValueError(f"{name!r}: a zero in a tensor of -1 and +1")
        values[name] = array.astype(edge.dtype)
        if observe:
            observe(name, values[name])

    for name in program.inputs:
        define(name, np.asarray(inputs[name]))
    for i, kernel in enumerate(program.kernels):
        define(kernel.outputs[0], KERNELS[kernel.kind](kernel, *(values[n] for n in kernel.inputs)))
        for n in kernel.inputs:
            if last_use[n] == i and n not in program.outputs:
                values.pop(n, None)
    return {name: values[name] for name in program.outputs}
