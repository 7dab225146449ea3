"""L2 and L4: every case of every operator wrapped in QuantizeLinear and DequantizeLinear, with its types kept."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.verify.teacher import teacher_forced
from tests.models import op_cases
from tests.products import check, compiled, stress
from tests.qdq import STYLES, Style, wrapped

CASES = [
    (label, case, STYLES[i % len(STYLES)])
    for i, (label, case) in enumerate(op_cases())
    if case.model.opset_import[0].version >= 13 and all(n.op_type != "QuantizeLinear" for n in case.model.graph.node)
]


def within(program, stored, ranges):
    """The same inputs, inside the range that the case is defined on."""
    ends = {n: program.edges[n].from_real(np.asarray(ranges.get(n, (0, 1)))) for n in stored}
    return {n: np.clip(q, *ends[n]).astype(q.dtype) for n, q in stored.items()}


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
    report = teacher_forced(product, within(product.program, stress(product.program), case.ranges))
    assert report.passed, [c for c in report.layers if not c.passed]


WIDE = [
    (label, case, style)
    for label, case, _ in CASES
    if any(
        word in label
        for word in ("conv stride 2", "gemm transB", "add residual", "averagepool padded", "concat branches")
    )
    for style in (Style(np.int16), Style(np.uint16, per_channel=False, bias="float"))
]


@pytest.mark.parametrize(
    ("label", "case", "style"), WIDE, ids=[f"{label} {s.activations.__name__}" for label, _, s in WIDE]
)
def test_activations_of_16_bits(label, case, style, tmp_path):
    test_every_case_keeps_its_types(label, case, style, tmp_path)
