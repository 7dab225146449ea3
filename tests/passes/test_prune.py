"""Structured pruning: criteria by hand, exact removal of what is dead, amounts, floors, branches, whole products."""

import numpy as np
import pytest

import hwcomp
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.passes import _ranking
from hwcomp.passes._costs import COSTS, cost
from hwcomp.passes._ranking import ranking
from hwcomp.passes._units import DOT, Units
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.passes.prune import Prune, accuracy
from tests.models import model, quantized, saved, shared, values
from tests.nets import net
from tests.passes.test_units import fused
from tests.pruning import chain, data, rows

KINDS = ("filter", "channel")
A, B = [[1, -2], [0, 3], [0.5, 0.5]], [[1, 2, -4], [0, 1, 3]]


# --- which units, how many --------------------------------------------------------------------------------------------


def test_the_least_go_first_and_layers_keep_some():
    graph = chain(values("a", 10, 2), values("b", 2, 10))
    units = Units(graph)
    made = next(iter(units.rows.values()))
    order = ranking(units, {int(u): float(i) for i, u in enumerate(made)}, "global", 0.75, 1, None)
    assert order.order.tolist() == made[:7].tolist() and order.gone(3).tolist() == sorted(made[:3].tolist())


@pytest.mark.parametrize(
    ("multiple", "count", "left"), [(4, 1, 12), (4, 3, 12), (4, 4, 8), (4, 7, 8), (8, 3, 12), (8, 4, 8), (5, 2, 10)]
)
def test_layers_keep_a_multiple(multiple, count, left):
    graph = chain(values("a", 12, 2), values("b", 2, 12))
    units = Units(graph)
    order = ranking(units, {int(u): float(u) for u in units.free}, "global", 0.9, multiple, None)
    assert 12 - len(order.gone(count)) == left


def test_scope_layer_takes_the_same_part_of_each():
    nodes = [("Conv", ["x", "a"], ["u"], {}), ("Conv", ["u", "b"], ["v"], {}), ("Conv", ["v", "c"], ["y"], {})]
    weights = {
        "a": values("a", 20, 3, 1, 1, scale=9),
        "b": values("b", 40, 20, 1, 1, scale=0.1),
        "c": values("c", 3, 40, 1, 1),
    }
    graph = fused(model(nodes, {"x": (1, 3, 4, 4)}, weights))
    first, second, _ = rows(Prune(filter=0.44, criterion="l1", scope="layer").run(graph, PassContext()))
    assert abs(first / 20 - second / 40) <= 1 / 20 and second < 32


def test_scope_sensitivity_spares_the_layer_that_matters():
    """The second layer reads ten copies of one value, the third one ten values of their own."""
    a = np.ones((10, 1), np.float32) * np.linspace(1, 2, 10, dtype=np.float32)[:, None]
    nodes = [("Conv", ["x", "s"], ["p"], {}), ("Conv", ["p", "a"], ["u"], {}), ("Relu", ["u"], ["r"], {}),
             ("Conv", ["r", "b"], ["v"], {}), ("Conv", ["x", "c"], ["w"], {}),
             ("Relu", ["w"], ["t"], {}), ("Conv", ["t", "d"], ["z"], {}), ("Add", ["v", "z"], ["y"], {})]  # fmt: skip
    weights = {
        "s": values("s", 1, 10),
        "a": a,
        "b": np.ones((10, 10)),
        "c": values("c", 10, 10),
        "d": values("d", 10, 10),
    }
    graph = fused(model(nodes, {"x": (1, 10, 3, 3)}, {n: np.float32(w)[:, :, None, None] for n, w in weights.items()}))
    small = Prune(filter=0.25, criterion="l2", scope="sensitivity").run(graph, PassContext(calibration=data(graph)))
    left = {n.outputs[0]: len(small.tensors[n.inputs[1]].data) for n in small.nodes if n.op in DOT}
    assert left["t"] == 10 and left["r"] <= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", COSTS)
