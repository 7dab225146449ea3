"""A model that is valid under several opsets is the same network under all of them."""

import numpy as np
import onnx

from hwcomp.frontend.float_run import run_float
from hwcomp.frontend.importer import OLDEST_OPSET

# Opset from which on the same text means something else.
CHANGED = {"Softmax": 13, "LogSoftmax": 13, "Resize": 11}


def test_every_opset_under_which_a_case_is_valid(case, load, sample_data):
    model, inputs = case.model, sample_data(case.model, case.ranges, 2)
    given = model.opset_import[0].version
    want = run_float(load(model), inputs)["y"]
    border = max((CHANGED.get(n.op_type, 0) for n in model.graph.node), default=0)
    other = type(model)()
    other.CopyFrom(model)
    for size in want.shape:  # the checker wants a shape; any batch will do
        other.graph.output[0].type.tensor_type.shape.dim.add(dim_value=size)
    tried = 0
    for opset in range(OLDEST_OPSET, onnx.defs.onnx_opset_version() + 1):
        other.opset_import[0].version = opset
        try:
            onnx.checker.check_model(other)
        except onnx.checker.ValidationError:
            continue
        if (opset < border) == (given < border):
            np.testing.assert_array_equal(run_float(load(other), inputs)["y"], want)
            tried += 1
    assert tried
