"""L3: whole networks on real images; every tensor of every engine equals the interpreter's, and the figures hold."""

import pytest

from hwcomp.options import HLS_DIALECTS
from hwcomp.samples import to_stored
from hwcomp.verify import compare, engines, hls_host
from hwcomp.verify.evaluate import evaluate
from tests.verify.conftest import NETWORKS

DISTINCT = [n for n in NETWORKS if not n.endswith("_dynamo")]  # that one has the weights of another


def verified(net, engine, count, budget=256):
    built = net.product(budget)
    (outcome,) = compare.verify(built, net.stored(count), [engines.engine(engine)], {engine: count})
    assert (outcome.status, outcome.detail) == ("equal", "")
    assert outcome.samples == min(count, len(net.images)) or engine == "reference"
    if engine != "reference":
        edges = built.program.edges.values()
        assert outcome.tensors == len(edges)
        assert outcome.elements == outcome.samples * sum(e.size for e in edges)
    return outcome


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_still_gives_the_golden_outputs(network, name):
    verified(network(name), "reference", 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_c(network, name):
    verified(network(name), "c", 200)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_c_on_1000_images(network, name):
    verified(network(name), "c", 1000)


@pytest.mark.parametrize("name", NETWORKS)
def test_cortex_m4(network, name):
    verified(network(name), "c:m4", 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_cortex_m4_on_20_images(network, name):
    verified(network(name), "c:m4", 20)


@pytest.mark.skipif(bool(hls_host.missing()), reason="the open HLS headers are not installed")
@pytest.mark.parametrize("dialect", HLS_DIALECTS)
@pytest.mark.parametrize("name", ["digits_cnn", *(pytest.param(n, marks=pytest.mark.slow) for n in DISTINCT[:-1])])
def test_hls(network, name, dialect):
    net = network(name)
    built = net.product(256, "hls", dialect)
    count = len(net.images) if net.is_example else 20
    stored = to_stored(built.program, {net.input: net.images[:count]})
    (outcome,) = compare.verify(built, stored, [engines.engine("hls")], {"hls": count})
    assert (outcome.status, outcome.detail, outcome.samples) == ("equal", "", count)
    assert outcome.tensors == len(built.program.edges)


def paced(outcome):
    """Frames back to back take what the largest engine needs."""
    assert outcome.stats["cycles_per_frame"] <= 1.02 * outcome.stats["largest_engine_beats"]
    assert outcome.stats["latency_cycles"] >= outcome.stats["largest_engine_beats"]


@pytest.mark.parametrize("name", NETWORKS)
def test_verilator(network, name):
    paced(verified(network(name), "verilator", 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("budget", [64, 256, 1024])
def test_verilator_on_20_images(network, name, budget):
    paced(verified(network(name), "verilator", 20, budget))


def accurate(net, count):
    result = evaluate(net.product(256), {net.input: net.images[:count]}, net.labels[:count])
    assert result.samples == min(count, len(net.images))
    assert result.float_accuracy > 0.95
    assert abs(result.loss_points) <= max(0.2, 100.01 / result.samples)  # the example has 450 images: one of them
    assert result.agreement > 0.99
    assert all(layer.sqnr_db > 20 for layer in result.layers)
    return result


@pytest.mark.parametrize("name", DISTINCT)
def test_accuracy_within_0_2_points_of_float(network, name):
    accurate(network(name), 2000)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy_on_10000_images(network, name):
    accurate(network(name), 10_000)


@pytest.mark.parametrize("name", ["lenet300_100_mnist", "digits_cnn"])
def test_same_program_whatever_the_target(network, name):
    net = network(name)
    assert len({net.product(b, t).program.sha256() for b, t in ((256, "mcu,fpga"), (64, "fpga"), (None, "mcu"))}) == 1


def test_both_exporters_give_the_same_integers(network):
    """TorchScript and dynamo export the same weights: the same constants kernel by kernel."""
    a, b = (network(n).product(256).program for n in ("lenet5_caffe_mnist", "lenet5_caffe_mnist_dynamo"))
    for x, y in zip(a.kernels, b.kernels, strict=True):
        assert (x.kind, x.params) == (y.kind, y.params)
        assert {n: c.tolist() for n, c in x.constants.items()} == {n: c.tolist() for n, c in y.constants.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_proof_lines_say_how_close_the_integers_are(network, name):
    """The proof counts few accumulators that differ from the float formula: about 2e-6 with a full multiplier."""
    import json

    built = network(name).product(256)
    report = json.loads((built.dir / "report.json").read_text())
    proved = [layer for layer in report["layers"] if layer["proof"]]
    assert len(proved) == sum("requantize" in k.params for k in built.program.kernels)
    assert (
        sum(layer["differing_accumulators"] for layer in proved)
        <= 4e-6 * sum(layer["accumulators"] for layer in proved) + 50
    )
