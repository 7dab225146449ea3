"""Weights become zero in the patterns that were asked for, and what remains is fitted to the float layer."""

import numpy as np
import pytest

from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.passes._patterns import refitted
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.passes.sparsify import Sparsify
from tests.models import loaded, model, values

PASSES = ("cancel_transposes", "merge_reshapes", "sparsify")


def convs(groups=1, channels=8):
    """Two convolutions behind each other, the second one in groups, and a dense layer on the maps."""
    constants = {
        "w": values("w", 16, channels, 3, 3), "v": values("v", 12, 16 // groups, 3, 3), "u": values("u", 5, 12 * 16),
        "k": values("k", 16),
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "w", "k"], ["a"], {"pads": [1, 1, 1, 1]}, "one"), ("Relu", ["a"], ["b"], {}),
        ("Conv", ["b", "v"], ["c"], {"pads": [1, 1, 1, 1], "group": groups}, "two"), ("Relu", ["c"], ["d"], {}),
        ("Flatten", ["d"], ["e"], {}), ("Gemm", ["e", "u"], ["y"], {"transB": 1}, "three"),
    ]  # fmt: skip
    return model(nodes, {"x": (1, channels, 4, 4)}, constants)


def sparse(proto, calibration=None, labels=None, **options):
    """(graph before, graph after, weights of the dot products, notes)."""
    graph = loaded(proto).graph
    ctx = PassContext(calibration=calibration, labels=labels)
    chosen = [p for p in configured({"sparsify": options}) if p.name in PASSES]
    before = run_passes(graph, ctx, [p for p in chosen if p.name != "sparsify"])
    after = run_passes(graph, ctx, chosen)
    weights = [after.tensors[n.inputs[1]].data for n in after.nodes if n.op in ("Conv", "Dense")]
    return before, after, weights, ctx.notes.get("sparsify", [])


def samples(count=64, channels=8):
    return {"x": np.random.default_rng(3).normal(0, 1, (count, channels, 4, 4)).astype(np.float32)}


def test_nothing_asked_for_leaves_the_graph_as_it_is():
    before, after, _, notes = sparse(convs())
    assert repr(before) == repr(after)
    assert not notes


@pytest.mark.parametrize("amount", [0.3, 0.5, 0.9])
def test_single_weights_are_the_smallest(amount):
    before, _, weights, notes = sparse(convs(), weight=amount)
    for node, new in zip([n for n in before.nodes if n.op in ("Conv", "Dense")], weights, strict=True):
        old = before.tensors[node.inputs[1]].data
        assert (new == 0).sum() == round(amount * old.size)
        assert np.abs(old[new == 0]).max() <= np.abs(old[new != 0]).min()
        np.testing.assert_array_equal(new[new != 0], old[new != 0])
    assert len(notes) == 4


def test_vectors_and_kernels_go_as_wholes_and_dense_layers_have_none():
    for kind, axis in (("vector", 3), ("kernel", (2, 3))):
        _, _, weights, _ = sparse(convs(), **{kind: 0.5})
        for w in weights[:2]:
            zero = (w == 0).all(axis=axis)
            assert zero.sum() == round(0.5 * zero.size)
            assert (w != 0).sum() == w.size / 2
        assert (weights[2] != 0).all()


