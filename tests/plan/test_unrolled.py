"""Shared counters of unrolled layers against the reference; which layers can be unrolled."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.plan import unrolled
from sw_ref import numerics as nm
from tests.few_bits import Bits

BIT = (1, True, True)


def every(lanes):
    return np.arange(1 << lanes)[:, None] >> np.arange(lanes) & 1


def agreeing(weight, x):
    """From the accumulators of the reference: 2p - K."""
    acc = nm.dense_accumulate(2 * x - 1, weight, np.zeros(len(weight), np.int64), acc_bits=16)
    return (acc + np.abs(weight).sum(axis=1)) // 2


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("k", range(1, 8))
@pytest.mark.parametrize("lanes", [1, 5, 11])
def test_counters_count_agreeing_lanes_for_all_inputs(lanes, k, cluster):
    weight = np.random.default_rng(lanes).choice([-1, 1], (9, lanes))
    x = every(lanes)
    np.testing.assert_array_equal(unrolled.share(weight, k, cluster=cluster).agreeing(x), agreeing(weight, x))


@pytest.mark.parametrize("k", [3, 6])
def test_counters_of_many_lanes(k):
    rng = np.random.default_rng(k)
    weight, x = rng.choice([-1, 1], (64, 200)), rng.integers(0, 2, (40, 200))
    np.testing.assert_array_equal(unrolled.share(weight, k).agreeing(x), agreeing(weight, x))


def test_idle_lanes_count_nothing():
    weight = np.random.default_rng(2).choice([-1, 1], (5, 9))
    weight[:, [0, 4, 8]] = 0
    x = every(9)
    np.testing.assert_array_equal(unrolled.share(weight, 4).agreeing(x), agreeing(weight, x))


def test_opposite_and_equal_weights_share_a_counter():
    row = np.random.default_rng(3).choice([-1, 1], (1, 12))
    counters = unrolled.share(np.concatenate([row, -row, row]), 6)
    assert len(counters.group) == 2
    assert (counters.flips[0] != counters.flips[1]).all()


def test_alike_columns_are_put_together():
    rng = np.random.default_rng(4)
    weight = rng.permuted(np.repeat(rng.choice([-1, 1], (64, 6)), 6, axis=1), axis=1)[:, rng.permutation(36)]
    columns = np.repeat(rng.choice([-1, 1], (64, 6)), 6, axis=1)[:, rng.permutation(36)]
    assert len(unrolled.share(columns, 6).group) == 6
    assert len(unrolled.share(columns, 6, cluster=False).group) > 60
    assert len(unrolled.share(weight, 6).group) <= len(unrolled.share(weight, 6, cluster=False).group)


def net():
    return (
        Bits(np.random.default_rng(1))
        .source((20,), BIT)
        .layer(12, "sign", BIT)
        .layer(7, "ternary", BIT)
        .layer(3, "sign", BIT)
    )


def test_layers_are_named_by_kernel_or_node():
    program = net().program()
    first = program.kernels[0]
    assert unrolled.chosen(program, [first.name]) == unrolled.chosen(program, [first.origin[0]]) == {first.name}
    assert unrolled.chosen(program, ["all"]) == {k.name for k in program.kernels}
    assert [unrolled.binary(program, k) for k in program.kernels] == [True, False, True]
    assert unrolled.chosen(program, []) == frozenset()


def test_other_layers_are_refused_by_name():
    b = net().at("t0").steps(BIT)
    for name, why in (("nothing", "no layer has this name"), (b.kernels[-1].name, "is no dense layer or convolution")):
        with pytest.raises(UnsupportedError, match=why) as error:
            unrolled.chosen(b.program(), [name])
        assert name in str(error.value)


def test_large_padded_and_grouped_layers_are_refused(monkeypatch):
    b = Bits(np.random.default_rng(1)).source((4, 5, 5), BIT)
    b.convolution(4, "sign", BIT, groups=2).convolution(4, "int8", BIT, pads=(1, 1, 1, 1))
    for kernel, why in zip(b.program().kernels, ("has groups", "third value"), strict=True):
        with pytest.raises(UnsupportedError, match=why):
            unrolled.chosen(b.program(), [kernel.name])
    with pytest.raises(UnsupportedError) as error:
        unrolled.chosen(b.program(), ["all"])
    first = b.program().kernels[0].name
    assert f"--unroll all: no layer can be unrolled. {first} has groups (and 1 more). only dense" in str(error.value)
    monkeypatch.setattr(unrolled, "MOST", 239)
    with pytest.raises(UnsupportedError, match="240 weights"):
        unrolled.chosen(net().program(), ["dense_0"])
    digits = int(np.abs(net().program().kernels[1].constants["weight"]).sum())
    monkeypatch.setattr(unrolled, "MOST_DIGITS", digits)
    assert "dense_1" in unrolled.chosen(net().program(), ["all"])
    monkeypatch.setattr(unrolled, "MOST_DIGITS", digits - 1)
    with pytest.raises(UnsupportedError, match=f"the weights of dense_1 have {digits} signed digits"):
        unrolled.chosen(net().program(), ["dense_1"])
