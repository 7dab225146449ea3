"""Layers of low rank: what is kept, what is cheaper, the right pads in the right layer, budgets, floors, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

import hwcomp
from hwcomp import samples, tuning
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.passes._costs import COSTS, cost
from hwcomp.passes._factored import forms, price
from hwcomp.passes._factoring import Factoring
from hwcomp.passes._sparse_costs import sparse_cost
from hwcomp.passes.base import PassContext
from hwcomp.passes.low_rank import LowRank
from hwcomp.passes.prune import accuracy
from hwcomp.quantize.low_rank_fit import FORMS
from hwcomp.registry import OPS
from hwcomp.verify import compare, engines
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, quantized, saved, values
from tests.passes.test_few_bits import dots
from tests.passes.test_units import fused

ON = {"enabled": True}


def data(count=300, size=6):
    """Channels that depend on each other, and have means."""
    mix = np.random.default_rng(1).normal(size=(3, 8))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, size * size, 3)) @ mix + 0.05 * rng.normal(size=(count, size * size, 8)) + 1
    return x.transpose(0, 2, 1).reshape(count, 8, size, size).astype(np.float32)


def net():
    """Pointwise Conv with a stride, Relu, 3x3 Conv, Flatten, Gemm."""
    constants = {
        "w0": values("a", 16, 8, 1, 1), "b0": values("b", 16), "w1": values("c", 4, 16, 3, 3), "w2": values("d", 10, 4),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"strides": [2, 2]}), ("Relu", ["c0"], ["r0"], {}), ("Conv", ["r0", "w1"], ["c1"], {}),
        ("Flatten", ["c1"], ["f"], {}), ("Gemm", ["f", "w2"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 8, 6, 6)}, constants)


def deep():
    """3x3, strided 3x3, 3x3, pool, dense: on 8 dependent channels of 8x8."""
    constants = {
        "w0": values("a", 16, 8, 3, 3), "w1": values("b", 24, 16, 3, 3, scale=0.3), "w2": values("c", 24, 24, 3, 3, scale=0.2),
        "b0": values("d", 16), "w3": values("e", 10, 24),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w0", "b0"], ["c0"], {"pads": [1, 1, 1, 1]}), ("Relu", ["c0"], ["r0"], {}),
        ("Conv", ["r0", "w1"], ["c1"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}), ("Relu", ["c1"], ["r1"], {}),
        ("Conv", ["r1", "w2"], ["c2"], {"pads": [1, 1, 1, 1]}), ("Relu", ["c2"], ["r2"], {}),
        ("GlobalAveragePool", ["r2"], ["g"], {}), ("Flatten", ["g"], ["f"], {}), ("Gemm", ["f", "w3"], ["y"], {"transB": 1}),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 8, 8, 8)}, constants)


def labelled(count=300):
    """(graph of `deep`, context with what it decides itself as labels)."""
    graph = fused(deep())
    x = data(count, 8)
    scores = run_float(graph, {"x": x})["y"]
    return graph, PassContext(calibration={"x": x}, labels=scores.argmax(axis=1))


def made(proto=None, **options):
    return quantized(proto or net(), calibration={"x": data()}, passes={"low_rank": ON | options})


def noise(graph):
    program, x = lower(graph).program, data(400)[300:]
    want = run_float(loaded(net()).graph, {"x": x})["y"]
    have = program.edges["y"].to_real(run_program(program, samples.to_stored(program, {"x": x}))["y"])
    return float(((have - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum())


def away(small, graph, x):
    """Error of the outputs, as a part of their variance."""
    want, have = (run_float(g, {"x": x})["y"] for g in (graph, small))
    return float(((have - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum())


# --- one layer --------------------------------------------------------------------------------------------------------


def test_a_layer_becomes_two_where_that_is_cheaper():
    graph, ctx = made(energy=0.97)
    first, second, *_, dense = (k.constants["weight"] for k in dots(lower(graph).program))
    assert (first.shape, second.shape, dense.shape) == ((3, 8, 1, 1), (16, 3, 1, 1), (10, 4))
    strides = [tuple(n.attrs.strides) for n in graph.nodes if n.op == "Conv"]
    assert strides[:2] == [(2, 2), (1, 1)]
    notes = ctx.notes["low_rank"]
    assert "svd of rank 3 keeps" in notes[0] and "648 of 1,152 multiply-accumulates" in notes[0]
    assert "Dense" in notes[2] and "stays: no form" in notes[2] and "40 multiply-accumulates" in notes[2]
    assert noise(graph) < 0.1


def test_more_energy_loses_less():
    assert noise(made(energy=0.99, layers="Conv_0")[0]) < noise(made(energy=0.6, layers="Conv_0")[0])


WINDOWS = [
    {"pads": [1, 1, 1, 1]}, {}, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, {"strides": [2, 1], "pads": [0, 1, 2, 0]},
    {"dilations": [2, 1], "pads": [2, 0, 1, 1]}, {"strides": [1, 3], "dilations": [1, 2], "pads": [0, 2, 0, 2]},
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (3, 2), (2, 1)])
def test_chains_of_full_rank_are_the_layer(form, window, kernel):
    """Strides, dilations and pads lie in the right layer of the chain: not a value differs by more than float noise."""
    proto = model([("Conv", ["x", "w", "b"], ["y"], window)], {"x": (1, 6, 9, 8)},
                  {"w": values("w", 5, 6, *kernel), "b": values("b", 5)})  # fmt: skip
    graph = fused(proto)
    (node,) = graph.nodes
    if form not in forms(node, graph.tensors, (form,)):
        assert form in ("rows", "columns") and 1 in kernel
        return
    x = 1 + np.random.default_rng(0).normal(size=(200, 6, 9, 8)).astype(np.float32)
    factoring = Factoring(graph, PassContext(calibration={"x": x}), {node.name}, 200, "outputs")
    (layer,) = factoring.layers()
    most = {"svd": 5, "rows": min(6 * kernel[0], 5 * kernel[1]), "columns": min(6 * kernel[1], 5 * kernel[0])}.get(
        form, 6
    )
    ranks = (6, 5) if form == "tucker" else (most,)
    tensors = dict(graph.tensors)
    small = graph.rebuilt(factoring.nodes(layer, (form, ranks), tensors), tensors)
    assert len(small.nodes) == len(ranks) + 1
    want, have = (run_float(g, {"x": x[:40]})["y"] for g in (graph, small))
    np.testing.assert_allclose(have, want, atol=2e-5 * np.abs(want).max())
    for n in small.nodes:  # shapes are those that inference finds
        infer = OPS[n.op].infer(n, [small.tensors[i] if i else None for i in n.inputs])
        assert infer[0].shape == small.tensors[n.outputs[0]].shape
    assert cost(small, "macs") == price(node, graph, form, ranks, "macs")
    assert cost(small, "parameters") == price(node, graph, form, ranks, "parameters")


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_of_the_results_is_kept_and_what_lies_between_has_one_scale(form):
    """Also at a low rank; without it where the weights' own error counts."""
    graph = fused(model([("Conv", ["x", "w", "b"], ["y"], {})], {"x": (1, 8, 6, 6)},
                        {"w": values("w", 12, 8, 3, 3), "b": values("b", 12)}))  # fmt: skip
    x, (node,) = data(), graph.nodes
    ranks = (2, 4) if form == "tucker" else (2,)
    off = {}
    for metric in ("outputs", "weights"):
        factoring = Factoring(graph, PassContext(calibration={"x": x}), {node.name}, 300, metric)
        tensors = dict(graph.tensors)
        small = graph.rebuilt(factoring.nodes(factoring.layers()[0], (form, ranks), tensors), tensors)
        seen = {}
        run_float(small, {"x": x}, observe=lambda name, v, seen=seen: seen.setdefault(name, []).append(v.copy()))
        for name, parts in seen.items():
            if "__rank" in name:
                z = np.concatenate(parts)
                np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=0.05)
                if metric == "outputs":
                    np.testing.assert_allclose(z.var(axis=(0, 2, 3)), 1, atol=0.1)
        want, have = run_float(graph, {"x": x})["y"], np.concatenate(seen["y"])
        off[metric] = np.abs((have - want).mean(axis=(0, 2, 3))).max()
    assert off["outputs"] < 1e-3 < off["weights"]


