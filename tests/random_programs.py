"""Random Programs for tests: chains, and networks with branches and joins."""

from __future__ import annotations

import numpy as np

from hwcomp.lower.layouts import usual
from sw_ref.program import Edge, Layout, Program
from tests.program_elements import random_element
from tests.program_factory import Builder


def random_program(seed: int) -> Program:
    """A network with branches and joins (two seeds of five), or a chain."""
    return random_network(seed) if seed % 5 in (0, 2) else random_chain(seed)


def draws(seed: int):
    """(builder, a function that picks one of its arguments, a function that picks an element type)."""
    rng = np.random.default_rng(seed)

    def draw(*values):
        return values[int(rng.integers(len(values)))]

    def acts():
        many = ((8, True),) * 3, ((8, False),) * 3, ((5, True), (16, True), (12, False), (16, False), (20, True))
        bits, signed = draw(*(t for group in many for t in group))
        return {"bits": bits, "signed": signed}

    return Builder(rng), draw, acts


def random_network(seed: int) -> Program:
    """Three to ten kernels that read any earlier map or vector; several inputs, outputs that others read too."""
    b, draw, acts = draws(seed)
    rng = b.rng
    shape = tuple(int(n) for n in rng.integers((1, 2, 2), (13, 10, 10)))
    b.input(shape, **acts())
    if rng.random() < 0.3:
        b.input(draw(shape, (int(rng.integers(1, 13)), *shape[1:])), **acts())
    for _ in range(int(rng.integers(3, 11))):
        b.at(draw(b.last, draw(*readable(b)).name))
        random_join(b, draw, acts)
    if seed % 10 == 0:
        x = b.x
        channels = (0,) if len(x.shape) == 1 or x.layout == Layout.channels_last(x.shape) else range(len(x.shape))
        b.softmax(tuple(channels), scale=float(2.0 ** rng.integers(4, 8) / (x.hi - x.lo + 1)))
    ends = [n for n in b.edges if not any(n in k.inputs for k in b.kernels)]
    read = [n for n in b.edges if n not in ends]
    outputs = [n for n in ends if n == b.last or rng.random() < 0.5]
    return b.program(outputs + [n for n in read if rng.random() < 0.15])


def readable(b: Builder) -> list[Edge]:
    """Edges in an order that kernels take: feature maps channels-last."""
    return [e for e in b.edges.values() if len(e.shape) == 1 or e.layout == usual(e.shape)]


def random_join(b: Builder, draw, acts) -> None:
    """One kernel, or two where the operands of a join must be made equal first, on `last`."""
    rng, x = b.rng, b.x
    kinds = "add add add concat concat slice repeat shuffle average map map vector pad transpose lut mul mul"
    kind = draw(*kinds.split())
    if kind == "add":
        others = [e.name for e in readable(b) if e.shape == x.shape and e.layout == x.layout]
        mb = [int(draw(1, 2, 8, 16, 24, 31, 31)) for _ in range(2)]
        b.plus(draw(*others), **acts(), mb=mb, **draw({}, {"lo": 0}))
    elif kind in ("lut", "mul"):
        random_element(
            b, kind, draw, acts, [e.name for e in readable(b) if e.shape == x.shape and e.layout == x.layout]
        )
    elif kind == "concat":
        axis = int(rng.integers(len(x.shape))) if rng.random() < 0.3 else 0

        def rest(e):
            return (len(e.shape), *e.shape[:axis], *e.shape[axis + 1 :])

        others = []
        for _ in range(int(rng.integers(1, 4))):
            e = draw(*(e for e in readable(b) if rest(e) == rest(x)))
            if (e.bits, e.signed) != (x.bits, x.signed):
                b.at(e.name).requantize(bits=x.bits, signed=x.signed, per_channel=False)
                e = b.x
            others.append(e.name)
        b.at(x.name).concat(others, axis)
    elif kind == "slice":
        axis = int(rng.integers(len(x.shape))) if rng.random() < 0.3 else 0
        start, stop = sorted(rng.choice(x.shape[axis] + 1, 2, replace=False).tolist())
        b.slice(start, stop, axis)
    elif kind == "repeat" and x.size <= 600:
        b.repeat(int(rng.integers(len(x.shape))), draw(2, 2, 3))
    elif kind == "transpose":
        b.transpose(tuple(int(axis) for axis in rng.permutation(len(x.shape))))
        if b.x.layout != usual(b.x.shape):
            b.reorder()
    elif kind == "pad" and len(x.shape) == 3:
        b.pad([int(n) for n in rng.integers(0, 3, 4)])
    elif kind == "shuffle":
        groups = draw(*(g for g in range(1, x.shape[0] + 1) if x.shape[0] % g == 0))
        b.shuffle(groups=draw(groups, None))
    elif len(x.shape) != 3:
        if x.layout != Layout.row_major(x.shape):
            b.reorder()
        else:
            b.dense(int(rng.integers(1, 12)), **dot_options(b, draw, acts))
    elif kind == "vector":
        b.flatten()
    elif kind == "average":
        how = {**acts(), "mb": draw(8, 16, 24, 31)}
        if rng.random() < 0.4:
            b.global_average(**how)
        else:
            b.avgpool2d(**random_window(b, draw), classes=draw(1, 1, 2, 5, None, None), **how)
    else:
        random_map_kernel(b, draw, acts)