def test_at_least_the_amount_goes_and_little_more(kind, of):
    graph = chain(values("a", 40, 3), values("b", 5, 40))
    small = Prune(**{kind: 0.5}, of=of, criterion="l2").run(graph, PassContext())
    assert 0.47 <= cost(small, of) / cost(graph, of) <= 0.5
    small.check()


# --- what remains -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repair", ["none", "bias", "weights"])
def test_dead_filters_go_without_a_trace(repair):
    a = values("a", 8, 3)
    a[[1, 4, 6]] = 0
    graph = chain(a, values("b", 2, 8))
    x = data(graph)
    small = Prune(filter=0.3, criterion="l1", repair=repair).run(graph, PassContext(calibration=x))
    assert rows(small) == [5, 2]
    np.testing.assert_allclose(run_float(small, x)["y"], run_float(graph, x)["y"], atol=2e-4)


@pytest.mark.parametrize("repair", ["bias", "weights"])
def test_what_never_changes_goes_into_the_next_bias(repair):
    a = values("a", 6, 3)
    a[[0, 3]] = 0
    graph = chain(a, values("b", 2, 6), bias=[5, 0, 0, 2, 0, 0])
    x = data(graph)
    small = Prune(filter=0.3, criterion="variance", repair=repair).run(graph, PassContext(calibration=x))
    assert rows(small) == [4, 2]
    np.testing.assert_allclose(run_float(small, x)["y"], run_float(graph, x)["y"], atol=2e-3)


def test_units_that_say_the_same_are_merged():
    a = values("a", 6, 3)
    a[4], a[1] = a[2] * 0.5, a[0] * 2
    b = values("b", 2, 6)
    graph = chain(a, b)
    x = data(graph)
    small = Prune(filter=0.3, criterion="correlation").run(graph, PassContext(calibration=x))
    np.testing.assert_allclose(run_float(small, x)["y"], run_float(graph, x)["y"], atol=2e-3)
    weight = small.tensors[small.nodes[1].inputs[1]].data[:, :, 0, 0]
    np.testing.assert_allclose(weight[:, 0], b[:, 1] + b[:, 0] / 2, atol=2e-3)  # unit 0 is half of unit 1
    np.testing.assert_allclose(weight[:, 1], b[:, 2] + b[:, 4] / 2, atol=2e-3)


def test_least_squares_halves_the_error():
    graph = chain(values("a", 24, 6), values("b", 4, 24))
    x, fresh = data(graph, 128), data(graph, 128, seed=5)
    want = run_float(graph, fresh)["y"]

    def error(**options):
        small = Prune(filter=0.4, criterion="random", **options).run(graph, PassContext(calibration=x))
        return float(np.square(run_float(small, fresh)["y"] - want).mean())

    assert error(repair="weights") < 0.5 * error(repair="bias") < 0.5 * error(repair="none")


# --- branches ---------------------------------------------------------------------------------------------------------


def residual(outputs=("y",), relu=True):
    nodes = [
        ("Conv", ["x", "a"], ["u"], {"pads": [1] * 4}), ("Relu", ["u"], ["v"], {}), ("Conv", ["v", "b"], ["w"], {"pads": [1] * 4}),
        ("Conv", ["x", "s"], ["h"], {}), ("Add", ["w", "h"], ["t"], {}), *([("Relu", ["t"], ["r"], {})] if relu else []),
        ("Conv", ["r" if relu else "t", "d"], ["y"], {}),
    ]  # fmt: skip
    weights = {
        "a": values("a", 4, 3, 3, 3, scale=0.01),
        "b": values("b", 4, 4, 3, 3, scale=0.1),
        "s": values("s", 4, 3, 1, 1),
        "d": values("d", 3, 4, 1, 1),
    }
    return fused(model(nodes, {"x": (1, 3, 6, 6)}, weights, outputs=outputs))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("outputs", [("y",), ("y", "t")])