def blocks(w, groups, rows, channels):
    """[.., rows, channels] blocks of a convolution's weights."""
    m, c, kh, kw = w.shape
    parts = w.reshape(groups * (m // groups // rows), rows, c // channels, channels, kh * kw)
    return parts.transpose(0, 2, 4, 1, 3).reshape(-1, rows * channels)


def test_blocks_are_outputs_by_channels_of_one_tap():
    _, _, weights, _ = sparse(convs(groups=2), block=0.5, block_size="2x4")
    for w, groups in zip(weights[:2], (1, 2), strict=True):
        zero = (blocks(w, groups, 2, 4) == 0).all(axis=1)
        assert zero.sum() == len(zero) // 2
        assert (w != 0).sum() == w.size / 2


def test_features_of_maps_make_blocks_as_they_lie_in_memory():
    """The dense layer's columns c * 16 + pixel: neighbours in a channels-last map are 16 columns apart."""
    _, _, weights, _ = sparse(convs(), block=0.5, block_size="5x4")
    by_pixel = weights[2].reshape(5, 12, 16).transpose(0, 2, 1).reshape(5, -1, 4)
    zero = (by_pixel == 0).all(axis=(0, 2))
    assert zero.sum() == len(zero) // 2


def test_two_of_four_channels_free_and_shared():
    _, _, free, _ = sparse(convs(), nm="2:4")
    _, _, shared, _ = sparse(convs(), nm="2:4", shared=4)
    for w, s in zip(free[:2], shared[:2], strict=True):
        kept = (w != 0).reshape(len(w), -1, 4, 9)
        assert (kept.sum(axis=2) == 2).all()
        same = (s != 0).reshape(-1, 4, s.shape[1] // 4, 4, 9)
        assert (same.sum(axis=3) == 2).all()
        assert (same == same[:, :1]).all()
        assert not (kept.reshape(same.shape) == kept.reshape(same.shape)[:, :1]).all()
        assert np.abs(w).sum() > np.abs(s).sum()  # a free choice keeps more


def test_scopes_differ_where_layers_do():
    """All the small weights of one layer: globally it loses more, layer by layer the same."""
    proto = convs()
    constants = {t.name: t for t in proto.graph.initializer}
    from onnx import numpy_helper

    w = numpy_helper.to_array(constants["w"]).copy()
    w[:, 0] *= 40  # most of the layer's size lies in one channel
    constants["w"].CopyFrom(numpy_helper.from_array(w, "w"))
    _, _, layer, _ = sparse(proto, weight=0.5)
    _, _, everywhere, _ = sparse(proto, weight=0.5, scope="global")
    assert [round(float((w == 0).mean()), 2) for w in layer] == [0.5] * 3
    assert (everywhere[0] == 0).mean() > 0.8 > 0.5 > (everywhere[2] == 0).mean()
    total = sum(w.size for w in everywhere)
    assert sum(int((w == 0).sum()) for w in everywhere) == pytest.approx(total / 2, abs=1)


def test_activation_criterion_keeps_what_meets_large_inputs():
    data = samples()
    data["x"][:, 3] *= 100
    _, _, weights, _ = sparse(convs(), data, kernel=0.5, criterion="activation", scope="layer")
    _, _, plain, _ = sparse(convs(), data, kernel=0.5, criterion="l1", scope="layer")
    assert (weights[0][:, 3] != 0).all()
    assert not (plain[0][:, 3] != 0).all()


def error(before, after, data):
    want, have = run_float(before, data)["y"], run_float(after, data)["y"]
    return float(np.mean((want - have) ** 2))


@pytest.mark.parametrize("options", [{"weight": 0.5}, {"nm": "2:4", "shared": 4}, {"block": 0.5}])
def test_what_remains_is_fitted(options):
    options = {**options, "criterion": "l1", "scope": "layer"}
    data, fresh = samples(256), {"x": samples(300)["x"][256:]}
    before, fitted, weights, _ = sparse(convs(), data, **options)
    _, plain, masked, _ = sparse(convs(), **options)
    assert error(before, fitted, fresh) < 0.7 * error(before, plain, fresh)
    for a, b in zip(weights, masked, strict=True):
        np.testing.assert_array_equal(a == 0, b == 0)  # the pattern is the same
    _, off, _, _ = sparse(convs(), data, samples=0, **options)
    assert error(plain, off, fresh) == 0


def test_refitted_weights_are_the_least_squares():
    rng = np.random.default_rng(5)
    x, target = rng.normal(size=(40, 6)), rng.normal(size=(1, 3, 6))
    kept = rng.random((1, 3, 6)) < 0.5
    kept[0, 1] = False
    found = refitted(target, (x.T @ x)[None], kept)
    for row, want, mask in zip(found[0], target[0], kept[0], strict=True):
        best = np.zeros(6)
        best[mask] = np.linalg.lstsq(x[:, mask], x @ want, rcond=None)[0]
        np.testing.assert_allclose(row, best, atol=1e-9)


def test_skipped_layers_keep_all():
    _, _, weights, _ = sparse(convs(), weight=0.5, skip="one, three")
    assert [bool((w != 0).all()) for w in weights] == [True, False, True]


@pytest.mark.parametrize(("options", "words"), [
    ({"weight": 1.0}, "less than 1"), ({"block": -0.1}, "0 or more"), ({"block": 0.5, "block_size": "4"}, "2x4"),
    ({"nm": "4:4"}, "1:4"), ({"nm": "2of4"}, "2:4"), ({"weight": 0.5, "criterion": "size"}, "l1, l2, activation"),
    ({"weight": 0.5, "criterion": "taylor"}, "--calibration"), ({"weight": 0.5, "scope": "sensitivity"}, "--calibration"),
    ({"weight": 0.5, "floor": 0.9}, "labelled"),
    ({"weight": 0.5, "of": "size"}, "parameters, macs, instructions"), ({"threshold": -1.0}, "0 or more"),
    ({"weight": 0.5, "scope": "all"}, "layer, global"), ({"weight": 0.5, "skip": "nine"}, "one, three, two"),
    ({"weight": 0.5, "criterion": "activation"}, "--calibration"), ({"nm": "2:4", "shared": 0}, "1 or more"),
])  # fmt: skip
def test_wrong_wishes_say_what_there_is(options, words):
    with pytest.raises(UsageError) as caught:
        sparse(convs(), **options)
    assert words in str(caught.value)


def test_channels_that_do_not_divide_are_named_with_the_way_out():
    with pytest.raises(UsageError) as caught:
        sparse(convs(channels=6), nm="2:4")
    assert "6 of 'one'" in str(caught.value)
    assert "sparsify.skip=one" in str(caught.value)
    _, _, weights, _ = sparse(convs(channels=6), nm="2:4", skip="one")
    assert (weights[0] != 0).all()
    assert (weights[1] == 0).any()


def test_a_layer_pruned_to_nothing_says_what_is_reachable():
    with pytest.raises(WorkFailed) as caught:
        sparse(convs(), block=0.99, block_size="16x8", skip="three,two")
    assert "at most 88.8% can go" in str(caught.value)  # 8 of 9 blocks
    _, _, weights, _ = sparse(convs(), block=0.888, block_size="16x8", skip="three,two")
    assert (weights[0] != 0).sum() == 16 * 8
    with pytest.raises(WorkFailed) as caught:
        sparse(convs(), block=0.99, block_size="16x16", scope="global")
    reachable = float(str(caught.value).split("give ")[1].split(" ")[0])
    _, _, weights, _ = sparse(convs(), block=reachable, block_size="16x16", scope="global")
    assert all((w != 0).any() for w in weights)


def labelled(count=96):
    """Samples with the classes that the float network itself gives them."""
    data = samples(count)
    before, _, _, _ = sparse(convs())
    return data, run_float(before, data)["y"].argmax(axis=1).astype(np.int64)


def test_obs_takes_what_the_output_can_do_without():
    """Two inputs that always agree: either weight can answer for the other, however large; size alone does not see that."""
    data = samples(256)
    data["x"][:, 1] = data["x"][:, 0]
    options = {"kernel": 1 / 8, "scope": "layer", "skip": "two,three"}
    _, _, obs, _ = sparse(convs(), data, criterion="obs", **options)
    _, _, size, _ = sparse(convs(), data, criterion="l2", **options)
    twins = lambda w: (w[:, :2] == 0).all(axis=(2, 3)).sum()  # noqa: E731
    assert twins(obs[0]) == 16 > twins(size[0])


def test_taylor_is_the_squared_change_of_the_loss():
    """Beside central differences of the loss by single weights."""
    from hwcomp.passes import _weight_scores
    from hwcomp.passes._gradients import loss_gradient

    data, labels = labelled(6)
    labels = (labels + 1) % 5  # a loss that has a slope
    graph, _, _, _ = sparse(convs(groups=2))
    layers = [n for n in graph.nodes if n.op in ("Conv", "Dense")]
    ctx = PassContext(calibration=data, labels=labels)
    found = _weight_scores.scores(graph, ctx, layers, "taylor", None, 6, 0)

    def losses(graph):
        logits = run_float(graph, data)["y"].astype(np.float64)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return -np.log((e / e.sum(axis=1, keepdims=True))[np.arange(6), labels])

    assert loss_gradient(run_float(graph, data)["y"], labels).shape == (6, 5)
    rng = np.random.default_rng(0)
    for node in layers:
        tensor = graph.tensors[node.inputs[1]]
        for at in rng.integers(0, tensor.data.size, 4):
            step, sides = 2.0**-9, []
            for sign in (1, -1):
                moved = tensor.data.copy()
                moved.flat[at] += sign * step
                sides.append(
                    losses(graph.rebuilt(graph.nodes, {**graph.tensors, tensor.name: tensor.with_(data=moved)}))
                )
            slope = (sides[0] - sides[1]) / (2 * step)
            want = float((slope**2).sum()) * float(tensor.data.flat[at]) ** 2
            assert found[node.outputs[0]].flat[at] == pytest.approx(want, rel=0.1, abs=1e-6)


def test_a_scan_spares_the_layer_that_matters():
    """Two convolutions into one sum, one of them a hundred times smaller: relative to their layer all weights look alike."""
    constants = {"w": values("w", 8, 8, 1, 1), "v": values("v", 8, 8, 1, 1) / 100}
    nodes = [
        ("Conv", ["x", "w"], ["a"], {}, "large"),
        ("Conv", ["x", "v"], ["b"], {}, "small"),
        ("Add", ["a", "b"], ["y"], {}),
    ]
    proto, data = model(nodes, {"x": (1, 8, 4, 4)}, constants), samples(128)
    before, scanned, weights, notes = sparse(proto, data, weight=0.5)
    _, flat, _, _ = sparse(proto, data, weight=0.5, scope="layer")
    assert error(before, scanned, data) < 0.1 * error(before, flat, data)
    assert (weights[1] == 0).mean() > 0.9 > 0.1 > (weights[0] == 0).mean()
    assert sum(int((w == 0).sum()) for w in weights) == pytest.approx(64, abs=1)
    assert "scope sensitivity" in notes[-1]


def test_a_fraction_of_macs_counts_places():
    _, _, weights, _ = sparse(convs(), weight=0.5, scope="global", of="macs")
    places = (16, 16, 1)
    whole = sum(w.size * p for w, p in zip(weights, places, strict=True))
    gone = sum(int((w == 0).sum()) * p for w, p in zip(weights, places, strict=True))
    assert gone == pytest.approx(whole / 2, abs=16)


def test_weights_below_a_threshold_go():
    before, _, weights, _ = sparse(convs(), threshold=0.5)
    for node, new in zip([n for n in before.nodes if n.op in ("Conv", "Dense")], weights, strict=True):
        old = before.tensors[node.inputs[1]].data
        np.testing.assert_array_equal(new == 0, np.abs(old) < 0.5 * np.sqrt(np.mean(old.astype(np.float64) ** 2)))
    with pytest.raises(WorkFailed, match="largest weight is"):
        sparse(convs(), threshold=9.0)


def test_a_floor_out_of_reach_says_what_is_reachable():
    data, labels = labelled()
    with pytest.raises(WorkFailed) as caught:
        sparse(convs(), data, labels, weight=0.95, floor=0.9)
    text = str(caught.value)
    reachable = float(text.split("weight=")[2].split(" ", maxsplit=1)[0])
    assert 0 < reachable < 0.95
    _, after, _, _ = sparse(convs(), data, labels, weight=reachable, floor=0.9)
    assert (run_float(after, data)["y"].argmax(axis=1) == labels).mean() >= 0.9
    with pytest.raises(WorkFailed, match=r"without any zeros it is 1\.0000"):
        sparse(convs(), data, labels, nm="1:8", floor=1.0)


def test_everything_but_a_little_is_refused_by_a_scan():
    with pytest.raises(WorkFailed) as caught:
        sparse(convs(), samples(64), weight=0.999)
    most = float(str(caught.value).split("give ")[1].split(" ")[0])
    assert 0.9 < most < 0.999
    sparse(convs(), samples(64), weight=most)


def test_weights_that_are_zero_already_stay_so():
    data = samples(64)
    _, made, _, _ = sparse(convs(), data, weight=0.6, scope="layer")
    ctx = PassContext(calibration=data)
    again = Sparsify(weight=0.1, scope="layer").run(made, ctx)
    for node in again.nodes:
        if node.op in ("Conv", "Dense"):
            old = made.tensors[next(n for n in made.nodes if n.outputs == node.outputs).inputs[1]].data
            new = again.tensors[node.inputs[1]].data
            assert (old == 0).any()
            assert not new[old == 0].any()


@pytest.mark.parametrize("kind", ["vector", "kernel"])
def test_kinds_that_no_layer_has_are_refused(kind):
    dense = model([("Gemm", ["x", "w"], ["y"], {"transB": 1})], {"x": (1, 8)}, {"w": values("w", 16, 8)})
    with pytest.raises(UsageError, match=r"finds nothing to prune\. no kernel has more than one position"):
        sparse(dense, **{kind: 0.5})


@pytest.mark.parametrize(("quant", "kept"), [("ternary", True), ("int4", True), ("log2", True), ("binary", False)])
def test_zeros_stay_in_weights_of_few_bits_or_a_warning_says_that_they_go(quant, kept):
    ctx = PassContext(calibration=samples(200), quant=quant)
    warned, found = [], {}
    ctx.warn = warned.append

    def after(name, graph):
        found[name] = [graph.tensors[n.inputs[1]].data for n in graph.nodes if n.op in ("Conv", "Dense")]

    run_passes(loaded(convs()).graph, ctx, configured({"sparsify": {"weight": 0.5}}), after=after)
    lost = sum(
        int(new[old == 0].astype(bool).sum()) for old, new in zip(found["sparsify"], found["few_bits"], strict=True)
    )
    assert (lost == 0) == kept
    assert any("pass few_bits fills zeros in" in t for t in warned) != kept


def test_filters_that_do_not_divide_are_told_how_to_be_pruned():
    ctx = PassContext()
    ctx.note("prune", "some filters are gone")
    with pytest.raises(UsageError, match=r"--pass prune\.multiple=4"):
        Sparsify(nm="2:4").run(loaded(convs(channels=6)).graph, ctx)
    with pytest.raises(UsageError) as caught:
        Sparsify(nm="2:4").run(loaded(convs(channels=6)).graph, PassContext())
    assert "prune.multiple" not in str(caught.value)