def test_pads_of_another_value_stay_outside():
    """Where a padded element is not 0.0 only the first layer may have pads."""
    graph = fused(model([("Conv", ["x", "w"], ["y"], {"pads": [0, 1, 0, 1]})], {"x": (1, 6, 5, 5)},
                        {"w": values("w", 5, 6, 3, 3)}))  # fmt: skip
    (node,) = graph.nodes
    node = node.with_(attrs=replace(node.attrs, pad_value=-1.0))
    assert forms(node, graph.tensors, tuple(FORMS)) == ("svd", "columns")


def test_the_cheapest_form_is_taken_and_forms_can_be_chosen():
    graph, ctx = labelled()
    found = {}
    for names in (*FORMS, ",".join(FORMS)):
        small = LowRank(energy=0.9, forms=names, layers="Conv_2").run(graph, ctx)
        found[names] = cost(small, "macs")
    assert found[",".join(FORMS)] == min(found.values())
    assert len(set(found.values())) > 2


def test_what_lies_between_is_quantized_by_itself():
    """The tensors between the layers of a chain are edges of 8 bits, each with a scale of its own."""
    options = ON | {"energy": 0.9, "forms": "tucker", "layers": "Conv_2"}
    graph, _ = quantized(deep(), calibration={"x": data(300, 8)}, passes={"low_rank": options})
    program = lower(graph).program
    edges = [e for n, e in program.edges.items() if "__rank" in n]
    assert [e.bits for e in edges] == [8, 8]
    assert len({e.scale_bits for e in edges} | {program.edges["r1"].scale_bits}) == 3
    readers = [k for k in program.kernels if any(e.name in k.inputs for e in edges)]
    assert all("multiplier" in k.constants and "weight" in k.constants for k in readers)


