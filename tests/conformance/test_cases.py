"""L2: every case of every operator through the whole compiler, every tensor equal on every engine."""

import pytest

from hwcomp.errors import UnsupportedError
from tests.models import op_cases
from tests.products import check, compiled

CASES = op_cases()


def built(case, folder, target):
    """The product, or None where the operator is refused in this place; the refusal names the node."""
    try:
        return compiled(case.model, folder, target, input_ranges=case.ranges, logits=True)
    except UnsupportedError as error:
        assert error.exit_code == 2
        assert error.node in {n.name for n in case.model.graph.node}, str(error)
        return None


def params(fraction=1):
    chosen = CASES[::fraction]
    return pytest.mark.parametrize("case", [c for _, c in chosen], ids=[i for i, _ in chosen])


@params()
def test_c_and_verilog(case, tmp_path):
    product = built(case, tmp_path, "mcu,fpga")
    if product is not None:
        check(product, ("reference", "c", "verilator"))
        return
    product = built(case, tmp_path, "mcu")
    if product is not None:
        check(product, ("reference", "c"), count=40)
