"""L2 and L4: every case of every operator wrapped in QuantizeLinear and DequantizeLinear, with its types kept."""

import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.verify.teacher import teacher_forced
from tests.models import op_cases
from tests.products import check, compiled, stress
from tests.qdq import STYLES, wrapped

CASES = [
    (label, case, STYLES[i % len(STYLES)])
    for i, (label, case) in enumerate(op_cases())
    if case.model.opset_import[0].version >= 13 and all(n.op_type != "QuantizeLinear" for n in case.model.graph.node)
]


@pytest.mark.parametrize(("label", "case", "style"), CASES, ids=[label for label, *_ in CASES])
def test_every_case_keeps_its_types(label, case, style, tmp_path):
    """Equal on C; no layer of the model itself, in onnxruntime, differs by more than float noise next to a tie."""
    model = wrapped(case.model, case.ranges, style)
    try:
        product = compiled(model, tmp_path, "mcu", logits=True)
    except UnsupportedError as error:
        assert error.node in {n.name for n in case.model.graph.node}, str(error)
        return
    assert product.manifest["options"]["quant"] == "keep"
    check(product, ("reference", "c"))
    report = teacher_forced(product, stress(product.program))
    assert report.passed, [c for c in report.layers if not c.passed]
