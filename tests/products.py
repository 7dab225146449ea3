"""Products for tests, from a model through the public API or from a Program directly, and their comparison."""

import os
import shutil
from pathlib import Path

import numpy as np

import hwcomp
from hwcomp import npz, product, samples
from hwcomp.backends.base import Product
from hwcomp.registry import BACKENDS
from hwcomp.verify import compare, engines
from hwcomp.verify.reference import run_program
from tests.models import saved


def compiled(proto, folder: Path, target="mcu,fpga", **options):
    """ModelProto -> Built."""
    path = saved(proto, folder / "model.onnx")
    return hwcomp.compile(path, folder / "product", target=target, **options)


def from_program(
    program,
    folder: Path,
    target="mcu,fpga",
    budget=None,
    name="net",
    stored=None,
    plan=None,
    dialect="vitis",
    unroll=(),
    family="xc7",
):
    """Program -> Built, without a model; `stored`: golden inputs; `plan`: instead of the target's own."""
    stored = samples.random_stored(program, 2) if stored is None else stored
    facts = Product(name, ("a test",), stored, run_program(program, stored))
    files, targets = {}, {}
    for backend in (BACKENDS[t] for t in target.split(",")):
        backend.supports(program)
        options = {"pe_simd_budget": budget, "hls_dialect": dialect, "unroll": unroll, "fpga_family": family}
        chosen = plan or backend.plan(program, options)
        files |= backend.emit(program, chosen, facts)
        targets[backend.target] = backend.report(program, chosen).get("interface", {})
    files["program/program.json"] = product.dump_json(program.to_json())
    files["program/constants.npz"] = npz.dumps(program.constants())
    files["vectors/inputs.npz"], files["vectors/outputs.npz"] = npz.dumps(facts.golden_in), npz.dumps(facts.golden_out)
    manifest = {
        "schema": product.SCHEMA, "name": name, "hwcomp": hwcomp.__version__, "program_sha256": program.sha256(),
        "options": {"targets": target.split(",")}, "targets": targets,
    }  # fmt: skip
    product.write(folder / "product", files, manifest)
    return product.load(folder / "product")


def stress(program, count=12, seed=0):
    """Stored inputs: random ones, and samples at both ends of the type and at the zero point."""
    stored = samples.random_stored(program, count, seed)
    for name, q in stored.items():
        edge = program.edges[name]
        ends = (edge.lo, edge.hi, edge.hi if edge.bipolar else min(max(edge.zero, edge.lo), edge.hi))
        q[: len(ends)] = np.array(ends).reshape(-1, *[1] * len(edge.shape))[: len(q)]
    return stored


def check(built, names=("c",), count=12, seed=0, paced=True):
    """Every tensor on these engines equals the interpreter's, and hardware is as fast as planned; returns the outcomes."""
    outcomes = compare.verify(built, stress(built.program, count, seed), [engines.engine(n) for n in names])
    for o in outcomes:
        assert (o.engine, o.status, o.detail) == (o.engine, "equal", "")
        assert o.engine == "reference" or o.tensors == len(built.program.edges)
        if o.engine == "verilator" and paced:  # frames back to back take what the largest engine needs
            assert o.stats["cycles_per_frame"] <= 1.02 * o.stats["largest_engine_beats"]
    return outcomes


def assert_golden(files, folder: Path):
    """Text files by path are those of a folder of tests/golden; HWCOMP_UPDATE_GOLDEN=1 writes them anew: read the difference."""
    if os.environ.get("HWCOMP_UPDATE_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    golden = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert golden.keys() == files.keys()
    for name, text in files.items():
        assert text == golden[name], f"{name} changed; HWCOMP_UPDATE_GOLDEN=1 writes {folder.name} anew"
