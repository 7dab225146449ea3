"""Zeros for a fraction of what a target takes: kept, near what the products take, and refused with what is reachable."""

import json

import numpy as np
import pytest

import hwcomp
from hwcomp import tuning
from hwcomp.backends.verilog import Verilog
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.frontend.load import load_model
from hwcomp.passes._places import split
from hwcomp.passes._units import DOT
from hwcomp.passes._weight_scan import slopes
from hwcomp.passes._zero_budget import WORDS
from hwcomp.passes.base import PassContext
from hwcomp.passes.prune import accuracy
from hwcomp.passes.sparsify import Sparsify
from hwcomp.verify import engines, m4
from tests.models import saved, shared
from tests.passes.test_tuning import network
from tests.passes.test_units import fused
from tests.pruning import data
from tests.sparse_nets import planned

GROUPS = "Conv_2"  # the layer in groups


def context(graph, budget=64, **more):
    return PassContext(**{"calibration": data(graph, 32), "zeros": tuning.zeros(budget), **more})


def masks(graph):
    """Where the weights of each dot product are not zero."""
    return {n.outputs[0]: split(graph, n, graph.tensors[n.inputs[1]].data) != 0 for n in graph.nodes if n.op in DOT}


def share(of, whole, made, budget=64):
    """Of the cost of `whole`, by what is zero in `made`."""
    model = tuning.zeros(budget)[of](whole)
    return model.total(masks(made)) / model.total({})


# --- amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"block": 0.3}, {"weight": 0.2, "criterion": "l1"}])
@pytest.mark.parametrize("scope", ["sensitivity", "layer", "global"])
@pytest.mark.parametrize("of", WORDS)
def test_an_amount_of_each_cost_is_kept(of, scope, options):
    graph = fused(network(16))
    ctx = context(graph)
    made = Sparsify(of=of, scope=scope, **options).run(graph, ctx)
    stays = 1 - options.get("block", options.get("weight", 0))
    assert stays - 0.15 < share(of, graph, made) <= stays
    assert f"{WORDS[of]}" in ctx.notes["sparsify"][-2]
    assert np.isfinite(run_float(made, data(made, 2))["y"]).all()


@pytest.mark.parametrize("scope", ["sensitivity", "layer"])
@pytest.mark.parametrize("of", ["instructions", "flash", "lane_cycles"])
def test_a_layer_has_zeros_only_where_they_save_something(of, scope):
    """Single weights pay in C from about three quarters on: layers lose many or none."""
    graph = fused(network(16))
    made = Sparsify(weight=0.15, of=of, scope=scope, criterion="l1").run(graph, context(graph))
    model, found = tuning.zeros(64)[of](graph), masks(made)
    some = [name for name, mask in found.items() if not mask.all()]
    assert some
    for name in some:
        assert model.layer(name, found[name]) < model.layer(name, np.ones_like(found[name]))
    if of != "lane_cycles":
        assert all(found[name].mean() < 0.45 for name in some)


def test_layers_that_have_no_sparse_form_stay_and_say_why():
    graph = fused(network(16))
    ctx = context(graph)
    made = Sparsify(block=0.3, of="instructions").run(graph, ctx)
    groups = next(n for n in made.nodes if getattr(n.attrs, "groups", 1) > 1)
    assert (made.tensors[groups.inputs[1]].data != 0).all()
    (note,) = (n for n in ctx.notes["sparsify"] if f"'{GROUPS}'" in n)
    assert "0 of" in note and "it has groups, which have no index lists" in note


def test_a_second_amount_is_of_what_the_first_leaves():
    graph = fused(network(16))
    both = Sparsify(block=0.2, weight=0.3, of="lane_cycles").run(graph, context(graph))
    one = Sparsify(block=0.2, of="lane_cycles").run(graph, context(graph))
    assert share("lane_cycles", graph, both) / share("lane_cycles", graph, one) == pytest.approx(0.7, abs=0.05)


def test_slopes_share_what_saves_nothing_yet_with_what_follows():
    order = np.arange(40)
    found = slopes(order, lambda gone: max(0.0, len(gone) - 25.0), lambda gone: float(len(gone)))
    assert (found[:30] == found[0]).all() and found[0] == pytest.approx(30 / 5)
    assert (found[30:39] == found[0]).all() and np.isinf(found[39])  # never less than what goes before
    assert np.isinf(slopes(order, lambda gone: 0.0, lambda gone: 1.0)).all()


# --- out of reach -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["sensitivity", "layer"])
@pytest.mark.parametrize(("of", "kind"), [("instructions", "block"), ("flash", "weight"), ("lut", "block")])
def test_an_amount_out_of_reach_says_what_is_reachable(of, kind, scope):
    graph = fused(network(16))
    with pytest.raises(WorkFailed, match=r"can't save 99% of the .*at most \d+\.\d% can go") as caught:
        Sparsify(**{kind: 0.99}, of=of, scope=scope, criterion="l1").run(graph, context(graph))
    most = float(str(caught.value).split("give ")[1].split(" ")[0])
    assert most > 0.3
    made = Sparsify(**{kind: most}, of=of, scope=scope, criterion="l1").run(graph, context(graph))
    assert share(of, graph, made) <= 1 - most + 1e-9


def test_free_patterns_save_nothing_in_c_but_lanes():
    graph = fused(network(16))
    free = {"nm": "2:4", "skip": "Conv_0", "criterion": "l1"}
    with pytest.raises(
        WorkFailed, match=r"nm=2:4 saves none of the instructions .* share a list, .*1\.03 of the dense"
    ) as caught:
        Sparsify(**free, of="instructions").run(graph, context(graph))
    assert "sparsify.shared=4" in str(caught.value)
    one = Sparsify(**free, shared=4, of="instructions").run(graph, context(graph))
    assert share("instructions", graph, one) < 0.97
    kept = masks(one)
    assert kept[next(n.outputs[0] for n in one.nodes if getattr(n.attrs, "groups", 1) > 1)].all()
    lanes = Sparsify(**free, of="lane_cycles").run(graph, context(graph))
    assert share("lane_cycles", graph, lanes) < 0.7


