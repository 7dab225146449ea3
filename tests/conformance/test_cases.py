"""L2: every case of every operator through the whole compiler; every tensor equal on every engine."""

import pytest

from hwcomp.errors import UnsupportedError
from tests.models import op_cases
from tests.products import check, compiled

CASES = op_cases()


@pytest.mark.parametrize(("label", "case"), CASES, ids=[label for label, _ in CASES])
def test_every_engine_equals_the_reference(label, case, tmp_path):
    """On C and Verilog; where the Verilog back end refuses, the message names the node, and C does it."""
    engines = ("reference", "c", "verilator")
    try:
        product = compiled(case.model, tmp_path, "mcu,fpga", input_ranges=case.ranges)
    except UnsupportedError as error:
        names = {n.name for n in case.model.graph.node}
        assert error.node in names, str(error)
        engines = ("reference", "c")
        product = compiled(case.model, tmp_path, "mcu", input_ranges=case.ranges)
    check(product, engines)


@pytest.mark.parametrize("label", [
    "Conv: conv stride 2 pads 1", "Conv: conv depthwise", "Gemm: gemm transB", "MaxPool: maxpool padded",
    "ArgMax: argmax", "Softmax: Softmax axis", "BatchNormalization: batchnorm", "Reshape: reshape zero copies",
])  # fmt: skip
def test_cortex_m4(label, tmp_path):
    found = dict(CASES)
    case = found[label] if label in found else next(c for name, c in CASES if name.startswith(label.split(":")[0]))
    check(compiled(case.model, tmp_path, "mcu", input_ranges=case.ranges), ("c:m4",), count=4)
