"""`--tune-for` and budgets: what lossy passes make of a target's cost model; what can't be met says what is reachable."""

import numpy as np
import pytest

import hwcomp
from hwcomp import tuning
from hwcomp.backends.verilog import Verilog
from hwcomp.errors import UsageError, WorkFailed
from hwcomp.frontend.float_run import run_float
from hwcomp.passes import _ranking
from hwcomp.passes._costs import COSTS, HARDWARE, cost
from hwcomp.passes._units import DOT, Units
from hwcomp.passes.base import PassContext
from hwcomp.passes.prune import Prune, accuracy
from hwcomp.passes.sparsify import Sparsify
from tests.models import model, saved, values
from tests.passes.test_units import fused
from tests.pruning import data, rows

ALL = (*COSTS, *HARDWARE)


def network(width=20):
    """3x3, in two groups, pointwise beside a 3x3 that it is joined with, dense: [1, 3, 8, 8] -> [1, 5]."""
    nodes = [
        ("Conv", ["x", "a"], ["t1"], {"pads": [1] * 4}), ("Relu", ["t1"], ["r1"], {}),
        ("Conv", ["r1", "b"], ["t2"], {"pads": [1] * 4, "group": 2}), ("Relu", ["t2"], ["r2"], {}),
        ("Conv", ["r2", "c"], ["t3"], {}), ("Conv", ["r2", "d"], ["t4"], {"pads": [1] * 4}),
        ("Concat", ["t3", "t4"], ["t5"], {"axis": 1}), ("Conv", ["t5", "e"], ["t6"], {}),
        ("GlobalAveragePool", ["t6"], ["p"], {}), ("Flatten", ["p"], ["f"], {}), ("Gemm", ["f", "g"], ["y"], {}),
    ]  # fmt: skip
    shapes = {
        "a": (width, 3, 3, 3), "b": (width, width // 2, 3, 3), "c": (width, width, 1, 1), "d": (width, width, 3, 3),
        "e": (width, 2 * width, 1, 1), "g": (width, 5),
    }  # fmt: skip
    return model(nodes, {"x": (1, 3, 8, 8)}, {n: values(n, *s) for n, s in shapes.items()})


def context(graph, target=None, budget=64, **more):
    more = {"calibration": data(graph, 32), **more}
    return PassContext(hardware=tuning.costs(budget), tuned=tuning.tuned(target, budget), **more)


def columns(graph):
    """Input channels of a group, of each dot product behind the first."""
    return [graph.tensors[n.inputs[1]].shape[1] for n in graph.nodes if n.op in DOT][1:]


@pytest.mark.parametrize("amount", [0.2, 0.5])
def test_what_stays_fills_the_lanes_of_c(amount):
    graph = fused(network(24))
    small = Prune(filter=amount).run(graph, context(graph, "mcu"))
    assert all(n % 4 == 0 for n in (*rows(small)[:-1], *columns(small)))
    free = Prune(filter=amount).run(graph, context(graph))
    assert any(n % 4 for n in (*rows(free)[:-1], *columns(free)))
    assert cost(small, "macs") <= (1 - amount) * cost(graph, "macs")


@pytest.mark.parametrize("multiple", [2, 3, 4])
def test_columns_of_a_group_are_a_multiple_too(multiple):
    """Four groups of 12: as many as a multiple of the rows, but not of a group, would be 44."""
    nodes = [("Conv", ["x", "a"], ["u"], {}), ("Relu", ["u"], ["r"], {}), ("Conv", ["r", "b"], ["y"], {"group": 4})]
    weights = {"a": values("a", 48, 3, 1, 1), "b": values("b", 8, 12, 1, 1)}
    graph = fused(model(nodes, {"x": (1, 3, 4, 4)}, weights))
    small = Prune(filter=0.1, multiple=multiple, criterion="l2").run(graph, PassContext())
    assert columns(small)[0] % multiple == 0 and columns(small)[0] < 12 and rows(small)[0] == 4 * columns(small)[0]


@pytest.mark.parametrize("budget", [24, 64, 150])
def test_filters_that_only_fill_lanes_come_back(budget):
    graph = fused(network())
    ctx, units = context(graph, "fpga", budget), Units(graph)
    worth = {int(u): float(u) for u in units.free}
    tuned = _ranking.ranking(units, worth, "layer", 0.9, lambda gone: ctx.tuned.steps(units.without(gone)), None)
    back = 0
    for count in range(0, len(tuned.order), 5):
        less, more = (units.without(gone) for gone in (tuned.order[:count], tuned.gone(count)))
        assert all(a <= b for a, b in zip(rows(less), rows(more), strict=True))
        back += sum(rows(more)) - sum(rows(less))
        if sum(rows(more)) > sum(rows(less)):
            steps = ctx.tuned.steps(less)
            assert any(
                len(more.tensors[n.inputs[1]].data) % steps[n.outputs[0]][0] == 0 for n in more.nodes if n.op in DOT
            )
    assert back


def test_a_scan_counts_what_the_target_saves():
    """Two layers that matter alike; one has four times the pixels of the other for as many MACs of its weights."""
    graph, seen = fused(network()), []
    ctx = context(graph, "mcu")
    ctx.tuned = tuning.Tuned("lane_cycles", ctx.tuned.steps, ctx.tuned.block)
    model_of = ctx.hardware["lane_cycles"]
    ctx.hardware["lane_cycles"] = lambda whole: lambda g: seen.append(g) or model_of(whole)(g)
    Prune(filter=0.2, criterion="l2").run(graph, ctx)
    assert len(seen) > 10
    seen.clear()
    Prune(filter=0.2, criterion="l2", saves="macs").run(graph, ctx)
    assert not seen


def test_what_saves_nothing_goes_with_what_does():
    """A model of steps: the first quarter of the filters saves nothing by itself."""
    group = list(range(8))
    key = _ranking._sensitivity(group, lambda gone: (float(len(gone)), 100.0 - 10 * (len(gone) // 4)))
    assert key[0] == key[3] == pytest.approx(0.4) and key[4] >= key[3] and len(key) == 8
    key = _ranking._sensitivity(group, lambda gone: (float(len(gone)), 100.0))
    assert set(key.values()) == {np.inf}


@pytest.mark.parametrize(
    ("target", "budget", "size"), [("mcu", 64, "4x4"), ("fpga", 16, "4x4"), ("fpga", 400, "8x8"), (None, 400, "4x4")]
)
def test_blocks_of_zeros_follow_the_lanes(target, budget, size):
    graph = fused(network(32))
    tuned = Sparsify(block=0.5, samples=0).run(graph, context(graph, target, budget))
    fixed = Sparsify(block=0.5, samples=0, block_size=size).run(graph, context(graph, target, budget))
    for n in tuned.nodes:
        if n.op in DOT:
            same = next(m for m in fixed.nodes if m.outputs == n.outputs)
            assert (tuned.tensors[n.inputs[1]].data == fixed.tensors[same.inputs[1]].data).all()


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ALL)
def test_a_budget_of_each_cost_is_kept_by_ratios_from_the_scan(of):
    graph = fused(network())
    ctx = context(graph)
    measure = ctx.hardware[of](graph) if of in HARDWARE else lambda g: cost(g, of)
    small = Prune(filter=0.3, of=of, criterion="l2", scope="sensitivity").run(graph, ctx)
    assert 0.4 * measure(graph) <= measure(small) <= 0.7 * measure(graph)
    lost = [1 - b / a for a, b in zip(rows(graph), rows(small), strict=True)][:-1]
    assert max(lost) - min(lost) > 0.1  # not the same part of each layer
    assert np.isfinite(run_float(small, data(small, 2))["y"]).all()


@pytest.mark.parametrize("of", ALL)
def test_a_budget_out_of_reach_says_what_is_reachable(of):
    graph = fused(network())
    ctx = context(graph)
    with pytest.raises(WorkFailed, match=r"can't take 99% of the .*at most \d+\.\d% can go") as caught:
        Prune(filter=0.99, of=of, criterion="l2", repair="none").run(graph, ctx)
    share = float(str(caught.value).split("at most ")[1].split("%")[0]) / 100
    measure = ctx.hardware[of](graph) if of in HARDWARE else lambda g: cost(g, of)
    small = Prune(filter=share - 0.002, of=of, criterion="l2", repair="none", scope="layer").run(graph, ctx)
    assert measure(small) <= (1 - share + 0.002) * measure(graph)


@pytest.mark.parametrize(("of", "amount"), [("parameters", 0.6), ("instructions", 0.6), ("flash", 0.6)])
def test_floor_and_budget_together(of, amount):
    """Labels are the network's own decisions: all of it keeps them, less of it only some."""
    graph = fused(network())
    x = data(graph, 128)
    labels = run_float(graph, x)["y"].argmax(axis=1)
    ctx = context(graph, calibration=x, labels=labels)
    assert accuracy(graph, ctx) == 1.0
    with pytest.raises(WorkFailed, match=r"misses the accuracy floor 0.999: .*% of the .* can go with (0\.999|1\.0)"):
        Prune(filter=amount, floor=0.999, of=of, criterion="random", repair="none").run(graph, ctx)
    small = Prune(filter=0.05, floor=0.3, of=of, criterion="l2").run(graph, ctx)
    assert accuracy(small, ctx) >= 0.3


# --- the compile ------------------------------------------------------------------------------------------------------


def test_only_what_is_tuned_for_changes_the_program(tmp_path):
    path = saved(network(), tmp_path / "net.onnx")
    x = {"x": values("x", 32, 3, 8, 8)}

    def built(name, **options):
        more = {"prune": {"filter": 0.3}, "passes": {"prune": {"criterion": "l2"}}, "calibration": x}
        return hwcomp.compile(path, tmp_path / name, **more, **options)

    plain = {built(f"plain-{t}", target=t).program.sha256() for t in ("mcu", "fpga", "hls")}
    tuned = [built(f"tuned-{t}", target=t, tune_for="mcu") for t in ("mcu", "fpga")]
    assert len(plain) == 1
    assert len({b.program.sha256() for b in tuned}) == 1 and {b.program.sha256() for b in tuned} != plain
    first = tuned[0]
    assert first.manifest["options"]["tune_for"] == "mcu"
    made = [first.program.edges[k.outputs[0]].shape[0] for k in first.program.kernels if k.kind == "conv2d"]
    assert all(n % 4 == 0 for n in made)


def test_cycles_can_be_a_budget_of_a_compile(tmp_path):
    path = saved(network(), tmp_path / "net.onnx")
    options = {"target": "fpga", "pe_simd_budget": 60, "calibration": {"x": values("x", 32, 3, 8, 8)}}
    whole = hwcomp.compile(path, tmp_path / "whole", **options)
    small = hwcomp.compile(
        path, tmp_path / "small", prune={"filter": 0.4}, tune_for="fpga", passes={"prune": {"of": "cycles"}}, **options
    )
    interval = [Verilog().plan(b.program, {"pe_simd_budget": 60}).interval for b in (whole, small)]
    assert interval[1] <= 0.6 * interval[0]


def test_unknown_target(tmp_path):
    with pytest.raises(UsageError, match="unknown target 'gpu' of --tune-for"):
        hwcomp.compile(saved(network(), tmp_path / "net.onnx"), tmp_path / "out", tune_for="gpu")
