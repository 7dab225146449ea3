"""eval: accuracies, the loss against float, and the noise of each layer, on numbers that can be counted."""

import numpy as np
import pytest

import hwcomp
from hwcomp.errors import UsageError
from hwcomp.verify.evaluate import evaluate
from hwcomp.verify.float_engine import run_model
from hwcomp.verify.reference import run_program
from tests.models import loaded, model, saved, values
from tests.products import compiled

NODES = [("Gemm", ["x", "w"], ["h"], {}), ("Relu", ["h"], ["r"], {}), ("Gemm", ["r", "v"], ["y"], {})]
CONSTANTS = {"w": values("w", 6, 12), "v": values("v", 12, 5)}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return compiled(
        model(NODES, {"x": ("N", 6)}, CONSTANTS), tmp_path_factory.mktemp("e"), "mcu", input_ranges={"x": (-1.0, 1.0)}
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).uniform(-1, 1, (300, 6)).astype(np.float32)


def decisions(built, x):
    from hwcomp.samples import to_stored

    mine = run_program(built.program, to_stored(built.program, {"x": x}))["y"].argmax(1)
    return mine, run_model(built.dir / "model.onnx", {"x": x})["y"].argmax(1)


@pytest.mark.parametrize("engine", ["reference", "c"])
def test_fractions_are_counted(built, x, engine):
    mine, theirs = decisions(built, x)
    labels = np.where(np.arange(300) % 3 == 0, mine, (theirs + 1) % 5)
    result = evaluate(built, {"x": x}, labels, engine)
    assert (result.engine, result.samples) == (engine, 300)
    assert result.accuracy == np.mean(mine == labels)
    assert result.float_accuracy == np.mean(theirs == labels)
    assert result.agreement == np.mean(mine == theirs)
    assert result.loss_points == 100 * (result.float_accuracy - result.accuracy)


def test_without_labels(built, x):
    result = evaluate(built, {"x": x})
    assert (result.accuracy, result.float_accuracy, result.loss_points) == (None, None, None)
    assert result.agreement > 0.9


def test_noise_is_that_of_the_fused_tensors(built, x):
    result = evaluate(built, {"x": x})
    assert [layer.tensor for layer in result.layers] == ["r", "y"]
    from hwcomp.frontend.float_run import run_float
    from hwcomp.samples import to_stored

    few = {"x": x[:256]}
    real = {}
    run_float(loaded(model(NODES, {"x": ("N", 6)}, CONSTANTS)).graph, few, real.__setitem__)
    taps = run_program(built.program, to_stored(built.program, few), taps=True)
    for layer in result.layers:
        have = built.program.edges[layer.tensor].to_real(taps[layer.tensor])
        error = have.astype(np.float64) - real[layer.tensor]
        assert layer.worst == pytest.approx(np.abs(error).max(), rel=1e-5)
        assert layer.sqnr_db == pytest.approx(
            10 * np.log10((real[layer.tensor].astype(np.float64) ** 2).sum() / (error**2).sum()), rel=1e-5
        )
        assert layer.sqnr_db > 25


def test_stored_integers_are_data_too(built, x):
    q = built.program.edges["x"].from_real(x)
    assert evaluate(built, {"x": q}).layers[0].sqnr_db > 25


@pytest.mark.parametrize("count", [299, 301, 0])
def test_labels_must_fit_the_samples(built, x, count):
    with pytest.raises(UsageError, match="labels"):
        evaluate(built, {"x": x}, np.zeros(count, np.int64))


def test_argmax_at_the_end_decides_itself(tmp_path, x):
    proto = model(
        [*NODES, ("ArgMax", ["y"], ["class"], {"axis": 1})],
        {"x": ("N", 6)},
        CONSTANTS,
        ("class",),
        types={"class": "int64"},
    )
    built = compiled(proto, tmp_path, "mcu", input_ranges={"x": (-1.0, 1.0)})
    theirs = run_model(built.dir / "model.onnx", {"x": x})["class"].reshape(-1)
    result = evaluate(built, {"x": x}, theirs)
    assert result.float_accuracy == 1.0
    assert result.accuracy == result.agreement > 0.9


@pytest.mark.parametrize("wrong", [5, -1])
def test_a_label_that_is_no_class_is_refused(built, x, wrong):
    labels = np.zeros(300, np.int64)
    labels[7] = wrong
    with pytest.raises(UsageError, match=f"label {wrong} for 5 classes"):
        evaluate(built, {"x": x}, labels)


@pytest.mark.parametrize("batch", [1, "N"])
def test_float_engine_runs_any_batch(tmp_path, x, batch):
    built = compiled(model(NODES, {"x": (batch, 6)}, CONSTANTS), tmp_path, "mcu", input_ranges={"x": (-1.0, 1.0)})
    want = np.maximum(x @ CONSTANTS["w"], 0) @ CONSTANTS["v"]
    have = run_model(built.dir / "model.onnx", {"x": x})["y"]
    assert have.shape == want.shape
    assert float(np.abs(have - want).max()) < 1e-5


def test_unbatched_model(tmp_path):
    proto = model([("MatMul", ["x", "w"], ["y"], {})], {"x": (6,)}, {"w": values("w", 6, 12)})
    built = compiled(proto, tmp_path, "mcu", input_ranges={"x": (-1.0, 1.0)})
    x = np.random.default_rng(0).uniform(-1, 1, (20, 6)).astype(np.float32)
    assert evaluate(built, {"x": x}).agreement > 0.9


def test_python_api(built, x):
    assert hwcomp.evaluate(built.dir, {"x": x}).samples == 300


@pytest.mark.parametrize("passes", [
    {"sparsify": {"block": 0.3, "scope": "sensitivity"}}, {"sparsify": {"weight": 0.2, "floor": 0.01}},
    {"low_rank": {"enabled": True, "energy": 0.8}},
])  # fmt: skip
def test_what_was_chosen_with_data_counts_as_noise(x, passes, tmp_path):
    """The data are not at hand when a product is evaluated."""
    labels = np.random.default_rng(2).integers(0, 5, len(x))
    path, data = saved(model(NODES, {"x": ("N", 6)}, CONSTANTS), tmp_path / "net.onnx"), {"x": x, "labels": labels}
    plain, built = (
        hwcomp.compile(path, tmp_path / n, target="mcu", calibration=data, passes=p)
        for n, p in (("a", {}), ("b", passes))
    )
    less, more = ({n.tensor: n.sqnr_db for n in evaluate(b, {"x": x}).layers} for b in (built, plain))
    assert less.keys() == more.keys() >= {"y"} and less["y"] < more["y"] - 3