def test_the_branch_that_says_least_goes(relu, outputs):
    graph = residual(outputs, relu)
    x = data(graph)
    small = Prune(branch=0.5).run(graph, PassContext(calibration=x))
    small.check()
    assert rows(small) == [4, 3] and "Add" not in [n.op for n in small.nodes]
    for name, want in run_float(graph, x).items():
        np.testing.assert_allclose(run_float(small, x)[name], want, atol=0.05)


def test_no_branch_to_take():
    graph = chain(A, B)
    with pytest.raises(
        WorkFailed, match=r"with branches. the network has no residual branch. prune filters or channels"
    ):
        Prune(branch=0.1).run(graph, PassContext(calibration=data(graph)))
    graph = residual()
    with pytest.raises(WorkFailed, match=r"at most 9\d\.\d% can go"):
        Prune(branch=0.99).run(graph, PassContext(calibration=data(graph)))
    with pytest.raises(UsageError, match=r"--prune branch needs calibration data"):
        Prune(branch=0.5).run(residual(), PassContext())


# --- thresholds, floors, refusals -------------------------------------------------------------------------------------


def test_threshold():
    a = values("a", 8, 3)
    a[[2, 5]] *= 0.01
    graph = chain(a, values("b", 2, 8))
    assert rows(Prune(criterion="threshold", threshold=0.1).run(graph, PassContext())) == [6, 2]
    with pytest.raises(WorkFailed, match=r"prune.threshold=50 leaves nothing at node .* the largest of its 8 is 1"):
        Prune(criterion="threshold", threshold=50.0).run(graph, PassContext())
    empty = chain(np.zeros_like(A), B)
    with pytest.raises(
        WorkFailed, match=r"of its \d+ is 0 times the mean of its layers. leave it out with --pass prune.skip="
    ):
        Prune(criterion="threshold", threshold=0.1).run(empty, PassContext())