def test_without_a_model_of_the_target():
    graph = fused(network(16))
    with pytest.raises(UsageError, match="nobody gave this pass a model"):
        Sparsify(block=0.3, of="flash").run(graph, PassContext())


# --- floors -----------------------------------------------------------------------------------------------------------


def labelled(graph):
    """Labels are the network's own decisions: all of it keeps them, with zeros only some."""
    x = data(graph, 128)
    labels = run_float(graph, x)["y"].argmax(axis=1)
    assert len(set(labels)) > 1
    return {"calibration": x, "labels": labels}


@pytest.mark.parametrize("of", ["parameters", "instructions"])
def test_as_many_blocks_go_as_a_floor_allows(of):
    graph = fused(network(24))
    ctx = context(graph, **labelled(graph))
    made = Sparsify(floor=0.8, of=of).run(graph, ctx)
    assert accuracy(made, ctx) >= 0.8
    amount = float(ctx.notes["sparsify"][-1].split("block=")[1].split(" ")[0])
    assert 0 < amount < 1
    more = Sparsify(block=amount + 1 / 64, of=of)
    try:
        assert accuracy(more.run(graph, ctx), ctx) < 0.8
    except WorkFailed as error:
        assert "at most" in str(error)


def test_a_floor_that_nothing_keeps():
    graph = fused(network(24))
    ctx = context(graph, **labelled(graph))
    ctx.labels = (ctx.labels + 1) % 5
    with pytest.raises(WorkFailed, match=r"the accuracy floor 0\.9 is out of reach\. without any zeros it is 0\.0000"):
        Sparsify(floor=0.9).run(graph, ctx)


def test_floor_and_amount_together():
    graph = fused(network(24))
    ctx = context(graph, **labelled(graph))
    with pytest.raises(WorkFailed, match=r"misses the accuracy floor 0\.99: .*block=0\.\d+ has (0\.99|1\.0)"):
        Sparsify(block=0.6, floor=0.99, of="lane_cycles", criterion="random").run(graph, ctx)


# --- the products -----------------------------------------------------------------------------------------------------


def products(path, folder, options, target="mcu", **more):
    """(product without zeros, with, estimates of what is left and of all)."""
    whole, made = (
        hwcomp.compile(path, folder / name, target=target, logits=True, passes=passes, **more)
        for name, passes in (("whole", {}), ("sparse", {"sparsify": options}))
    )
    text = next(n for n in made.manifest["notes"]["sparsify"] if WORDS[options["of"]] in n)
    left, before = (int(part.split(" ")[0].replace(",", "")) for part in text.split(" of ")[:2])
    return whole, made, left, before


@pytest.mark.parametrize("options", [{"block": 0.3}, {"weight": 0.25}, {"nm": "2:4", "shared": 4, "skip": "Conv_0"}])
def test_what_is_expected_to_go_is_what_the_plan_expects(tmp_path, options):
    """Behind quantization, where some weights more are zero."""
    path = saved(network(16), tmp_path / "net.onnx")
    x = {"x": np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)}
    whole, made, left, before = products(path, tmp_path, {**options, "of": "instructions"}, calibration=x)
    assert planned(whole.program) - planned(made.program) == pytest.approx(before - left, rel=0.02)


def constants(built):
    return json.loads((built.dir / "report.json").read_text())["targets"]["mcu"]["constant_bytes"]


def test_bytes_that_go_are_those_of_the_product(tmp_path):
    path = saved(network(16), tmp_path / "net.onnx")
    x = {"x": np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)}
    whole, made, left, before = products(path, tmp_path, {"block": 0.4, "of": "flash"}, calibration=x)
    assert left <= 0.6 * before
    assert constants(whole) - constants(made) == pytest.approx(before - left, rel=0.03)


@pytest.mark.parametrize("options", [{"block": 0.4}, {"nm": "2:4", "skip": "Conv_0"}])
def test_cycles_are_those_of_the_plan(tmp_path, options):
    path = saved(network(16), tmp_path / "net.onnx")
    x = {"x": np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)}
    more = {"target": "fpga", "pe_simd_budget": 60, "calibration": x}
    whole, made, left, before = products(path, tmp_path, {**options, "of": "cycles"}, **more)
    interval = [Verilog().plan(b.program, {"pe_simd_budget": 60}).interval for b in (whole, made)]
    assert interval[0] == before and interval[1] == pytest.approx(left, rel=0.02)


@pytest.mark.parametrize(("name", "options", "near"), [
    ("resnet8_fused_fashion", {"block": 0.3}, 0.05), ("squeezenets_fashion", {"block": 0.2}, 0.05),
])  # fmt: skip
def test_instructions_that_go_are_those_that_qemu_counts(tmp_path, name, options, near):
    if engines.engine("c:m4").missing():
        pytest.skip("no QEMU")
    path = shared("models", "float", f"{name}.onnx")
    graph = load_model(path).graph
    size = graph.tensors[graph.inputs[0]].shape[1:]
    x = {graph.inputs[0]: np.random.default_rng(0).normal(size=(64, *size)).astype(np.float32)}
    whole, made, left, before = products(path, tmp_path, {**options, "of": "instructions"}, calibration=x)
    counted = [m4.measure(b)["instructions"] for b in (whole, made)]
    assert left / before <= 1 - options["block"]
    assert counted[1] / counted[0] == pytest.approx(left / before, abs=near)