# --- the whole network ------------------------------------------------------------------------------------------------


def test_layers_make_up_for_what_is_lost_in_front():
    """The same forms and ranks, each fitted in the whole network or behind the others."""
    graph, ctx = labelled()
    x = data(400, 8)[300:]
    factoring = Factoring(graph, ctx, {n.name for n in graph.nodes if n.op == "Conv"}, 300, "outputs")
    tensors, nodes = dict(graph.tensors), []
    chosen = {layer.node.name: (layer, ("rows", layer.fit.least("rows", 0.85, sum))) for layer in factoring.layers()}
    for node in graph.nodes:
        nodes += factoring.nodes(*chosen[node.name], tensors) if node.name in chosen else [node]
    together = factoring.run(lambda layer: chosen[layer.node.name][1])
    assert away(together, graph, x) < away(graph.rebuilt(nodes, tensors), graph, x)


@pytest.mark.parametrize("of", COSTS)
def test_a_budget_is_kept(of):
    graph, ctx = labelled()
    small = LowRank(budget=0.6, of=of).run(graph, ctx)
    assert 0.4 * cost(graph, of) < cost(small, of) <= 0.6 * cost(graph, of)
    assert COSTS[of] in ctx.notes["low_rank"][-1]


def test_a_budget_spares_the_layer_that_matters():
    """Two convolutions of the same cost, one of which adds little to the sum."""
    nodes = [("Conv", ["x", "a"], ["u"], {}), ("Conv", ["x", "b"], ["v"], {}), ("Add", ["u", "v"], ["y"], {})]
    weights = {"a": values("a", 16, 8, 3, 3), "b": values("b", 16, 8, 3, 3, scale=0.01)}
    graph = fused(model(nodes, {"x": (1, 8, 6, 6)}, weights))
    ctx = PassContext(calibration={"x": np.random.default_rng(0).normal(size=(300, 8, 6, 6)).astype(np.float32)})
    LowRank(budget=0.7).run(graph, ctx)
    assert "stays" in ctx.notes["low_rank"][0] and "of rank" in ctx.notes["low_rank"][1]


