"""The interpreter: every kernel kind against plain Python integers, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sw_ref import interp
from sw_ref.program import Layout
from tests.program_factory import Builder, samples
from tests.random_programs import random_program
from tests.sw_ref import exact

ROUNDED = ("add", "avgpool2d", "conv2d", "dense", "mul", "requantize")


def plain_requantize(record, constants, acc, channel):
    m = constants["multiplier"]
    m = int(m[channel if len(m) > 1 else 0])
    if record["form"] == "rne":
        return exact.rne(acc, m, record["shift"], record["zero"], record["lo"], record["hi"])
    c = constants["offset"]
    return exact.affine(acc, m, int(c[channel if len(c) > 1 else 0]), record["shift"], record["lo"], record["hi"])


def plain_average(p, c, x):
    where = {k: p[k] for k in ("kernel", "strides", "dilations", "pads", "pad_value")}
    out = {}
    for at, total in exact.sumpool2d(x.tolist(), **where).items():
        acc = total + int(c["bias"][0])
        assert p["acc_lo"] <= acc <= p["acc_hi"]
        constants = {**c, "multiplier": c["multiplier"][[int(c["count_class"][at[1:]])]]}
        out[at] = plain_requantize(p["requantize"], constants, acc, 0)
    return out


def plain_sum(p, c, a, b):
    acc = a * int(c["multiplier"][0]) + b * int(c["multiplier"][1])
    if p["requantize"]["form"] == "rne":
        acc += int(c["offset"][0])
    return plain_requantize(p["requantize"], {"multiplier": [1], "offset": c["offset"]}, acc, 0)


def plain(kernel, x, *more):
    """One sample through one kernel, element by element."""
    p, c = kernel.params, kernel.constants
    if kernel.kind == "conv2d":
        where = {k: p[k] for k in ("strides", "dilations", "pads", "groups", "pad_value")}
        acc = exact.conv2d(x.tolist(), c["weight"].tolist(), c["bias"].tolist(), **where)
        for value in acc.values():
            assert p["acc_lo"] <= value <= p["acc_hi"]
        out = {at: plain_requantize(p["requantize"], c, v, at[0]) for at, v in acc.items()}
    elif kernel.kind == "dense":
        out = {}
        for at in np.ndindex(*x.shape[:-1]):
            for j, row in enumerate(c["weight"].tolist()):
                acc = int(c["bias"][j]) + sum(w * v for w, v in zip(row, x[at].tolist(), strict=True))
                assert p["acc_lo"] <= acc <= p["acc_hi"]
                out[*at, j] = plain_requantize(p["requantize"], c, acc, j)
    elif kernel.kind == "maxpool2d":
        where = {k: p[k] for k in ("kernel", "strides", "dilations", "pads", "pad_value")}
        out = exact.maxpool2d(x.tolist(), **where)
    elif kernel.kind == "requantize":
        out = {at: plain_requantize(p["requantize"], c, int(v), at[0]) for at, v in np.ndenumerate(x)}
    elif kernel.kind == "avgpool2d":
        out = plain_average(p, c, x)
    elif kernel.kind == "add":
        out = {at: plain_sum(p, c, int(v), int(more[0][at])) for at, v in np.ndenumerate(x)}
    elif kernel.kind == "mul":
        out = {}
        for at, v in np.ndenumerate(x):
            other = int(more[0][tuple(i if n > 1 else 0 for i, n in zip(at, more[0].shape, strict=True))])
            acc = (int(v) - p["zeros"][0]) * (other - p["zeros"][1])
            assert p["acc_lo"] <= acc <= p["acc_hi"]
            out[at] = plain_requantize(p["requantize"], c, acc, 0)
    elif kernel.kind == "lut":
        out = {at: int(c["table"][int(v) - p["first"]]) for at, v in np.ndenumerate(x)}
    elif kernel.kind == "concat":
        lines = [line for part in (x, *more) for line in np.moveaxis(part, p["axis"], 0).tolist()]
        return np.moveaxis(np.array(lines), 0, p["axis"])
    elif kernel.kind == "slice":
        lines = np.moveaxis(x, p["axis"], 0).tolist()
        return np.moveaxis(np.array(lines[p["start"] : p["stop"]]), 0, p["axis"])
    elif kernel.kind == "repeat":
        lines = [line for line in np.moveaxis(x, p["axis"], 0).tolist() for _ in range(p["times"])]
        return np.moveaxis(np.array(lines), 0, p["axis"])
    elif kernel.kind == "shuffle":
        return np.array([x[int(i)].tolist() for i in c["order"]])
    elif kernel.kind == "argmax":
        lines = np.moveaxis(x, p["axis"], -1)
        found = np.array([exact.argmax(lines[at].tolist()) for at in np.ndindex(*lines.shape[:-1])]).reshape(
            lines.shape[:-1]
        )
        return np.expand_dims(found, p["axis"]) if p["keepdims"] else found
    elif kernel.kind == "pad":
        top, left, bottom, right = p["pads"]
        side = [p["pad_value"]]
        width = left + x.shape[2] + right
        empty = [side * width]
        return np.array(
            [empty * top + [side * left + r + side * right for r in c] + empty * bottom for c in x.tolist()]
        )
    elif kernel.kind == "transpose":
        out = {tuple(at[axis] for axis in p["perm"]): int(v) for at, v in np.ndenumerate(x)}
    elif kernel.kind == "reorder":
        return x
    elif kernel.kind == "softmax":
        tables = [kernel.constants[n].tolist() if n in kernel.constants else [] for n in ("exp", "exp_fine")]
        numbers = [p[n] for n in ("split", "bits", "fraction", "zero", "lo", "hi")]
        last = tuple(range(len(x.shape)))[-len(p["axes"]) :]
        moved = np.moveaxis(x, p["axes"], last)
        rows = moved.reshape(-1, math.prod(x.shape[a] for a in p["axes"])).tolist()
        shares = np.array([exact.softmax(row, *tables, *numbers) for row in rows]).reshape(moved.shape)
        return np.moveaxis(shares, last, p["axes"])
    else:
        return x.reshape(p["shape"])
    shape = tuple(n + 1 for n in max(out))
    return np.array([out[at] for at in np.ndindex(*shape)]).reshape(shape)


@pytest.mark.parametrize("seed", range(60))
def test_equals_plain_integers(seed):
    program = random_program(seed)
    inputs = samples(program, 3, seed)
    seen = {}
    outputs = interp.run(program, inputs, observe=lambda name, array: seen.update({name: array}))
    assert list(seen) == [*program.inputs, *(k.outputs[0] for k in program.kernels)]
    for kernel in program.kernels:
        for *xs, y in zip(*(seen[n] for n in (*kernel.inputs, *kernel.outputs)), strict=True):
            assert plain(kernel, *(x.astype(np.int64) for x in xs)).tolist() == y.tolist()
    for name, array in outputs.items():
        assert array.tolist() == seen[name].tolist()
        assert array.dtype == program.edges[name].dtype


def test_random_programs_cover_every_kind_and_form():
    programs = [random_program(seed) for seed in range(60)]
    kernels = [k for p in programs for k in p.kernels]
    assert {k.kind for k in kernels} == set(interp.KERNELS)
    forms = {(k.kind, k.params["requantize"]["form"]) for k in kernels if "requantize" in k.params}
    assert forms == {(kind, form) for kind in ROUNDED for form in ("rne", "affine")}


def test_a_batch_is_its_samples_one_by_one():
    program = random_program(4)
    inputs = samples(program, 6)
    together = interp.run(program, inputs)
    for i in range(6):
        alone = interp.run(program, {n: a[i : i + 1] for n, a in inputs.items()})
        for name, array in alone.items():
            assert array[0].tolist() == together[name][i].tolist()


def small():
    return Builder(np.random.default_rng(2)).input((2, 4, 4), name="x", lo=-100, hi=90).conv2d(3).maxpool2d().program()


@pytest.mark.parametrize("value", [-101, 91])
def test_an_input_outside_its_range_is_refused(value):
    program = small()
    x = np.zeros((2, 2, 4, 4), np.int64)
    x[1, 1, 3, 2] = value
    with pytest.raises(ValueError, match=r"'x': value outside the declared range \[-100, 90\]"):
        interp.run(program, {"x": x})


def test_an_inner_value_outside_its_range_is_refused():
    program = small()
    name = program.kernels[0].outputs[0]
    found = []
    interp.run(program, samples(program, 8), lambda n, a: found.append(a) if n == name else None)
    most = int(found[0].max())
    edges = {**program.edges, name: replace(program.edges[name], hi=most)}
    interp.run(replace(program, edges=edges), samples(program, 8))
    edges[name] = replace(edges[name], hi=most - 1)
    with pytest.raises(ValueError, match=f"'{name}': value outside"):
        interp.run(replace(program, edges=edges), samples(program, 8))


def test_another_shape_is_refused():
    program = small()
    with pytest.raises(ValueError, match="shape"):
        interp.run(program, {"x": np.zeros((1, 2, 4, 5), np.int8)})
    name = program.kernels[0].outputs[0]
    edges = {
        **program.edges,
        name: replace(program.edges[name], shape=(3, 4, 1), layout=Layout.channels_last((3, 4, 1))),
    }
    with pytest.raises(ValueError, match=f"'{name}': shape"):
        interp.run(replace(program, edges=edges), samples(program, 1))


def test_an_output_that_is_read_further_on_is_kept():
    b = (
        Builder(np.random.default_rng(5))
        .input((2, 3, 3), name="x")
        .conv2d(2, (1, 1), name="a")
        .conv2d(2, (1, 1), name="b")
    )
    program = b.program(["b", "a", "x"])
    outputs = interp.run(program, samples(program, 2))
    assert list(outputs) == ["b", "a", "x"]
    assert outputs["x"].tolist() == samples(program, 2)["x"].tolist()
