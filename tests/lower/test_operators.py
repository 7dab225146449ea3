"""The cases of operators that become several others, in 8 and in 16 bits: every layer of the Program next to its real value,
and the network near onnxruntime's floats."""

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.lower.build import lower
from sw_ref.interp import run
from tests.models import op_cases, quantized
from tests.oracle import worst_steps

NAMES = (
    "Add", "ConvTranspose", "DepthToSpace", "Div", "Expand", "Gather", "GlobalMaxPool", "LogSoftmax", "Max", "Mean", "Min",
    "Mul", "PRelu", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare", "Resize",
    "Slice", "SpaceToDepth", "Sub", "Sum", "Tile", "Upsample",
)  # fmt: skip
CASES = [(label, case) for label, case in op_cases() if label.split(":")[0] in NAMES]
MOVES = ("reshape", "transpose", "reorder", "slice", "repeat", "concat", "shuffle", "maxpool2d")


def floats(model, inputs):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    count = len(next(iter(inputs.values())))
    rows = [session.run(names, {k: v[i : i + 1] for k, v in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([row[i] for row in rows]) for i, name in enumerate(names)}


@pytest.mark.parametrize("quant", ["int8", "int16"])
@pytest.mark.parametrize(("label", "case"), CASES, ids=[label for label, _ in CASES])
def test_near_the_real_values(label, case, quant):
    """Layers round once. The whole network, on its calibration data: a step of the coarsest type per layer."""
    rng = np.random.default_rng(5)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim][1:] for i in case.model.graph.input}
    real = {n: rng.uniform(*case.ranges[n], (16, *shape)).astype(np.float32) for n, shape in shapes.items()}
    lowered = lower(quantized(case.model, check=False, calibration=real, quant=quant)[0])
    program = lowered.program
    stored = samples.to_stored(program, real)
    for name, steps in worst_steps(lowered.graph, program, stored):
        assert steps < 1e-3, name
    inputs = {n: program.edges[n].to_real(q).astype(np.float32) for n, q in stored.items()}
    have, want = run(program, stored), floats(case.model, inputs)
    layers = sum(k.kind not in MOVES for k in program.kernels)
    layers *= 4 if label.startswith("ReduceL2") else 1  # a root is steep near zero
    wide = max(float(e.scale) * 2.0**e.bits for e in program.edges.values())
    for name, array in want.items():
        edge = program.edges[name]
        lo, hi = ((end - edge.zero) * float(edge.scale) for end in edge.type_range)
        off = np.abs(edge.to_real(have[name]) - np.clip(array, lo, hi)).max()
        assert off <= (layers + 1) * wide / 2.0 ** (8 if quant == "int8" else 16) + 1e-6