def test_a_floor_takes_what_it_allows():
    graph, ctx = labelled()
    small = {f: LowRank(floor=f, forms="svd,rows", samples=100).run(graph, ctx) for f in (0.97, 0.8)}
    for floor, network in small.items():
        assert accuracy(network, ctx) >= floor
    assert cost(small[0.8], "macs") < cost(small[0.97], "macs") < cost(graph, "macs")


def test_forms_that_no_layer_has():
    graph = fused(model([("Gemm", ["x", "w"], ["y"], {})], {"x": ("N", 8)}, {"w": values("w", 8, 8)}))
    ctx = PassContext(calibration={"x": values("x", 32, 8)})
    with pytest.raises(
        WorkFailed, match=r"no layer gets cheaper in any of the forms. allow other low_rank.forms, or leave it out"
    ):
        LowRank(budget=0.9, forms="rows,columns").run(graph, ctx)


def test_what_is_out_of_reach_says_what_is_not():
    graph, ctx = labelled()
    options = {"forms": "svd", "samples": 100}
    with pytest.raises(WorkFailed, match=r"can't leave 1% of the multiply-accumulates") as found:
        LowRank(budget=0.01, **options).run(graph, ctx)
    assert "stay" in found.value.why
    least = float(re.search(r"low_rank.budget=([\d.]+) or more", found.value.fix)[1])
    assert cost(LowRank(budget=least, **options).run(graph, ctx), "macs") <= least * cost(graph, "macs")
    with pytest.raises(WorkFailed, match=r"30% of the multiply-accumulates misses the accuracy floor 0.999") as found:
        LowRank(budget=0.3, floor=0.999, **options).run(graph, ctx)
    assert "of the multiply-accumulates have" in found.value.why
    ctx.labels = (ctx.labels + 1) % 10
    with pytest.raises(WorkFailed, match=r"accuracy floor 0.5 is out of reach"):
        LowRank(floor=0.5, **options).run(graph, ctx)


def test_a_product_of_chains_verifies(tmp_path):
    """All forms in one network, on the host's C: every tensor equal to the reference."""
    built = hwcomp.compile(saved(deep(), tmp_path / "n.onnx"), tmp_path / "p", target="mcu", calibration={"x": data(200, 8)},
                           passes={"low_rank": {"budget": 0.5}})  # fmt: skip
    stored = samples.to_stored(built.program, {"x": data(20, 8)})
    (outcome,) = compare.verify(built, stored, [engines.engine("c")])
    assert outcome.status == "equal", outcome.detail
    assert any("__rank" in n for n in built.program.edges)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "text"), [
    ({"energy": 0.0}, "--low-rank 0"), ({"energy": 1.5}, "--low-rank 1.5"), ({"energy": float("nan")}, "--low-rank nan"),
    ({"samples": 0}, "low_rank.samples=0"), ({"layers": "c2"}, "'c2' is no dense layer and no convolution in one group"),
    ({"budget": 1.0}, "low_rank.budget is 0 or more"), ({"floor": -1.0}, "low_rank.floor 0 to 1"),
    ({"floor": 0.9}, "needs labelled calibration data"), ({"of": "lut"}, "low_rank.of=lut"),
    ({"forms": "rows,cp"}, "low_rank.forms=rows,cp"), ({"forms": ""}, "low_rank.forms="), ({"metric": "l1"}, "low_rank.metric=l1"),
])  # fmt: skip
def test_what_is_refused(options, text):
    with pytest.raises(UsageError, match=text):
        made(**options)


def test_data_and_layers_are_needed():
    with pytest.raises(UsageError, match="needs calibration data"):
        quantized(net(), passes={"low_rank": ON})
    proto = model([("Relu", ["x"], ["y"], {})], {"x": (1, 8, 6, 6)}, {})
    with pytest.raises(UsageError, match="finds no layer"):
        quantized(proto, calibration={"x": data()}, passes={"low_rank": ON})


def test_a_budget_alone_turns_the_pass_on():
    graph, ctx = quantized(net(), calibration={"x": data()}, passes={"low_rank": {"budget": "0.8"}})
    assert ctx.notes["low_rank"] and any("__rank" in n.outputs[0] for n in graph.nodes)


