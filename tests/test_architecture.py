"""The rules of the code base itself: who imports whom, what is registered, what generated files hold, what ships."""

import ast
import importlib
import pkgutil
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import jinja2
import numpy as np
import pytest

from hwcomp import registry
from hwcomp.backends.base import Product
from hwcomp.errors import UnsupportedError
from hwcomp.lower.build import lower
from hwcomp.options import HLS_DIALECTS
from hwcomp.passes.pipeline import ORDER
from hwcomp.registry import BACKENDS, OPS, PASSES, Registry
from hwcomp.templates_dir import templates
from hwcomp.verify import engines
from hwcomp.verify.reference import run_program
from tests import few_bits, program_factory, random_programs, sparse_nets, vector_codes
from tests.models import ROOT, op_cases, quantized

# --- imports ----------------------------------------------------------------------------------------------------------

# Lower may be imported by higher, never the other way; entries of one line do not know each other. A module belongs to
# its longest prefix. What the line in docs/how-it-works.md does not say: passes.calibrate runs floats with the front
# end; a product is read and written above verify.engine (what an engine is) and below the engines that load products;
# the reports are made during a compile, but inspect compiles.
LAYERS = (
    ("hwcomp.errors",),
    ("hwcomp.types", "hwcomp.registry", "hwcomp.names", "hwcomp.npz", "hwcomp.templates_dir"),
    ("hwcomp.quantize.schemes", "hwcomp.pixels"),
    ("hwcomp.options",),
    ("sw_ref",),
    ("hwcomp.graph", "hwcomp.samples", "hwcomp.quantize"),
    ("hwcomp.ops",),
    ("hwcomp.frontend", "hwcomp.lower"),
    ("hwcomp.passes",),
    ("hwcomp.plan",),
    ("hwcomp.backends", "hwcomp.export", "hwcomp.tuning"),
    ("hwcomp.verify.engine",),
    ("hwcomp.verify.reference", "hwcomp.verify.cache"),
    ("hwcomp.product",),
    ("hwcomp.verify",),
    ("hwcomp.report",),
    ("hwcomp.driver",),
    ("hwcomp.report.inspect",),
    ("hwcomp.commands",),
    ("hwcomp.cli",),
)
# Narrower than the layers: these know nothing else of the project.
ONLY = {
    "sw_ref": {"sw_ref"},
    "hwcomp.types": {"hwcomp.errors"},
    "hwcomp.graph": {"hwcomp.errors", "hwcomp.types"},
    "hwcomp.plan": {"hwcomp.errors", "hwcomp.plan", "sw_ref"},
    "hwcomp.backends": {
        "hwcomp.errors", "hwcomp.names", "hwcomp.registry", "hwcomp.templates_dir", "hwcomp.plan", "hwcomp.backends",
        "sw_ref",
    },
}  # fmt: skip
# Modules from outside, by package; NumPy and the standard library are everywhere.
FOREIGN = {
    "sw_ref": set(), "hwcomp.plan": set(), "hwcomp.lower": set(), "hwcomp.passes": set(), "hwcomp.backends": {"jinja2"},
    "hwcomp.graph": {"networkx"}, "hwcomp.ops": {"onnx"}, "hwcomp.frontend": {"onnx", "networkx", "google"},
    "hwcomp.export": {"onnx"}, "hwcomp.verify": {"jinja2", "onnx", "onnxruntime", "google"},
    "hwcomp.report": {"rich", "jinja2"}, "hwcomp.cli": set(), "hwcomp.product": set(),
    "hwcomp.driver": set(), "hwcomp.commands": {"rich"}, "hwcomp.samples": set(), "hwcomp.npz": set(),
    "hwcomp.options": set(), "hwcomp.pixels": set(),
    "hwcomp.errors": set(), "hwcomp.names": set(), "hwcomp.types": set(), "hwcomp.registry": set(),
    "hwcomp.quantize": set(),
    "hwcomp.templates_dir": set(), "hwcomp.tuning": set(),
}  # fmt: skip


