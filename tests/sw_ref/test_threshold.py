"""The threshold form against exact arithmetic, and edges of one bit."""

from dataclasses import replace

import numpy as np
import pytest

from sw_ref import interp
from sw_ref import numerics as nm
from sw_ref.program import Edge, Kernel, Layout, Program, type_range


@pytest.mark.parametrize("seed", range(20))
def test_counts_thresholds(seed):
    rng = np.random.default_rng(seed)
    a, n = rng.integers(-40, 40, 200), int(rng.integers(1, 8))
    thresholds, down = rng.integers(-45, 45, n), int(rng.integers(0, 2))
    lo, step = int(rng.integers(-9, 9)), int(rng.integers(1, 3))
    have = nm.requantize_threshold(a, thresholds, down, lo, step)
    for value, y in zip(a.tolist(), have.tolist(), strict=True):
        count = sum(value >= t for t in thresholds.tolist())
        assert y == lo + step * (n - count if down else count)


def edge(name, shape, bipolar=True, **changes):
    lo, hi = type_range(1 if bipolar else 8, True, bipolar)
    base = Edge(name, shape, 1 if bipolar else 8, True, lo, hi, 0x3F800000, 0, Layout.row_major(shape), bipolar)
    return replace(base, **changes)


def program(weight, threshold, down):
    record = {"form": "threshold", "lo": -1, "hi": 1, "step": 2}
    params = {"acc_bits": 8, "acc_lo": -9, "acc_hi": 9, "requantize": record}
    m, k = weight.shape
    constants = {
        "weight": weight.astype(np.int8), "bias": np.zeros(m, np.int8), "threshold": threshold.astype(np.int8),
        "descending": down.astype(np.int8),
    }  # fmt: skip
    kernel = Kernel("dense", "dense_0", ("x",), ("y",), params, constants)
    return Program(("x",), ("y",), {"x": edge("x", (k,)), "y": edge("y", (m,))}, (kernel,))


@pytest.mark.parametrize("seed", range(20))
def test_a_binary_layer_is_xnor_and_popcount(seed):
    """p = popcount(~(x ^ w)) over K lanes, dot = 2p - K; -1 and +1 out, falling channels the other way round."""
    rng = np.random.default_rng(seed)
    m, k = int(rng.integers(1, 9)), int(rng.integers(1, 10))
    weight, x = rng.choice([-1, 1], (m, k)), rng.choice([-1, 1], (5, k))
    threshold, down = rng.integers(-k - 1, k + 2, (m, 1)), rng.integers(0, 2, m)
    have = interp.run(program(weight, threshold, down), {"x": x})["y"]
    for i in range(5):
        for j in range(m):
            bits = sum(int(a > 0) << n for n, a in enumerate(x[i]))
            row = sum(int(w > 0) << n for n, w in enumerate(weight[j]))
            p = (~(bits ^ row) & ((1 << k) - 1)).bit_count()
            reached = 2 * p - k >= threshold[j, 0]
            assert have[i, j] == (1 if reached != down[j] else -1)


def test_a_zero_in_a_bipolar_tensor_is_refused():
    p = program(np.ones((2, 3)), np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="a zero in a tensor of -1 and \\+1"):
        interp.run(p, {"x": np.array([[1, 0, -1]])})


def test_bipolar_edges_survive_a_round_trip_and_are_told_apart():
    p = program(np.ones((2, 3)), np.zeros((2, 1)), np.zeros(2))
    again = Program.from_json(p.to_json(), p.constants())
    assert again.edges == p.edges
    assert again.sha256() == p.sha256()
    plain = replace(p, edges={**p.edges, "x": edge("x", (3,), bipolar=False, bits=2, lo=-1, hi=1)})
    assert plain.sha256() != p.sha256()
    with pytest.raises(ValueError, match="a bipolar tensor has 1 bit"):
        edge("x", (3,), bits=2)


def test_the_boundary_of_a_bipolar_tensor_is_the_sign():
    e = edge("x", (4,))
    q = e.from_real(np.array([-0.5, 0.0, 3.0, -9.0]))
    assert q.tolist() == [-1, 1, 1, -1]
    assert e.to_real(q).tolist() == [-1.0, 1.0, 1.0, -1.0]


def test_the_boundary_clips_to_the_declared_range():
    e = edge("x", (3,), bipolar=False, lo=-127, hi=100)
    assert e.from_real(np.array([-500.0, 5.0, 500.0])).tolist() == [-127, 5, 100]
