"""What the operators refuse that become several others, and the operators that are refused with a reason of their own."""

import numpy as np
import pytest

from hwcomp.errors import UnsupportedError
from hwcomp.ops import refused
from hwcomp.registry import OPS
from tests.ops.test_rules import BROKEN, UNSUPPORTED, X2, X4, F, W, ints, one, with_list


def with_sizes(sizes, shapes):
    """Resize to constant sizes."""
    return one("Resize", ["x", "", "", "i"], {}, shapes, ints(i=sizes))


REFUSED = {
    "reducemean everything": (one("ReduceMean", ["x"], {}, X4), UNSUPPORTED, "axes [0, 1, 2, 3]"),
    "reducemax batch": (one("ReduceMax", ["x"], {"axes": [0]}, X4), UNSUPPORTED, "mixes the samples"),
    "reducesum without a batch": (one("ReduceSum", ["x"], {}, {"x": (4,)}, opset=13), UNSUPPORTED, "no batch axis"),
    "max larger": (
        one("Max", ["x", "c"], {}, {"x": (1, 1, 6)}, {"c": np.ones((3, 1), F)}),
        UNSUPPORTED,
        "is larger than",
    ),
    "max ranks": (one("Max", ["x", "z"], {}, {**X4, "z": (1, 6)}), UNSUPPORTED, "different rank"),
    "max infinite": (one("Max", ["x", "c"], {}, X2, {"c": F([1, 2, np.inf, 0])}), BROKEN, "is not finite"),
    "reducemean axis": (one("ReduceMean", ["x"], {"axes": [4]}, X4), BROKEN, "axes [4] of ReduceMean are impossible"),
    "reducemean axes attribute in 18": (
        one("ReduceMean", ["x"], {"axes": [2]}, X4, opset=18),
        UNSUPPORTED,
        "over axes",
    ),
    "reducemean axes input in 17": (with_list("ReduceMean", X4, [2, 3]), BROKEN, "has 2 inputs"),
    "resize linear": (
        one("Resize", ["x", "", "s"], {"mode": "linear"}, X4, {"s": F([1, 1, 2, 2])}),
        UNSUPPORTED,
        "mode=linear",
    ),
    "resize regions": (
        one(
            "Resize",
            ["x", "", "s"],
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            X4,
            {"s": F([1, 1, 2, 2])},
        ),
        UNSUPPORTED,
        "regions of interest",
    ),
    "resize ratio": (with_sizes([1, 2, 41, 6], {"x": (1, 2, 37, 6)}), UNSUPPORTED, "follow no simple grid"),
    "resize batch": (with_sizes([2, 2, 6, 6], X4), UNSUPPORTED, "batch axis"),
    "resize scales": (one("Resize", ["x", "", "s"], {}, X4, {"s": F([2, 2])}), BROKEN, "2 scales"),
    "resize negative": (one("Resize", ["x", "", "s"], {}, X4, {"s": F([1, 1, -1, 2])}), BROKEN, "not positive"),
    "resize without": (one("Resize", ["x"], {}, X4), BROKEN, "neither scales nor sizes"),
    "resize to nothing": (one("Resize", ["x", "", "s"], {}, X4, {"s": F([1, 1, 0.1, 1])}), BROKEN, "a size of 0"),
    "upsample in 10": (one("Upsample", ["x", "s"], {}, X4, {"s": F([1, 1, 2, 2])}, opset=9 + 1), BROKEN, "use Resize"),
    "depthtospace channels": (one("DepthToSpace", ["x"], {"blocksize": 2}, X4), BROKEN, "are not blocks"),
    "spacetodepth plane": (one("SpaceToDepth", ["x"], {"blocksize": 4}, X4), BROKEN, "is not blocks"),
    "depthtospace rank": (one("DepthToSpace", ["x"], {"blocksize": 2}, X2), BROKEN, "four dimensions"),
    "convtranspose 3d": (
        one("ConvTranspose", ["x", "w"], {}, {"x": (1, 2, 6, 6, 6)}, {"w": np.ones((2, 3, 3, 3, 3), F)}),
        UNSUPPORTED,
        "3D",
    ),
    "convtranspose channels": (one("ConvTranspose", ["x", "w"], {}, X4, {"w": W}), BROKEN, "do not fit"),
    "convtranspose bias": (
        one("ConvTranspose", ["x", "w", "b"], {}, X4, {"w": W[:2], "b": np.ones(3, F)}),
        BROKEN,
        "2 output channels",
    ),
    "convtranspose cut": (
        one("ConvTranspose", ["x", "w"], {"pads": [4] * 4}, X4, {"w": W[:2]}),
        BROKEN,
        "nothing is left",
    ),
    "convtranspose output": (
        one("ConvTranspose", ["x", "w"], {"output_shape": [7]}, X4, {"w": W[:2]}),
        BROKEN,
        "output_shape has 1 sizes",
    ),
    "expand": (with_list("Expand", X4, [2, 6, 6, 6]), BROKEN, "do not fit together"),
    "expand batch": (with_list("Expand", {"x": (1, 1, 6)}, [2, 1, 6]), UNSUPPORTED, "another rank or batch size"),
    "expand rank": (with_list("Expand", X2, [1, 1, 4]), UNSUPPORTED, "another rank or batch size"),
    "tile batch": (with_list("Tile", X2, [2, 1]), UNSUPPORTED, "Tile of the batch axis"),
    "tile rank": (with_list("Tile", X2, [1]), BROKEN, "1 repeats"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, check_refused):
    check_refused(*REFUSED[name])


WITH_REASONS = sorted(name for name in OPS if type(OPS[name]).__module__ == refused.__name__)


@pytest.mark.parametrize("name", WITH_REASONS)
def test_a_reason_and_what_to_do(name, load):
    why, fix = OPS[name].refused
    with pytest.raises(UnsupportedError) as caught:
        load(one(name, ["x"], {}, X4).model)
    assert f"'{name} 0'" in str(caught.value)
    assert why in str(caught.value)
    assert fix in str(caught.value)


def test_the_list_of_reasons_is_not_empty():
    assert {"LRN", "TopK", "NonMaxSuppression"} <= set(WITH_REASONS)
