"""A network pruned on the way in: zeros reach every product, each exploits them as it can, and every tensor is equal on all engines."""

import shutil

import numpy as np
import pytest

from hwcomp import samples
from hwcomp.verify import compare, engines, hls_host
from tests.models import model, values
from tests.products import compiled

PATTERNS = {
    "block": {"block": 0.6}, "shared": {"nm": "2:4", "shared": 4, "skip": "first,apart"}, "weight": {"weight": 0.9},
    "kernel": {"kernel": 0.5, "weight": 0.2}, "vector": {"vector": 0.5},
}  # fmt: skip


def net():
    """Residual, depthwise, grouped and concatenated layers, and a dense one on their maps."""
    constants = {
        "a": values("a", 8, 3, 3, 3), "b": values("b", 8, 8, 3, 3), "c": values("c", 8, 1, 3, 3), "d": values("d", 8, 4, 1, 1),
        "e": values("e", 16, 16 * 9),
    }  # fmt: skip
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        ("Conv", ["x", "a"], ["t"], pads, "first"), ("Relu", ["t"], ["u"], {}),
        ("Conv", ["u", "b"], ["v"], pads, "second"), ("Add", ["v", "u"], ["w"], {}), ("Relu", ["w"], ["r"], {}),
        ("Conv", ["r", "c"], ["s"], {**pads, "group": 8}, "apart"),
        ("Conv", ["r", "d"], ["g"], {"group": 2}, "groups"), ("Concat", ["s", "g"], ["k"], {"axis": 1}),
        ("MaxPool", ["k"], ["m"], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten", ["m"], ["f"], {}),
        ("Gemm", ["f", "e"], ["y"], {"transB": 1}, "last"),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 3, 6, 6)}, constants)


def built(pattern, folder, **options):
    data = {"x": np.random.default_rng(1).uniform(-1, 1, (64, 3, 6, 6)).astype(np.float32)}
    return compiled(
        net(), folder, target="mcu,fpga,hls", calibration=data, pe_simd_budget=24, passes={"sparsify": PATTERNS[pattern]},
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_tensor_on_all_engines(pattern, tmp_path):
    product = built(pattern, tmp_path)
    weights = [k.constants["weight"] for k in product.program.kernels if "weight" in k.constants]
    zeros = [float((w == 0).mean()) for w in weights]
    assert max(zeros) >= 0.5  # quantization may add some to those that were asked for
    names = ["c"]
    names += ["c:m4"] if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm") else []
    names += ["verilator"] if pattern in ("block", "shared") else []
    names += ["hls"] if pattern == "block" and not hls_host.HlsHost().missing() else []
    stored = samples.random_stored(product.program, 3)
    for outcome in compare.verify(product, stored, [engines.engine(n) for n in names]):
        assert (outcome.engine, outcome.status, outcome.detail) == (outcome.engine, "equal", "")


def test_products_say_what_zeros_bring(tmp_path):
    product = built("block", tmp_path)
    assert any("_sparse_" in p.read_text() for p in (product.dir / "src").glob("*.c"))
    assert "hwc_skip" in " ".join(p.name for p in (product.dir / "rtl").iterdir())
