"""The Program: layouts, the round trip through JSON and .npz, the hash, and the refusal of what is damaged."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwcomp import npz
from sw_ref.program import Edge, Kernel, Layout, Program, type_range
from tests.program_factory import Builder
from tests.random_programs import random_program

SEEDS = range(25)


@st.composite
def layouts(draw):
    dims = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    return tuple(dims), tuple(draw(st.permutations(range(len(dims)))))


# --- Layout -----------------------------------------------------------------------------------------------------------


@given(layouts())
def test_order_is_that_of_the_transposed_array(drawn):
    dims, perm = drawn
    want = np.arange(np.prod(dims)).reshape(dims).transpose(perm).ravel()
    layout = Layout(dims, perm)
    assert layout.order().tolist() == want.tolist()
    assert layout.size == len(want)


@given(layouts())
def test_layout_is_canonical(drawn):
    layout = Layout(*drawn)
    assert Layout(layout.dims, layout.perm) == layout
    assert 1 not in layout.dims or layout.dims == (1,)
    assert not any(b == a + 1 for a, b in zip(layout.perm, layout.perm[1:], strict=False))


@given(layouts(), layouts())
def test_layouts_are_equal_exactly_if_their_orders_are(a, b):
    a, b = Layout(*a), Layout(*b)
    assert (a == b) == (a.size == b.size and a.order().tolist() == b.order().tolist())


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 3))
def test_reshape_keeps_the_layout(shape, split):
    """Neighbouring axes merged in logical order carry the elements as before: [C, H, W] channels-last is [C*H*W] so."""
    shape = tuple(shape)
    at = min(split, len(shape))
    merged = (int(np.prod(shape[:at])), int(np.prod(shape[at:])))
    assert Layout.row_major(shape) == Layout.row_major(merged) == Layout(shape, tuple(range(len(shape))))


@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (1, 4, 5), (3, 1, 1), (1, 1, 1), (7,), (), (2, 3), (2, 3, 4, 5), (4, 1, 6)]
)
def test_channels_last(shape):
    want = (
        np.moveaxis(np.arange(np.prod(shape, dtype=int)).reshape(shape), 0, -1).ravel() if shape else np.zeros(1, int)
    )
    assert Layout.channels_last(shape).order().tolist() == want.tolist()


def test_layout_of_a_flattened_map_is_that_of_the_map():
    program = Builder(np.random.default_rng(0)).input((3, 4, 5), name="x").flatten().program()
    x, y = (program.edges[n] for n in (program.inputs[0], program.outputs[0]))
    assert x.layout == y.layout == Layout.channels_last((3, 4, 5))


@pytest.mark.parametrize(("dims", "perm"), [((2, 3), (0, 0)), ((2, 3), (0,)), ((2,), (1,)), ((2, 3), (0, 2))])
def test_wrong_permutations_are_refused(dims, perm):
    with pytest.raises(ValueError, match="does not permute"):
        Layout(dims, perm)


# --- Edge -------------------------------------------------------------------------------------------------------------


def edge(**changes):
    plain = {"name": "e", "shape": (2, 3), "bits": 8, "signed": True, "lo": -8, "hi": 7, "scale_bits": 0x3F800000,
             "zero": 3, "layout": Layout.row_major((2, 3))}  # fmt: skip
    return Edge(**{**plain, **changes})


@pytest.mark.parametrize(
    "changes", [{"lo": -129}, {"hi": 128}, {"lo": 8}, {"signed": False}, {"signed": False, "lo": 0, "hi": 256}]
)
def test_range_must_lie_in_the_type(changes):
    with pytest.raises(ValueError, match="range"):
        edge(**changes)


def test_layout_must_have_the_size_of_the_shape():
    with pytest.raises(ValueError, match="layout"):
        edge(shape=(2, 4))


@pytest.mark.parametrize("signed", [True, False])
def test_dtype_is_the_smallest_that_holds_the_type(signed):
    for bits in range(1, 65):
        dtype = edge(bits=bits, signed=signed, lo=0, hi=0, zero=0).dtype
        info, (lo, hi) = np.iinfo(dtype), type_range(bits, signed)
        assert info.min <= lo <= hi <= info.max
        assert dtype.itemsize == 1 or dtype.itemsize * 4 < bits


def test_boundary_quantizer_is_that_of_onnx():
    """clip(rint(x / scale) + zero), ties to even, in float32."""
    e = edge(scale_bits=int(np.float32(0.5).view(np.uint32)), zero=1, bits=4)
    x = np.array([0.0, 0.25, 0.75, 1.25, -0.25, -0.75, 3.4, 99.0, -99.0], np.float32)
    assert e.from_real(x).tolist() == [1, 1, 3, 3, 1, -1, 7, 7, -8]
    assert e.to_real(np.arange(-8, 8)).tolist() == [(q - 1) * 0.5 for q in range(-8, 8)]


def test_every_integer_survives_the_boundary():
    for bits, signed, zero in ((8, True, -128), (8, False, 7), (12, False, 4095), (16, True, 31)):
        lo, hi = type_range(bits, signed)
        e = edge(bits=bits, signed=signed, lo=lo, hi=hi, zero=zero, scale_bits=int(np.float32(0.0123).view(np.uint32)))
        q = np.arange(lo, hi + 1)
        assert e.from_real(e.to_real(q)).tolist() == q.tolist()


# --- Program ----------------------------------------------------------------------------------------------------------


def through_files(program, folder):
    (folder / "program.json").write_text(json.dumps(program.to_json()))
    (folder / "constants.npz").write_bytes(npz.dumps(program.constants()))
    return Program.from_json(json.loads((folder / "program.json").read_text()), npz.load(folder / "constants.npz"))


@pytest.mark.parametrize("seed", SEEDS)
def test_round_trip_through_files(seed, tmp_path):
    program = random_program(seed)
    back = through_files(program, tmp_path)
    assert (back.inputs, back.outputs, back.edges) == (program.inputs, program.outputs, program.edges)
    for a, b in zip(back.kernels, program.kernels, strict=True):
        assert (a.kind, a.name, a.inputs, a.outputs, a.params, a.origin) == (
            b.kind,
            b.name,
            b.inputs,
            b.outputs,
            b.params,
            b.origin,
        )
        assert a.constants.keys() == b.constants.keys()
        for name, array in a.constants.items():
            assert array.dtype == b.constants[name].dtype
            assert array.tolist() == b.constants[name].tolist()
    assert back.sha256() == program.sha256()


@pytest.mark.parametrize("seed", SEEDS)
def test_hash_covers_every_constant(seed):
    program = random_program(seed)
    for i, kernel in enumerate(program.kernels):
        for name, array in kernel.constants.items():
            changed = array.copy()
            changed.reshape(-1)[-1] ^= 1
            kernels = list(program.kernels)
            kernels[i] = replace(kernel, constants={**kernel.constants, name: changed})
            assert replace(program, kernels=tuple(kernels)).sha256() != program.sha256()


def leaves(value, path=()):
    """Paths of every number, string and truth value in JSON data."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    else:
        yield path


