"""Constants of a sum that are no value per channel."""

import numpy as np
import pytest

from hwcomp.passes.base import PassContext
from hwcomp.passes.constant_channels import ConstantChannels
from tests.models import loaded, model, values

SHAPES = [(5,), (3, 5), (1, 5), (3, 1), (2, 3, 5), (2, 1, 5), (1, 3, 5), (1, 2, 3, 5), ()]


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_stay_and_run_along_axis_1(shape):
    from hwcomp.frontend.float_run import run_float

    proto = model([("Add", ["x", "c"], ["y"], {})], {"x": ("N", 2, 3, 5)}, {"c": values("c", *shape)})
    graph = loaded(proto).graph
    made = ConstantChannels().run(graph, PassContext())
    made.check()
    (add,) = (n for n in made.nodes if n.op == "Add")
    constant, x = (made.tensors[n] for n in add.inputs[::-1])
    rank = len(x.shape)
    assert all(n == 1 for axis, n in enumerate((1,) * (rank - len(constant.shape)) + constant.shape) if axis != 1)
    data = {"x": np.arange(60, dtype=np.float32).reshape(2, 2, 3, 5)}
    assert np.array_equal(run_float(made, data)["y"], run_float(graph, data)["y"])


def test_what_is_per_channel_stays():
    proto = model([("Add", ["x", "c"], ["y"], {})], {"x": ("N", 2, 3, 5)}, {"c": values("c", 2, 1, 1)})
    graph = loaded(proto).graph
    assert ConstantChannels().run(graph, PassContext()).nodes == graph.nodes
