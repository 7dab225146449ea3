"""All passes together: their order, their options, the checks between them, and every operator's cases."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError, UsageError, WorkFailed
from hwcomp.passes import pipeline
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import PASSES
from tests.models import SPINE, loaded, model, op_cases, quantized, spine, values

CASES = op_cases()
OFF = ("equalize", "low_rank", "vectors", "share", "adaround", "bias_correction")  # run only where they are asked for
RELU = [("Relu", ["x"], ["h"], {}), ("MaxPool", ["h"], ["y"], {"kernel_shape": [2, 2]})]


def relu():
    return loaded(model(RELU, {"x": (1, 2, 4, 4)})).graph


@pytest.mark.parametrize("case", [c for _, c in CASES], ids=[i for i, _ in CASES])
@pytest.mark.parametrize("logits", [False, True])
def test_no_pass_changes_the_numbers_of_an_operators_case(case, logits):
    """run_passes with its numeric probe: exact passes change nothing, algebraic ones at most 1e-5."""
    ctx = PassContext(input_ranges=dict(case.ranges), logits=logits)
    after = []
    graph = pipeline.run_passes(
        loaded(case.model).graph, ctx, pipeline.configured({}), check=True, after=lambda name, graph: after.append(name)
    )
    assert tuple(after) == tuple(name for name in pipeline.ORDER if name not in OFF)
    for tensor in graph.tensors.values():
        assert tensor.is_constant or tensor.dtype != "float" or tensor.qtype is not None


@pytest.mark.parametrize("name", SPINE)
def test_no_pass_changes_the_numbers_of_the_spine(name):
    from hwcomp.frontend.load import load_model

    graph = load_model(spine(name)).graph
    pipeline.run_passes(graph, PassContext(), pipeline.configured({"calibrate": {"samples": 2}}), check=True)


def test_every_pass_is_in_the_order_exactly_once():
    assert sorted(pipeline.ORDER) == list(PASSES)


@pytest.mark.parametrize("name", sorted(pipeline.ORDER))
def test_every_pass_says_what_it_is(name):
    cls = PASSES[name]
    assert cls.name == name
    assert cls.kind in ("exact", "algebraic", "lossy")
    assert cls().enabled == (name not in OFF)


# --- options ----------------------------------------------------------------------------------------------------------


def test_options_arrive_as_text_or_value():
    given = {
        "calibrate": {"samples": "7", "seed": 3},
        "fuse_bias": {"enabled": "off"},
        "fuse_activation": {"enabled": False},
    }
    passes = {p.name: p for p in pipeline.configured(given)}
    assert (passes["calibrate"].samples, passes["calibrate"].seed) == (7, 3)
    assert [n for n, p in passes.items() if not p.enabled] == ["fuse_bias", "fuse_activation", *OFF]


def test_whole_numbers_are_numbers_too():
    """bits = 3 in a configuration file."""
    (p,) = [p for p in pipeline.configured({"few_bits": {"bits": 3}}) if p.name == "few_bits"]
    assert p.bits == 3.0
    assert isinstance(p.bits, float)


@pytest.mark.parametrize(("options", "text"), [
    ({"no_such": {}}, "no pass 'no_such'"), ({"calibrate": {"foo": 1}}, "no option 'foo'"),
    ({"calibrate": {"samples": "many"}}, "'many' is not a int"),
    ({"calibrate": {"samples": 1.5}}, "'1.5' is not a int"),
    ({"fuse_bias": {"enabled": "perhaps"}}, "'perhaps' is not a bool"),
    ({"fuse_bias": {"enabled": 1}}, "'1' is not a bool"),
])  # fmt: skip
def test_wrong_options_are_refused(options, text):
    with pytest.raises(UsageError, match=text):
        pipeline.configured(options)


@pytest.mark.parametrize(("field", "value"), [("samples", 0), ("samples", -3), ("seed", -1)])
def test_calibration_needs_samples(field, value):
    with pytest.raises(UsageError, match=field):
        pipeline.run_passes(relu(), PassContext(), pipeline.configured({"calibrate": {field: value}}))


@pytest.mark.parametrize("name", sorted(n for n in pipeline.ORDER if PASSES[n].required))
def test_required_passes_stay_on(name):
    with pytest.raises(UsageError, match=f"'{name}' can't be switched off"):
        pipeline.configured({name: {"enabled": False}})


@pytest.mark.parametrize("name", sorted(n for n in pipeline.ORDER if not PASSES[n].required and n not in OFF))
def test_every_other_pass_can_be_switched_off(name):
    """What was compiled without it still is what the float graph says, or is refused by name."""
    from hwcomp.driver import Watch, quantized_graph
    from hwcomp.lower.build import lower
    from hwcomp.options import CompileOptions
    from hwcomp.samples import random_stored
    from tests.oracle import worst_steps

    compiled = 0
    for _, case in CASES:
        options = CompileOptions(("mcu",), input_ranges=case.ranges, passes={name: {"enabled": False}}, logits=True)
        try:
            graph, _ = quantized_graph(loaded(case.model), options, Watch(check_passes=True))
            lowered = lower(graph)
        except UnsupportedError:
            continue
        compiled += 1
        assert all(
            steps < 1e-3 for _, steps in worst_steps(lowered.graph, lowered.program, random_stored(lowered.program, 20))
        )
    assert compiled > 50


# --- the checks between passes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken(Pass):
    name: ClassVar[str] = "broken"
    kind: ClassVar[str] = "exact"
    how: str = ""

    def run(self, graph, ctx):
        if self.how == "order":
            return graph.with_(nodes=graph.nodes[::-1])
        if self.how == "missing":
            return graph.with_(nodes=graph.nodes[1:])
        if self.how == "twice":
            return graph.with_(nodes=(*graph.nodes, graph.nodes[-1]))
        if self.how == "output":
            return graph.with_(outputs=("nothing",))
        node = graph.nodes[0]  # "numbers"
        return graph.with_(nodes=(node.with_(attrs=type(node.attrs)(0.9, None)), *graph.nodes[1:]))


@pytest.mark.parametrize("how", ["order", "missing", "twice", "output"])
def test_a_pass_that_breaks_the_graph_is_caught(how):
    with pytest.raises(WorkFailed, match="pass broken broke the graph"):
        pipeline.run_passes(relu(), PassContext(), [Broken(how=how)])


def test_a_pass_that_changes_numbers_is_caught_by_the_probe():
    pipeline.run_passes(relu(), PassContext(), [Broken(how="numbers")])
    with pytest.raises(WorkFailed, match="output 'y' changed"):
        pipeline.run_passes(relu(), PassContext(), [Broken(how="numbers")], check=True)


def test_a_broken_graph_is_refused_at_once():
    with pytest.raises(ModelError):
        pipeline.run_passes(Broken(how="order").run(relu(), None), PassContext(), [])


# --- calibration and types --------------------------------------------------------------------------------------------


def test_calibration_data_sets_the_ranges(run):
    x = np.linspace(-1, 3, 2 * 2 * 4 * 4, dtype=np.float32).reshape(2, 2, 4, 4)
    out = run(model(RELU, {"x": (1, 2, 4, 4)}), "analyze_ranges", "calibrate", calibration={"x": x})
    assert out.ctx.observed == {
        "x": (-1.0, 3.0),
        "h": (0.0, 3.0),
        "y": (float(np.maximum(x, 0)[:, :, 1, 1].min()), 3.0),
    }


def test_a_given_range_of_an_input_goes_over_the_data(run):
    x = np.full((1, 2, 4, 4), 0.5, np.float32)
    out = run(
        model(RELU, {"x": (1, 2, 4, 4)}),
        "analyze_ranges",
        "calibrate",
        calibration={"x": x},
        input_ranges={"x": (-2.0, 2.0)},
    )
    assert out.ctx.observed["x"] == (-2.0, 2.0)
    assert out.after.tensors["h"].range == (0.0, 2.0)


def test_observed_ranges_stay_inside_provable_ones(run):
    """Calibration data outside the range that the user gave."""
    x = np.full((1, 2, 4, 4), 9.0, np.float32)
    out = run(
        model(RELU, {"x": (1, 2, 4, 4)}),
        "analyze_ranges",
        "calibrate",
        calibration={"x": x},
        input_ranges={"x": (-1.0, 1.0)},
    )
    assert all(-1.0 <= lo <= hi <= 1.0 for lo, hi in out.ctx.observed.values())


def test_without_data_the_range_is_0_to_1(run):
    out = run(model(RELU, {"x": (1, 2, 4, 4)}), "analyze_ranges", "calibrate")
    assert out.ctx.observed["x"] == (0.0, 1.0)


def test_calibration_runs_in_batches_as_in_one(run):
    x = np.random.default_rng(0).normal(size=(150, 2, 4, 4)).astype(np.float32)
    whole = run(model(RELU, {"x": (1, 2, 4, 4)}), "calibrate", calibration={"x": x}).ctx.observed
    assert whole["x"] == (float(x.min()), float(x.max()))
    assert whole["h"] == (0.0, float(x.max()))


def test_tensors_that_only_select_share_a_type(run):
    """Conv -> MaxPool -> Flatten: one type, and it spans what is read behind them, not what the pool throws away."""
    proto = model(
        [("Conv", ["x", "w"], ["c"], {}), ("MaxPool", ["c"], ["p"], {"kernel_shape": [2, 2]}),
         ("Flatten", ["p"], ["y"], {})],
        {"x": (1, 2, 5, 5)}, {"w": values("share", 2, 2, 2, 2)},
    )  # fmt: skip
    out = run(proto, "analyze_ranges", "calibrate", "quantize", input_ranges={"x": (-1.0, 1.0)})
    c, p, y = (out.after.tensors[n].qtype for n in "cpy")
    assert c == p == y
    lo, hi = out.ctx.observed["y"]
    assert out.ctx.observed["c"][0] < lo
    assert (c.lo - c.zero) * c.scale[0] == pytest.approx(min(lo, 0), abs=c.scale[0])
    assert (c.hi - c.zero) * c.scale[0] == pytest.approx(max(hi, 0), abs=c.scale[0])


def test_zero_is_exact_in_every_type(run):
    for interval in ((2.0, 6.0), (-5.0, -1.0), (-1.0, 1.0)):
        out = run(
            model(RELU, {"x": (1, 2, 4, 4)}),
            "analyze_ranges",
            "calibrate",
            "quantize",
            input_ranges={"x": interval},
        )
        for tensor in out.after.tensors.values():
            assert tensor.qtype.lo <= tensor.qtype.zero <= tensor.qtype.hi


def test_weights_are_narrow_with_one_scale_per_output_channel(run):
    weight = values("narrow", 3, 2, 3, 3)
    weight[1] *= 100
    proto = model([("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 2, 5, 5)}, {"w": weight, "b": values("nb", 3)})
    out = run(proto, "analyze_ranges", "calibrate", "quantize")
    w, b = (out.after.tensors[n] for n in out.node("Conv").inputs[1:])
    assert [int(np.abs(row).max()) for row in w.data] == [127, 127, 127]
    assert (w.qtype.bits, w.qtype.lo, w.qtype.hi) == (8, -128, 127)
    x_scale = out.after.tensors["x"].qtype.scale[0]
    for row, real, scale, step in zip(w.data, weight, w.qtype.scale, b.qtype.scale, strict=True):
        assert np.abs(row * scale - real).max() <= scale * 0.5001
        assert step == x_scale * scale


def test_shared_weights_get_scales_of_their_own(run):
    """Two convolutions on one weight tensor, their inputs of other scales."""
    proto = model(
        [("Conv", ["x", "w"], ["h"], {"pads": [1, 1, 1, 1]}), ("Conv", ["h", "w"], ["y"], {})], {"x": (1, 2, 5, 5)},
        {"w": values("both", 2, 2, 3, 3, scale=9.0)},
    )  # fmt: skip
    out = run(proto, "fuse_batchnorm", "fuse_activation", "analyze_ranges", "calibrate", "quantize")
    first, second = out.after.nodes
    assert out.after.tensors[first.inputs[1]].data.tolist() == out.after.tensors[second.inputs[1]].data.tolist()
    assert out.after.tensors[first.inputs[2]].qtype != out.after.tensors[second.inputs[2]].qtype


def test_equations_without_a_solution_are_refused_by_the_name_of_the_pass():
    ones = {"x": np.ones((4, 2, 4, 4), np.float32)}
    w, v = values("w", 8, 2, 3, 3, scale=1e20), values("v", 8, 8, 3, 3, scale=1e10)
    proto = model(
        [("Conv", ["x", "w"], ["c"], {"pads": [1] * 4}), ("Conv", ["c", "v"], ["y"], {})],
        {"x": (1, 2, 4, 4)},
        {"w": w, "v": v},
    )
    with pytest.raises(UsageError, match="pass low_rank can't be fitted"):
        quantized(proto, calibration=ones, passes={"low_rank": {"enabled": True}})