def test_layers_that_stay_keep_their_zeros():
    graph = fused(deep())
    node = next(n for n in graph.nodes if n.outputs[0] == "r1" or (n.origin and "c1" in n.outputs[0]))
    weight = graph.tensors[node.inputs[1]]
    sparse = weight.data * (np.random.default_rng(2).random(weight.data.shape) < 0.5)
    graph = replace(graph, tensors=graph.tensors | {weight.name: weight.with_(data=sparse.astype(np.float32))})
    first = next(n for n in graph.nodes if n.op == "Conv")
    factoring = Factoring(graph, PassContext(calibration={"x": data(200, 8)}), {first.name, node.name}, 200, "outputs")
    made = factoring.run(lambda layer: ("svd", (3,)) if layer.node.name == first.name else None)
    new = made.tensors[next(n for n in made.nodes if n.outputs == node.outputs).inputs[1]].data
    assert not np.array_equal(new, sparse)
    assert not new[sparse == 0].any()


def test_a_floor_for_several_outputs_or_other_labels_is_refused():
    graph, x = fused(deep()), {"x": data(20, 8)}
    with pytest.raises(UsageError, match="labels go from 99 to 99"):
        accuracy(graph, PassContext(calibration=x, labels=np.full(20, 99)))
    two = replace(graph, outputs=(*graph.outputs, "g"))
    with pytest.raises(UsageError, match="floor for a network with 2 outputs"):
        accuracy(two, PassContext(calibration=x, labels=np.zeros(20, np.int64)))


# --- layers with zeros ------------------------------------------------------------------------------------------------


def sparse_net(kept):
    """A dense layer 96 -> 64 of all ranks, and one of rank 6 with `kept` of its weights behind it."""
    rng = np.random.default_rng(3)
    a, b = (
        rng.normal(size=(64, 96)),
        rng.normal(size=(64, 6)) @ rng.normal(size=(6, 64)) * (rng.random((64, 64)) < kept),
    )
    nodes = [("Gemm", ["x", "a"], ["u"], {"transB": 1}, "whole"), ("Gemm", ["u", "b"], ["y"], {"transB": 1}, "sparse")]
    proto = model(nodes, {"x": (1, 96)}, {"a": np.float32(a), "b": np.float32(b)})
    return fused(proto), {"x": rng.normal(size=(300, 96)).astype(np.float32)}


@pytest.mark.parametrize(("options", "of"), [*(({"energy": 0.97}, of) for of in COSTS), ({"budget": 0.7}, "macs")])
def test_a_layer_with_zeros_stays_where_its_chain_would_be_dearer(options, of):
    graph, x = sparse_net(0.04)
    ctx = PassContext(calibration=x, zeros=tuning.zeros(None))
    small = LowRank(**ON, **options, of=of).run(graph, ctx)
    assert len(small.nodes) == (3 if "budget" in options else 2)
    last = small.tensors[small.nodes[-1].inputs[1]].data
    assert last.shape == (64, 64) and (last == 0).mean() > 0.95  # what makes up for the chain in front leaves zeros
    (note,) = (n for n in ctx.notes["low_rank"] if "'sparse'" in n)
    assert "stays" in note and "96% of its weights are zero" in note


@pytest.mark.parametrize("of", COSTS)
def test_without_zeros_the_same_layer_becomes_a_chain(of):
    graph, x = sparse_net(1.1)
    small = LowRank(**ON, energy=0.97, of=of).run(graph, PassContext(calibration=x, zeros=tuning.zeros(None)))
    assert len(small.nodes) == 3 and small.tensors[small.nodes[-1].inputs[1]].shape[1] <= 6


def test_a_sparse_network_costs_what_its_zeros_leave():
    graph, _ = sparse_net(0.04)
    ctx = PassContext(zeros=tuning.zeros(None))
    stay = int(np.count_nonzero(graph.tensors["b"].data)) + 64 * 96
    assert [sparse_cost(graph, of, ctx) for of in ("macs", "parameters")] == [stay, stay]
    assert sparse_cost(graph, "flash", ctx) < cost(graph, "flash") - 0.8 * 64 * 64
    assert sparse_cost(graph, "flash", PassContext()) == cost(graph, "flash")
