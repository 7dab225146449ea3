"""Codes in a Program: the round trip, and the refusal of those that are not the weights'."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sw_ref.program import Program
from sw_ref.vectors import decoded, order
from tests.sw_ref.test_program import through_files
from tests.vector_codes import codes, network


@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 4]), st.integers(1, 4), st.integers(0, 99))
def test_weights_are_sums_of_codewords(stages, parts, size, places, seed):
    """One vector at a time, as docs/program.md says it."""
    rng = np.random.default_rng(seed)
    weight, constants, how = codes(rng, 3, (size * parts, places), (1, 0), size, 5, parts, stages)
    book, index, columns = constants["codebook"].astype(int), constants["index"], order(**how["vectors"])
    vectors = index.shape[2]
    for m in range(3):
        for j in range(vectors):
            want = sum(book[s, j * parts // vectors, index[s, m, j]] for s in range(stages))
            assert weight[m, columns[j * size : (j + 1) * size]].tolist() == want.tolist()
    assert (decoded(book, index) == weight[:, columns]).all()


def test_order_is_that_of_a_layout():
    assert order((2, 3), (1, 0)).tolist() == [0, 3, 1, 4, 2, 5]
    assert order([4], [0]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_through_files(seed, tmp_path):
    program = network(seed)
    back = through_files(program, tmp_path)
    assert back.sha256() == program.sha256()
    for a, b in zip(back.kernels, program.kernels, strict=True):
        assert a.params == b.params
        assert all(np.array_equal(a.constants[n], v) for n, v in b.constants.items())


def test_codes_are_in_the_hash():
    """Two codebooks with the same sums are two Programs: what is stored differs."""
    program = network()
    kernel = program.kernels[0]
    book, index = (kernel.constants[n] for n in ("codebook", "index"))
    turned = kernel.constants | {
        "codebook": book[:, :, ::-1].copy(),
        "index": (book.shape[2] - 1 - index).astype(np.uint8),
    }
    other = replace(program, kernels=(replace(kernel, constants=turned), *program.kernels[1:]))
    assert other.sha256() != program.sha256()


def changed(key, value):
    def change(kernel):
        return replace(kernel, constants=kernel.constants | {key: value(kernel.constants[key].copy())})

    return change


def without(key):
    return lambda kernel: replace(kernel, constants={n: a for n, a in kernel.constants.items() if n != key})


def how(value):
    return lambda kernel: replace(kernel, params=kernel.params | {"vectors": value})


def one_more(array):
    array.ravel()[-1] += 1
    return array


HOSTILE = {
    "a weight": (changed("weight", one_more), "1 of 576 weights differ"), "a codeword": (changed("codebook", one_more), "differ"),
    "an index": (changed("index", lambda a: (a + 1) % 32), "differ"),
    "an index that is too large": (changed("index", lambda a: a + np.uint8(200)), "into 32 codewords"),
    "an index below 0": (changed("index", lambda a: -1 - a.astype(np.int8)), "indices from"),
    "rows": (changed("index", lambda a: a[:, 1:]), "vectors of 4 for"),
    "vectors": (changed("index", lambda a: a[:, :, 1:]), "vectors of 4 for"),
    "stages": (changed("index", lambda a: a[:0]), "for an index"), "a shape": (changed("index", lambda a: a[0]), "for an index"),
    "a codebook without words": (changed("codebook", lambda a: a[:, :, :0]), "for an index"),
    "no codebook": (without("codebook"), "belong together"), "no index": (without("index"), "belong together"),
    "no order": (how(None), "belong together"), "an order of other weights": (how({"dims": [4, 8], "perm": [1, 0]}), "do not order 36"),
    "no permutation": (how({"dims": [4, 9], "perm": [1, 1]}), "do not order"),
    "no sizes": (how({"dims": "36", "perm": [0]}), "do not order"),
    "fractions": (how({"dims": [36.0], "perm": [0]}), "do not order"), "an order": (how({"dims": [9, 4], "perm": [1, 0]}), "differ"),
    "another kind": (lambda k: replace(k, kind="maxpool2d"), "belong together"),
}  # fmt: skip


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_codes_are_refused(label):
    change, text = HOSTILE[label]
    program = network()
    with pytest.raises(ValueError, match=text):
        replace(program, kernels=(change(program.kernels[0]), *program.kernels[1:]))


def test_a_damaged_file_is_refused(tmp_path):
    program = network()
    data, constants = program.to_json(), program.constants()
    data["kernels"][0]["params"]["vectors"] = {"dims": [36], "perm": [0]}
    with pytest.raises(ValueError, match="not those of its weights"):
        Program.from_json(data, constants)