def modules():
    """{module name: path} of hwcomp and sw_ref."""
    found = {}
    for top in ("hwcomp", "sw_ref"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(source):
    """[(line, full name)] of everything imported, inside functions too; not under TYPE_CHECKING."""
    found = []

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for other in child.orelse:
                    visit(other)
            elif isinstance(child, ast.Import):
                found.extend((child.lineno, a.name) for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                found.extend((child.lineno, f"{child.module}.{a.name}") for a in child.names)
            else:
                visit(child)

    visit(ast.parse(source))
    return found


def ours(name):
    """The module of ours that an import names, or None: `hwcomp.errors.shown` is hwcomp.errors."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def prefix(name, prefixes):
    fitting = [p for p in prefixes if name == p or name.startswith(f"{p}.")]
    return max(fitting, key=len, default=None)


def rank(name):
    """(layer, prefix): the package itself, hwcomp, is the top: the Python API."""
    if name == "hwcomp":
        return len(LAYERS), "hwcomp"
    found = prefix(name, [p for layer in LAYERS for p in layer])
    assert found, f"{name} is in no layer: add it to LAYERS"
    return next(i for i, layer in enumerate(LAYERS) if found in layer), found


def backward(name, source):
    """Imports of a module that the layers forbid."""
    layer, mine = rank(name)
    wrong = []
    for line, target in imports(source):
        module = ours(target)
        if module is None or (module == "hwcomp" and target.endswith(".__version__")):
            continue
        if module == "hwcomp":  # `from hwcomp import x` where x is no module
            wrong.append(f"{name}:{line} imports {target}")
            continue
        other, theirs = rank(module)
        if not (other < layer or theirs == mine):
            wrong.append(f"{name}:{line} imports {module}")
    return wrong


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_backwards(name):
    assert backward(name, MODULES[name].read_text()) == []


@pytest.mark.parametrize(("name", "source"), [
    ("hwcomp.ops.conv", "from hwcomp.lower.build import lower"), ("sw_ref.interp", "def f():\n    import hwcomp.graph"),
    ("hwcomp.lower.build", "from hwcomp.frontend import load"), ("hwcomp.graph", "from hwcomp import samples"),
    ("hwcomp.plan.memory", "if x:\n    from hwcomp.backends.c import ports"),
    ("hwcomp.product", "import hwcomp.verify.m4"),
    ("hwcomp.errors", "from hwcomp import names"), ("hwcomp.backends.c", "from hwcomp import compile"),
])  # fmt: skip
def test_a_backward_import_is_noticed(name, source):
    assert len(backward(name, source)) == 1
    assert (
        backward(name, f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {source.splitlines()[-1].strip()}")
        == []
    )


@pytest.mark.parametrize("package", ONLY)
def test_narrow_packages_know_only_what_they_need(package):
    wrong = []
    for name, path in MODULES.items():
        if prefix(name, [package]):
            targets = {ours(t) for _, t in imports(path.read_text())} - {None, name}
            wrong += [f"{name}: {t}" for t in sorted(targets) if not prefix(t, ONLY[package])]
    assert wrong == []


def test_third_party_modules_stay_where_they_belong():
    wrong = []
    for name, path in MODULES.items():
        allowed = FOREIGN[prefix(name, FOREIGN)] if name != "hwcomp" else set()
        for line, target in imports(path.read_text()):
            top = target.split(".")[0]
            if top not in {"hwcomp", "sw_ref", "numpy", *allowed} and top not in sys.stdlib_module_names:
                wrong.append(f"{name}:{line} imports {top}")
    assert wrong == []


def test_backends_and_plans_touch_no_disk_and_start_no_program():
    """They return text; templates are the only thing that they read."""
    wrong = []
    for name, path in MODULES.items():
        if not prefix(
            name, ["hwcomp.backends", "hwcomp.plan", "hwcomp.lower", "hwcomp.passes", "hwcomp.ops", "sw_ref"]
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if text in {
                "write_text",
                "write_bytes",
                "mkdir",
                "unlink",
                "subprocess",
                "tempfile",
                "shutil",
                "open",
                "system",
            }:
                wrong.append(f"{name}:{node.lineno} {text}")
            if isinstance(node, ast.Import | ast.ImportFrom) and re.search(
                r"subprocess|tempfile|shutil|time|datetime", ast.unparse(node)
            ):
                wrong.append(f"{name}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []


# --- sizes ------------------------------------------------------------------------------------------------------------

LONGEST = 450


def test_no_source_file_is_long():
    folders = ("hwcomp", "sw_ref", "templates", "tests", "rtl_tests", "examples", "benchmarks", "tools")
    paths = [
        p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in (".py", ".j2", ".v", ".c", ".h", ".sh", ".cpp")
    ]
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in paths}
    assert len(lines) > 100
    assert {p: n for p, n in lines.items() if n > LONGEST} == {}


# --- templates --------------------------------------------------------------------------------------------------------


@cache
def emitted():
    """(templates that were read, files by (case, target)): all operators' cases and a larger network, in memory."""
    read, found = set(), {}
    real = jinja2.Environment.get_template

    def tracking(self, name, *args, **kwargs):
        read.add(str((Path(self.loader.searchpath[0]) / name).relative_to(templates())))
        return real(self, name, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "get_template", tracking)
        for label, program in programs():
            edges = {n: program.edges[n] for n in program.inputs}
            inputs = {n: np.full((1, *e.shape), int(e.bipolar), e.dtype) for n, e in edges.items()}  # no zeros there
            product = Product("net", ("banner",), inputs, run_program(program, inputs))
            for target in BACKENDS:
                backend = BACKENDS[target]
                with suppress(UnsupportedError):
                    backend.supports(program)
                    for dialect in HLS_DIALECTS[:: -1 if target == "hls" else 2]:  # C and Verilog: once
                        wired = ("all",) if label in ("binary", "codes") else ()
                        form = {"codes": "small", "vector codes": "small", "winograd": "fast"}.get(label, "packed")
                        plan = backend.plan(program, {"hls_dialect": dialect, "unroll": wired, "c_weights": form})
                        found[label, target] = backend.emit(program, plan, product)
    return read, found


def programs():
    """(label, Program) of what `lower` takes of the operators' cases, of random chains and of a larger network."""
    yield "lenet5", program_factory.lenet5()
    yield "ternary", program_factory.ternary_map()
    bits = few_bits.Bits(np.random.default_rng(1)).source((45,), (1, True, True))
    yield "binary", bits.layer(20, "sign", (1, True, True)).layer(7, "sign", (8, True, False), "affine").program()
    rng = np.random.default_rng(2)
    mapped = (
        program_factory.Builder(rng)
        .input((6, 5, 5))
        .conv2d(8, (3, 3), weight=rng.choice([0] * 12 + [-90, 17], (8, 6, 3, 3)))
    )
    yield "codes", mapped.flatten().dense(24, weight=rng.choice([0] * 12 + [-90, 17], (24, 72))).program()
    shared = (
        program_factory.Builder(rng).input((6, 9, 9)).conv2d(8, (3, 3), weight=rng.choice([-90, 17, 50], (8, 6, 3, 3)))
    )
    shared.flatten().dense(64, weight=rng.choice([-90, 17, 50], (64, 392)))
    few = np.where(rng.random((64, 64)) < 0.05, rng.integers(-90, 90, (64, 64)), 0)
    yield "shared", shared.dense(64, weight=few).program()
    apart = program_factory.Builder(rng).input((32, 4, 4))
    apart.conv2d(32, (3, 3), groups=32, weight=rng.choice([-90, 17, 50], (32, 1, 3, 3)))
    yield "shared depthwise", apart.conv2d(256, (1, 1)).program()
    yield "vector codes", vector_codes.network()
    yield "winograd", program_factory.Builder(rng).input((16, 8, 8), 8).conv2d(16).program()
    narrow = program_factory.Builder(rng).input((4, 16, 16)).conv2d(32, (1, 1), form="rounded").maxpool2d()
    narrow.conv2d(32, pads=(1, 1, 1, 1), groups=32, form="rounded").conv2d(16, (1, 1), form="rounded").shuffle(groups=2)
    yield "narrow", narrow.program()
    yield "lists", sparse_nets.chain("blocks")
    yield "lists of pairs", sparse_nets.chain("2:4 shared")
    for seed in range(24):
        yield f"random {seed}", random_programs.random_program(seed)
        yield f"few bits {seed}", few_bits.few_bits_program(seed)[0]
    for label, case in op_cases():
        with suppress(UnsupportedError):
            graph, _ = quantized(case.model, check=False, input_ranges=dict(case.ranges))
            yield label, lower(graph).program


def test_every_template_is_used():
    read, found = emitted()
    others = [p for n, p in MODULES.items() if prefix(n, ["hwcomp.verify", "hwcomp.report"])]
    named = "".join(p.read_text() for p in [*others, *templates().glob("report/*")])  # harnesses, and the HTML report
    cells = {name.rpartition("/")[2] for files in found.values() for name in files}
    unused = set()
    for path in templates().rglob("*"):
        name = str(path.relative_to(templates()))
        if path.is_file() and name not in read and path.name not in cells and path.name not in named:
            unused.add(name)
    assert unused == set()


def test_all_backends_emit_most_cases():
    _, found = emitted()
    labels = {label for label, _ in found}
    assert len(labels) > 0.9 * len(op_cases())
    assert {target for _, target in found} == set(BACKENDS)


def test_emitted_paths_stay_in_the_folder_of_the_backend():
    for (_, target), files in emitted()[1].items():
        tops = {name.split("/")[0] for name in files}
        assert tops <= {BACKENDS[target].folder, "vectors"}
        assert not any(".." in name or name.startswith("/") for name in files)


# --- registries -------------------------------------------------------------------------------------------------------


def entries(package, ignored):
    found = importlib.import_module(package)
    return [
        f"{package}.{m.name}"
        for m in pkgutil.iter_modules(found.__path__)
        if not m.name.startswith("_") and m.name not in ignored
    ]


@pytest.mark.parametrize(("package", "table", "ignored"), [
    ("hwcomp.ops", OPS, {"base"}), ("hwcomp.passes", PASSES, {"base", "pipeline"}),
    ("hwcomp.backends", BACKENDS, {"base"}),
])  # fmt: skip
def test_every_file_registers_itself(package, table, ignored):
    owners = {table[n].__module__ for n in table}
    assert owners == set(entries(package, ignored))
    assert list(table) == sorted(table)


def test_every_pass_has_its_place_and_every_engine_its_class():
    assert sorted(ORDER) == list(PASSES)
    for name in engines.NAMES[1:]:
        assert engines.engine(name).name == name
        assert engines.engine(name).target in (None, *BACKENDS)
    assert {e.target for e in map(engines.engine, engines.NAMES[1:])} == {None, *BACKENDS}


@pytest.mark.parametrize("name", list(OPS))
def test_every_operator_brings_cases(name):
    if OPS[name].importable:
        assert list(OPS[name].cases()), f"{name} has no cases: it is in no conformance test"


def test_a_duplicate_name_is_an_error():
    before = {n: OPS[n] for n in OPS}, {n: PASSES[n] for n in PASSES}, {n: BACKENDS[n] for n in BACKENDS}
    with pytest.raises(RuntimeError, match="two operators are called 'Conv'"):
        registry.op("Conv")(type("Other", (), {}))
    with pytest.raises(RuntimeError, match=r"two pass(es|s)? are called 'calibrate'"):
        registry.graph_pass(type("Other", (), {"name": "calibrate"}))
    with pytest.raises(RuntimeError, match="two backends are called 'mcu'"):
        registry.backend(type("Other", (), {"target": "mcu"}))
    assert before == ({n: OPS[n] for n in OPS}, {n: PASSES[n] for n in PASSES}, {n: BACKENDS[n] for n in BACKENDS})


def test_a_registry_loads_its_package_once_and_sorted(tmp_path, monkeypatch):
    package = tmp_path / "some_package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("table = None\n")
    for name in ("b", "a", "_hidden"):
        (package / f"{name}.py").write_text(
            f"from some_package_of_a_test import table\ntable.register('{name}', '{name}')\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    table = Registry("some_package_of_a_test", "thing")
    importlib.import_module("some_package_of_a_test").table = table
    assert list(table) == ["_hidden", "a", "b"]
    assert (table.get("a"), table.get("z"), table["b"]) == ("a", None, "b")
    with pytest.raises(RuntimeError, match="two things are called 'a'"):
        table.register("a", 1)