def changed_at(data, path):
    data = copy.deepcopy(data)
    where = data
    for key in path[:-1]:
        where = where[key]
    old = where[path[-1]]
    where[path[-1]] = f"{old}'" if isinstance(old, str) else not old if isinstance(old, bool) else old + 1
    return data


def everything():
    """A Program with every kind of kernel."""
    b = Builder(np.random.default_rng(7)).input((2, 6, 6)).conv2d(3, form="rne").maxpool2d().requantize(form="affine")
    return b.flatten().dense(5, form="affine").argmax().program()


def test_every_field_is_in_the_hash_or_refused():
    """A loaded Program with any one value changed either is refused or has another hash."""
    program = everything()
    data, constants = json.loads(json.dumps(program.to_json())), program.constants()
    paths = list(leaves(data))
    assert len(paths) > 150
    for path in paths:
        try:
            other = Program.from_json(changed_at(data, path), constants)
        except (ValueError, KeyError, TypeError):
            continue
        assert other.sha256() != program.sha256(), path


def test_hash_does_not_depend_on_the_order_of_params_and_constants():
    program = everything()
    kernels = [
        replace(k, params=dict(reversed(k.params.items())), constants=dict(reversed(k.constants.items())))
        for k in program.kernels
    ]
    assert replace(program, kernels=tuple(kernels)).sha256() == program.sha256()


def test_hash_does_not_depend_on_the_byte_order_in_memory():
    program = everything()
    kernels = [
        replace(k, constants={n: a.astype(a.dtype.newbyteorder(">")) for n, a in k.constants.items()})
        for k in program.kernels
    ]
    assert replace(program, kernels=tuple(kernels)).sha256() == program.sha256()


def test_another_schema_is_refused():
    program = everything()
    with pytest.raises(ValueError, match="schema"):
        Program.from_json({**program.to_json(), "schema": 2}, program.constants())


@pytest.mark.parametrize("damage", ["value", "dtype", "shape", "missing"])
def test_other_constants_are_refused(damage):
    program = everything()
    constants = program.constants()
    key = next(k for k in constants if k.endswith("weight"))
    array = constants.pop(key).copy()
    if damage != "missing":
        array.reshape(-1)[0] += damage == "value"
        constants[key] = (
            array.astype(np.int64) if damage == "dtype" else array.reshape(-1) if damage == "shape" else array
        )
    with pytest.raises((ValueError, KeyError)):
        Program.from_json(program.to_json(), constants)


def test_a_float_constant_is_refused():
    with pytest.raises(ValueError, match="not an integer"):
        Kernel("dense", "k", ("x",), ("y",), {}, {"weight": np.ones((1, 1))})


def test_kernels_must_be_in_an_order_of_execution():
    program = everything()
    with pytest.raises(ValueError, match="before it is written"):
        replace(program, kernels=program.kernels[::-1])


def test_outputs_and_tensors_must_be_edges():
    program = everything()
    with pytest.raises(ValueError, match="not an edge"):
        replace(program, outputs=("nothing",))
    with pytest.raises(ValueError, match="not an edge"):
        replace(program, edges={n: e for n, e in program.edges.items() if n != program.outputs[0]})
