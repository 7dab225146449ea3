"""L3: every network of the folder `shared`, all tensors on all engines, on images as the networks expect them."""

import functools

import pytest

import hwcomp
from hwcomp.samples import to_stored
from hwcomp.verify import compare, engines, hls_host
from hwcomp.verify.evaluate import evaluate
from tests.zoo import DISTINCT, ZOO, member, vectors

TWINS = [name for name in ZOO if name not in DISTINCT]


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    """(name, target) -> Built, compiled once per worker."""

    @functools.cache
    def get(name, target="mcu", dialect="vitis"):
        m = member(name)
        folder, data = tmp_path_factory.mktemp("zoo") / name, {m.input: m.calibration[:256]}
        return hwcomp.compile(m.path, folder, target=target, calibration=data, hls_dialect=dialect)

    return get


def verified(built, name, engine, images):
    stored = to_stored(built.program, {member(name).input: images})
    (outcome,) = compare.verify(built, stored, [engines.engine(engine)], {engine: len(images)})
    assert (outcome.status, outcome.detail) == ("equal", "")
    assert (outcome.samples, outcome.tensors) == (len(images), len(built.program.edges))
    return outcome


@pytest.mark.parametrize("name", ZOO)
def test_c_on_the_recorded_vectors(product, name):
    verified(product(name), name, "c", vectors(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_c_on_500_images(product, name):
    verified(product(name), name, "c", member(name).images[:500])


@pytest.mark.parametrize("name", DISTINCT)
def test_cortex_m4(product, name):
    verified(product(name), name, "c:m4", vectors(name)[:2])


def streamed(product, name, count):
    """Verilog, with pauses on both sides; frames back to back take what the largest engine needs."""
    outcome = verified(product(name, "mcu,fpga"), name, "verilator", vectors(name)[:count])
    assert outcome.stats["cycles_per_frame"] <= 1.02 * outcome.stats["largest_engine_beats"]
    return outcome


@pytest.mark.parametrize("name", DISTINCT)
def test_verilator(product, name):
    streamed(product, name, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_verilator_on_the_twins(product, name):
    streamed(product, name, 4)


@pytest.mark.slow
@pytest.mark.skipif(bool(hls_host.missing()), reason="the open HLS headers are not installed")
@pytest.mark.parametrize(("name", "dialect"), [*((n, "vitis") for n in ZOO), *((n, "ac") for n in DISTINCT)])
def test_hls(product, name, dialect):
    verified(product(name, "hls", dialect), name, "hls", vectors(name)[:4])


@pytest.mark.parametrize("name", DISTINCT)
def test_onnxruntime_teacher_forced(product, name):
    report = hwcomp.verify_l4(product(name).dir, {member(name).input: vectors(name)})
    assert report.passed, [c for c in report.layers if not c.passed]


def lost(product, name, count):
    """Points of accuracy that int8 loses against float."""
    m = member(name)
    if m.labels is None:
        pytest.skip("no labels")
    return evaluate(product(name), {m.input: m.images[:count]}, m.labels[:count]).loss_points


@pytest.mark.parametrize("name", ["resnet8_bn_fashion", "squeezenets_fashion", "conv1d_mnist"])
def test_accuracy_of_1000_images(product, name):
    assert lost(product, name, 1000) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_accuracy_of_the_whole_test_set(product, name):
    assert lost(product, name, 10_000) <= 0.5