def random_chain(seed: int) -> Program:
    """One to six kernels with every parameter drawn at random."""
    b, draw, acts = draws(seed)
    rng = b.rng
    if rng.random() < 0.8:
        shape = (int(rng.integers(1, 9)), int(rng.integers(1, 12)), int(rng.integers(1, 12)))
        b.input(shape, **acts(), layout=draw(Layout.channels_last(shape), None))
        for _ in range(int(rng.integers(1, 4))):
            random_map_kernel(b, draw, acts)
        if rng.random() < 0.3:
            b.argmax(int(rng.integers(3)), draw(True, False))
            return b.program()
        if rng.random() < 0.6:
            b.flatten()
    else:
        b.input(tuple(int(n) for n in rng.integers(1, 14, int(rng.integers(1, 4)))), **acts(), layout=None)
        if len(b.x.shape) == 3:
            b.edges[b.last] = Edge(**{**vars(b.x), "layout": Layout.row_major(b.x.shape)})
    if len(b.x.shape) == 1 or b.x.layout == Layout.row_major(b.x.shape):
        for _ in range(int(rng.integers(0, 3))):
            b.dense(int(rng.integers(1, 12)), weight_bits=draw(8, 8, 16), **dot_options(b, draw, acts))
        if rng.random() < 0.3:
            b.argmax(len(b.x.shape) - 1, draw(True, False))
    if not b.kernels:
        b.requantize(per_channel=draw(True, False))
    outputs = [b.last]
    if len(b.kernels) > 2 and rng.random() < 0.3:
        outputs.append(b.kernels[int(rng.integers(len(b.kernels) - 1))].outputs[0])
    return b.program(outputs)


def dot_options(b: Builder, draw, acts) -> dict:
    options = {**acts(), **draw({}, {}, {"lo": 0}), "mb": draw(8, 16, 24, 31), "per_channel": draw(True, True, False)}
    return options | {"form": draw(None, "affine"), "bias_bits": draw(1, 16, 20)}


def random_map_kernel(b: Builder, draw, acts) -> None:
    rng, c = b.rng, b.x.shape[0]
    kind = draw("conv2d", "conv2d", "conv2d", "maxpool2d", "requantize", "clamp")
    if kind == "requantize":
        b.requantize(**acts(), per_channel=draw(True, False))
    elif kind == "clamp":
        lo, hi = sorted(rng.integers(b.x.lo, b.x.hi + 1, 2).tolist())
        b.clamp(lo, hi)
    else:
        where = random_window(b, draw)
        if kind == "maxpool2d":
            b.maxpool2d(**where)
        else:
            groups = int(draw(1, 1, c, *(g for g in range(1, c + 1) if c % g == 0)))
            m = groups * int(draw(1, 1, 2, 3, 5))
            b.conv2d(m, groups=groups, weight_bits=draw(8, 8, 8, 16), **where, **dot_options(b, draw, acts))


def random_window(b: Builder, draw) -> dict:
    kernel, strides, dilations, pads = [], [], [], [[], []]
    for n in b.x.shape[1:]:
        d = int(draw(1, 1, 2, 3))
        p0, p1 = int(draw(0, 0, 1, 2)), int(draw(0, 0, 1, 3))
        k = int(b.rng.integers(1, max(2, min(5, (n + p0 + p1 - 1) // d + 1) + 1)))
        if (k - 1) * d + 1 > n + p0 + p1:
            k = 1
        kernel.append(k)
        dilations.append(d)
        strides.append(int(draw(1, 1, 2, 3)))
        pads[0].append(p0)
        pads[1].append(p1)
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": [*pads[0], *pads[1]]}