def classes(count=400):
    """Three groups of points, and a network that tells them apart with four filters of twelve."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, count)
    centres = np.float32([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    x = (centres[labels] + rng.normal(0, 0.4, (count, 4))).astype(np.float32)
    w = values("w", 4, 12, scale=0.05)
    w[:4, :4] = np.eye(4)
    v = values("v", 12, 3, scale=0.05)
    v[:3] = np.eye(3)
    nodes = [("MatMul", ["x", "w"], ["u"], {}), ("Relu", ["u"], ["r"], {}), ("MatMul", ["r", "v"], ["y"], {})]
    return fused(model(nodes, {"x": (1, 4)}, {"w": w, "v": v})), PassContext(calibration={"x": x}, labels=labels)


def test_as_much_goes_as_a_floor_allows():
    graph, ctx = classes()
    assert accuracy(graph, ctx) > 0.95
    small = Prune(floor=0.95).run(graph, ctx)
    assert accuracy(small, ctx) >= 0.95 and cost(small, "macs") < 0.5 * cost(graph, "macs")


def test_a_floor_out_of_reach_says_what_is_reachable():
    graph, ctx = classes()
    with pytest.raises(
        WorkFailed, match=r"pruning 80% misses the accuracy floor 0.95: 0\.\d+.*\d+\.\d% of the .* can go with 0\.9\d"
    ):
        Prune(filter=0.8, floor=0.95, criterion="l1", repair="none").run(graph, ctx)
    with pytest.raises(WorkFailed, match=r"the accuracy floor 1 is out of reach"):
        Prune(floor=1.0, repair="none").run(
            graph, PassContext(calibration=ctx.calibration, labels=1 - ctx.labels.clip(0, 1))
        )


@pytest.mark.parametrize(("options", "text"), [
    ({"filter": 0.2, "criterion": "size"}, "criterion=size"), ({"filter": 0.2, "scope": "one"}, "scope=one"),
    ({"filter": 0.2, "of": "lut"}, "of=lut. nobody"), ({"filter": 0.2, "of": "size"}, "of=size"),
    ({"filter": 0.2, "saves": "size"}, "saves=size"), ({"filter": 0.2, "repair": "all"}, "repair=all"),
    ({"filter": 0.2, "most": 1.0}, "prune.most"), ({"filter": 0.2, "floor": 2.0}, "prune.floor"),
    ({"filter": 0.2, "multiple": -1}, "multiple"), ({"filter": 0.2, "criterion": "threshold"}, "prune.threshold, not a fraction"),
    ({"filter": 0.2, "threshold": 0.3}, "prune.threshold, not a fraction"), ({"floor": 0.5}, "labelled calibration data"),
    ({"filter": 0.2, "criterion": "taylor"}, "needs calibration data"), ({"filter": 0.2, "criterion": "bn"}, "needs BatchNormalization"),
    ({"filter": 0.2, "scope": "sensitivity"}, "needs calibration data"), ({"filter": 1.0}, "prune.filter=1"),
])  # fmt: skip
def test_bad_wishes(options, text):
    with pytest.raises(UsageError, match=text):
        Prune(**options).run(chain(A, B), PassContext())


def test_taylor_needs_labels():
    graph = chain(A, B)
    with pytest.raises(UsageError, match=r"add an array `labels`"):
        Prune(filter=0.2, criterion="taylor").run(graph, PassContext(calibration=data(graph)))


def test_more_than_can_go():
    """What is said to be possible is: parts are rounded down."""
    for count in (7, 9, 10, 11, 13):
        graph = chain(values("a", count, 2), values("b", 2, count))
        with pytest.raises(WorkFailed, match=r"can't take 95% .* with filters. at most \d+\.\d% can go") as found:
            Prune(filter=0.95).run(graph, PassContext())
        part = float(found.value.why.split()[2].rstrip("%")) / 100
        assert cost(Prune(filter=part).run(graph, PassContext()), "macs") <= (1 - part) * cost(graph, "macs") + 1e-6


@pytest.mark.parametrize("criterion", ["l1", "random", "activation"])
def test_nothing_can_go(criterion):
    nodes = [("Conv", ["x", "a"], ["u"], {}), ("Softmax", ["u"], ["s"], {"axis": 1}), ("Conv", ["s", "b"], ["y"], {})]
    graph = fused(model(nodes, {"x": (1, 2, 3, 3)}, {"a": values("a", 6, 2, 1, 1), "b": values("b", 2, 6, 1, 1)}))
    with pytest.raises(WorkFailed, match=r"with filters. none of the filters can go"):
        Prune(filter=0.1, criterion=criterion, scope="layer").run(graph, PassContext(calibration=data(graph)))


def test_a_quantized_model_is_refused():
    path = shared("models", "qdq", "lenet5_qdq_pt_sym.onnx")
    with pytest.raises(UsageError, match=r"already quantized.*--requantize"):
        hwcomp.compile(path, "/nonexistent/folder", target="mcu", prune={"filter": 0.2})


# --- random networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(500, 560))
def test_random_networks_get_smaller_or_say_why_not(seed):
    """Every kind and scope; what comes out is a network of at most the cost that was asked for."""
    drawn = net(seed)
    graph = fused(drawn.proto)
    options = {
        ("filter", "channel", "branch")[seed % 3]: 0.2, "scope": _ranking.SCOPES[seed // 3 % 3], "multiple": 1 + seed % 2,
        "criterion": ("l1", "activation", "variance", "correlation")[seed % 4], "samples": 16,
    }  # fmt: skip
    x = {n: a[:16] for n, a in data(graph, 16, seed).items()}
    try:
        small = Prune(**options).run(graph, PassContext(calibration=x))
    except WorkFailed as refused:
        assert "can't take 20%" in str(refused) and (" can go" in str(refused) or "no residual branch" in str(refused))
        return
    small.check()
    assert cost(small, "macs") <= 0.8 * cost(graph, "macs")
    assert all(
        a.shape == b.shape for a, b in zip(run_float(graph, x).values(), run_float(small, x).values(), strict=True)
    )


# --- whole networks ---------------------------------------------------------------------------------------------------

ZOO = (
    "resnet8_bn_fashion",
    "mobilenetv2s_fashion",
    "mobilenetv3s_fashion",
    "shufflenets_fashion",
    "squeezenets_fashion",
    "conv1d_mnist",
)


@pytest.mark.parametrize("name", ZOO)
def test_networks_lose_filters_in_every_layer_that_they_reach(name):
    from hwcomp.frontend.load import load_model

    passes = configured({})
    graph = run_passes(
        load_model(shared("models", "float", f"{name}.onnx")).graph,
        PassContext(),
        passes[: [p.name for p in passes].index("prune")],
    )
    small = Prune(filter=0.3, criterion="l2").run(graph, PassContext())
    assert 0.6 <= cost(small, "macs") / cost(graph, "macs") <= 0.7
    x = data(small, 2)
    for y in run_float(small, x).values():
        assert np.isfinite(y).all()


@pytest.mark.parametrize("quant", ["int8", "int4", "ternary"])
def test_pruning_and_quantization_compose(tmp_path, quant):
    """The smaller network is what the product computes, on every engine."""
    nodes = [
        ("Conv", ["x", "a"], ["u"], {"pads": [1] * 4}), ("Relu", ["u"], ["r"], {}),
        ("Conv", ["r", "d"], ["v"], {"pads": [1] * 4, "group": 12}), ("Conv", ["v", "e"], ["w"], {}), ("Add", ["w", "r"], ["s"], {}),
        ("Relu", ["s"], ["t"], {}), ("GlobalAveragePool", ["t"], ["p"], {}), ("Flatten", ["p"], ["f"], {}), ("Gemm", ["f", "g"], ["y"], {}),
    ]  # fmt: skip
    weights = {
        "a": values("a", 12, 2, 3, 3),
        "d": values("d", 12, 1, 3, 3),
        "e": values("e", 12, 12, 1, 1),
        "g": values("g", 12, 5),
    }
    proto = model(nodes, {"x": (1, 2, 6, 6)}, weights)
    x = {"x": values("x", 32, 2, 6, 6)}
    built = hwcomp.compile(
        saved(proto, tmp_path / "net.onnx"), tmp_path / "out", target="mcu,fpga", quant=quant, calibration=x, prune={"filter": 0.4},
        passes={"prune": {"multiple": 2}},
    )  # fmt: skip
    made = [built.program.edges[k.outputs[0]].shape[0] for k in built.program.kernels if k.kind == "conv2d"]
    assert len(set(made)) == 1 and made[0] in (4, 6, 8)  # all three convolutions share their channels
    for outcome in hwcomp.verify(built.dir, {"x": x["x"][:3]}, ("c", "verilator")):
        assert outcome.status == "equal", outcome
    assert hwcomp.evaluate(built.dir, x).layers == ()  # the model has no tensors of these sizes
    assert "prune" in built.manifest["notes"] and built.manifest["options"]["prune"] == {"filter": 0.4}


def test_labels_come_with_the_calibration_data():
    proto = model(
        [("MatMul", ["x", "w"], ["r"], {}), ("MatMul", ["r", "v"], ["y"], {})],
        {"x": (1, 4)},
        {"w": values("w", 4, 9), "v": values("v", 9, 3)},
    )
    x = {"x": values("x", 20, 4), "labels": np.arange(20) % 3}
    _, ctx = quantized(proto, calibration=x, prune={"filter": 0.3}, passes={"prune": {"criterion": "taylor"}})
    assert any("taylor" in line for line in ctx.notes["prune"])
    with pytest.raises(UsageError, match=r"another number of labels"):
        quantized(proto, calibration={**x, "labels": np.arange(19)})
