"""The ONNX node tests (onnx.backend.test.case.node), wrapped for a compiler of integers.

A case becomes a model of its own: every float input that stays one goes through QuantizeLinear and DequantizeLinear with
the range of the case's values, every float output through the same; what the compiler needs as a constant is one.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hwcomp.errors import HwcompError, ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.lower.build import lower
from hwcomp.quantize.schemes import affine_type
from hwcomp.registry import BACKENDS, OPS
from hwcomp.samples import random_stored
from hwcomp.types import INTEGERS, QType
from hwcomp.verify import compare, engines
from hwcomp.verify.reference import run_program
from tests.models import loaded, quantized
from tests.products import from_program

WEIGHTS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (1,), "MatMul": (0, 1), "LSTM": (1, 2), "GRU": (1, 2)}
RECURRENT = {"LSTM", "GRU"}
# Softmax of 16 bits is rounded to steps of 2^-16 in front of the model's own type; LogSoftmax: docs/numerics.md; ReduceL2 is
# the root of a sum of 16 bits. Recurrent layers round between their steps, a GRU what its reset gate scales, too.
STEPS = {
    ("Softmax", 16): 2,
    ("LogSoftmax", 16): 3,
    ("ReduceL2", 16): 2,
    ("LSTM", 8): 2,
    ("GRU", 8): 3,
    ("LSTM", 16): 64,
    ("GRU", 16): 96,
}
STEP = (
    1  # an output may be so many steps of its type from the rounded real value, which float noise may move over a tie
)
COARSE = 1 / 64  # of the output's span: several operators in a row, with 16-bit tensors between them
TOLERANCE = 1e-3  # of our teacher on the case's own values
BITS = (8, 16)
ENGINES = ("reference", "c")
ALL = (*ENGINES, "verilator")  # the Verilog of Programs that target takes


@dataclass(frozen=True)
class NodeCase:
    """`operator`: the one that is tested, perhaps as the function of other operators that it stands for (`written_out`)."""

    name: str
    operator: str
    model: object
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def written_out(self) -> bool:
        return "_expanded" in self.name


@dataclass(frozen=True)
class Variant:
    """`data`: inputs that stay inputs; `batch`: axis 0 of these is declared as a symbolic batch; `first`: no other output."""

    data: tuple[str, ...]
    batch: bool
    first: bool = False


@dataclass
class Result:
    """`status`: passed, folded (a constant that equals the case's), refused or failed. `targets`: that take it; `engines`:
    that every tensor was equal on, in 8 bits.
    """

    status: str
    detail: str = ""
    node: str | None = None
    bits: list[int] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    engines: list[str] = field(default_factory=list)
    worst: float = 0.0


@functools.cache
def cases() -> dict[str, NodeCase]:
    """All cases on tensors whose operators are claimed."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases(None)
    found = {}
    base = {c.name: c.model.graph.node[0].op_type for c in collected if len(c.model.graph.node) == 1}
    for c in collected:
        graph = c.model.graph
        arrays = [*c.data_sets[0][0], *c.data_sets[0][1]]
        claimed = all(n.op_type in OPS and OPS[n.op_type].importable for n in graph.node)
        if not claimed or not all(isinstance(a, np.ndarray | np.generic) for a in arrays):
            continue
        ins = dict(zip((v.name for v in graph.input), map(np.asarray, c.data_sets[0][0]), strict=True))
        outs = dict(zip((v.name for v in graph.output), map(np.asarray, c.data_sets[0][1]), strict=True))
        stem, written_out, _ = c.name.partition("_expanded")
        operator = f"{base[stem]}, written out" if written_out else graph.node[0].op_type
        found[c.name] = NodeCase(c.name, operator, c.model, ins, outs)
    return found


def collected() -> int:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return len(collect_testcases(None))


def variants(case: NodeCase) -> list[Variant]:
    """From the most general to the one with a single input; a batch of one first."""
    known = {np.dtype(f"{'' if s else 'u'}int{b}") for b, s in INTEGERS.values() if b >= 8}
    floats = [n for n, a in case.inputs.items() if a.dtype == np.float32 or a.dtype in known]
    sets = [tuple(floats)] + [(n,) for n in floats if len(floats) > 1]
    found = []
    for data in filter(None, sets):
        shapes = [case.inputs[n].shape for n in data]
        if any(0 in s for s in shapes):
            continue
        if all(len(s) == 1 or s[:1] == (1,) for s in shapes):
            found.append(Variant(data, False))
        if all(s and s[0] == shapes[0][0] for s in shapes):
            found.append(Variant(data, True))
    return found + [replace(v, first=True) for v in found if len(case.outputs) > 1 and not case.written_out]


def _moved(case: NodeCase, name: str) -> tuple[int, ...] | None:
    """The order of the axes that brings the batch of a recurrent operator's tensor to the front, or None."""
    if case.operator not in RECURRENT or any(a.name == "layout" and a.i for a in case.model.graph.node[0].attribute):
        return None
    node = case.model.graph.node[0]
    ins, outs = list(node.input), list(node.output)
    if name in ins and ins.index(name) in (0, 5, 6):
        return (1, 0, 2)
    return {0: (2, 0, 1, 3), 1: (1, 0, 2), 2: (1, 0, 2)}[outs.index(name)] if name in outs else None


@dataclass
class Wrapped:
    """`given`: real samples by input of `model`; `held`: the values that the case's own inputs then have; `axes`: where
    outputs have their batch, if not in front.
    """

    model: object
    given: dict[str, np.ndarray]
    held: dict[str, np.ndarray]
    types: dict[str, QType]
    batch: bool
    axes: dict[str, int] = field(default_factory=dict)


def _type(a: np.ndarray, bits: int) -> QType:
    return affine_type(float(a.min(initial=0)), float(a.max(initial=0)), bits)


def wrap(case: NodeCase, variant: Variant, bits: int) -> Wrapped:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, inputs, outputs = [], [], [], []
    given, held, types = {}, {}, {}

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def quantizers(name, source, target, qtype, only=""):
        zero = np.asarray(qtype.zero, f"int{qtype.bits}")
        pair = [constant(f"{name}__scale", np.float32(qtype.scale[0])), constant(f"{name}__zero", zero)]
        if only != "dequantize":
            nodes.append(helper.make_node("QuantizeLinear", [source, *pair], [f"{name}__q"], name=f"{name} quantize"))
            source = f"{name}__q"
        nodes.append(helper.make_node("DequantizeLinear", [source, *pair], [target], name=f"{name} dequantize"))

    for name, array in case.inputs.items():
        moved = _moved(case, name)
        if name not in variant.data:
            where = [i for n in case.model.graph.node for i, v in enumerate(n.input) if v == name]
            dot = any(
                name == n.input[i]
                for n in case.model.graph.node
                for i in WEIGHTS.get(n.op_type, ())
                if i < len(n.input)
            )
            if dot and where and array.dtype == np.float32:
                top = 127 if bits == 8 else 32767
                qtype = QType(bits, True, "affine", (float(np.float32(np.abs(array).max(initial=1e-3) / top)),))
                constant(f"{name}__q", qtype.integers(array))
                quantizers(name, f"{name}__q", name, qtype, only="dequantize")
                held[name] = qtype.held(array)
            else:
                constant(name, array)
                held[name] = array
            continue
        array = array.transpose(moved) if moved else array
        shape = ["batch", *array.shape[1:]] if variant.batch else list(array.shape)
        if array.dtype == np.float32:
            types[name] = qtype = _type(array, bits)
            inner = f"{name}__held" if moved else name
            quantizers(name, f"{name}__in", inner, qtype)
            if moved:
                nodes.append(
                    helper.make_node(
                        "Transpose", [inner], [name], perm=np.argsort(moved).tolist(), name=f"{name} order"
                    )
                )
            inputs.append(helper.make_tensor_value_info(f"{name}__in", TensorProto.FLOAT, shape))
            given[f"{name}__in"] = array
            back = qtype.held(array)
            held[name] = back.transpose(np.argsort(moved)) if moved else back
        else:
            inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape))
            given[name] = held[name] = array
    nodes.extend(case.model.graph.node)
    for name, array in case.outputs.items():
        if array.dtype != np.float32:
            outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None))
            continue
        types[name], source, moved = _type(array, bits), name, _moved(case, name)
        if moved:
            source = f"{name}__moved"
            nodes.append(helper.make_node("Transpose", [name], [source], perm=moved, name=f"{name} order"))
        quantizers(name, source, f"{name}__out", types[name])
        outputs.append(helper.make_tensor_value_info(f"{name}__out", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "wrapped", inputs, outputs, [*case.model.graph.initializer, *constants])
    model = helper.make_model(graph, opset_imports=case.model.opset_import, ir_version=max(case.model.ir_version, 10))
    return Wrapped(model, given, held, types, variant.batch)


def teacher(case: NodeCase, held: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The case's model in the evaluator of the onnx package, on these values."""
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        values = ReferenceEvaluator(case.model).run(None, held)
    return dict(zip(case.outputs, map(np.asarray, values), strict=True))


def check(case: NodeCase, folder: Path, names: tuple[str, ...] = ENGINES, wide: tuple[str, ...] = ENGINES) -> Result:
    """Compile the most general variant that is taken, with 8 bits and with 16 (on engines `wide`), and compare."""
    refusals: list[tuple[Variant, HwcompError]] = []
    for variant in variants(case):
        if variant.first:
            case = _with_one_output(case)
        wrapped = wrap(case, variant, BITS[0])
        try:
            built = _compiled(wrapped, folder / "8", names)
        except (ModelError, UnsupportedError) as error:
            if "does not depend on any input" in error.what:
                return _folded(case)
            refusals.append((variant, error))
            continue
        result = _compared(case, wrapped, built, names)
        result.bits.append(8)
        result.detail = result.detail or ("only its first output" if variant.first else "")
        if result.status == "passed":
            try:
                wrapped = wrap(case, variant, BITS[1])
                built = _compiled(wrapped, folder / "16", wide)
            except (ModelError, UnsupportedError):
                return result
            more = _compared(case, wrapped, built, wide)
            more.bits, more.worst, more.engines = [8, 16], max(result.worst, more.worst), result.engines
            more.detail = more.detail or result.detail
            return more
        return result
    if not refusals:
        return _folded(case)
    # The first input alone is what the operator is meant for; that the batch has a size says little.
    first = [e for v, e in refusals if v.data == refusals[0][0].data[:1] and not v.first] or [refusals[0][1]]
    refusal = next((e for e in reversed(first) if "fixed batch" not in e.what), first[-1])
    return Result("refused", f"{refusal.what}|{refusal.why}|{refusal.fix}", refusal.node)


def _with_one_output(case: NodeCase) -> NodeCase:
    from onnx import ModelProto

    model = ModelProto()
    model.CopyFrom(case.model)
    name = next(iter(case.outputs))
    (node,) = model.graph.node
    del node.output[list(node.output).index(name) + 1 :]
    del model.graph.output[1:]
    return replace(case, model=model, outputs={name: case.outputs[name]})


def _compiled(wrapped: Wrapped, folder: Path, names: tuple[str, ...]):
    """The product of the wrapped model, without its reports; with Verilog if that is asked for and takes it."""
    lone = not wrapped.batch  # a tensor of one axis is a sample without a batch
    values = {n: a[None] if lone and a.ndim == 1 and len(a) > 1 else a for n, a in wrapped.given.items()}
    graph, _ = quantized(wrapped.model, check=False, rest="int16", calibration=values)
    wrapped.axes.update(zip(graph.outputs, graph.output_axes, strict=False))
    program = lower(graph).program
    rtl = "verilator" in names and "fpga" in _targets(program)
    return from_program(program, folder, "mcu,fpga" if rtl else "mcu")


def _targets(program) -> list[str]:
    found = []
    for name in BACKENDS:
        try:
            BACKENDS[name].supports(program)
            found.append(name)
        except HwcompError:
            pass
    return found


def _samples(built, wrapped: Wrapped) -> dict[str, np.ndarray]:
    found = {}
    for name, array in wrapped.given.items():
        edge = built.program.edges[name]
        rows = array[None] if array.shape == edge.shape else array
        found[name] = edge.from_real(rows) if array.dtype == np.float32 else rows.astype(edge.dtype)
    return found


def _compared(case: NodeCase, wrapped: Wrapped, built, names: tuple[str, ...]) -> Result:
    """Bits on all engines, and steps from what the teacher makes of the same reals."""
    result, stored = Result("passed"), _samples(built, wrapped)
    more = random_stored(built.program, 4)
    both = {n: np.concatenate([a, more[n]]) for n, a in stored.items()}
    chosen = [
        e for e in map(engines.engine, names) if e.target is None or e.target in built.manifest["options"]["targets"]
    ]
    for outcome in compare.verify(built, both, chosen):
        if outcome.status != "equal":
            return Result("failed", f"{outcome.engine}: {outcome.status} {outcome.detail}")
        result.engines.append(outcome.engine)
    result.targets = _targets(built.program)
    got, want = run_program(built.program, stored), teacher(case, wrapped.held)
    own = teacher(case, case.inputs)
    for name, expected in case.outputs.items():
        if expected.dtype == np.float32 and not _near(own[name], expected):
            return Result("failed", f"the evaluator does not give the case's {name}")
        real, moved = want[name], _moved(case, name)
        real = real.transpose(moved) if moved else real
        out = f"{name}__out" if expected.dtype == np.float32 else name
        real = np.moveaxis(real, wrapped.axes.get(out, 0), 0) if real.ndim else real
        if expected.dtype == np.float32:
            edge, qtype = built.program.edges[f"{name}__out"], wrapped.types[name]
            q = got[f"{name}__out"].reshape(real.shape).astype(np.int64)
            if float(edge.scale) != np.float32(qtype.scale[0]) or edge.zero != qtype.zero:
                return Result("failed", f"{name} has another type than the model states")
            exact = np.clip(real.astype(np.float64) / np.float32(qtype.scale[0]) + qtype.zero, qtype.lo, qtype.hi)
            away = float(np.abs(q - np.rint(exact)).max(initial=0))
            result.worst = max(result.worst, float(np.abs(q - exact).max(initial=0)))
            own_steps = STEPS.get((case.operator, qtype.bits), STEP)
            allowed = max(STEP, COARSE * (qtype.hi - qtype.lo)) if case.written_out else own_steps
            if away > allowed:
                return Result("failed", f"{name} is {away:g} steps of {qtype.bits} bits away")
        else:
            q = got[name].reshape(real.shape).astype(np.int64)
            if np.abs(q - real.astype(np.int64)).max(initial=0) > (0 if expected.dtype == np.int64 else STEP):
                return Result("failed", f"{name} differs")
    return result


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, TOLERANCE, TOLERANCE, equal_nan=True))


def _folded(case: NodeCase) -> Result:
    """All inputs constant: what the importer computes must be the case's outputs. Each is added to an input of zeros."""
    from onnx import TensorProto, helper, numpy_helper

    if any(a.size == 0 for a in case.outputs.values()):
        return Result("refused", "the case's output is empty|every size must be at least 1|leave it out", None)
    nodes, constants = list(case.model.graph.node), [numpy_helper.from_array(a, n) for n, a in case.inputs.items()]
    inputs, outputs = [], []
    for name, array in case.outputs.items():
        constants.append(numpy_helper.from_array(np.array([1, array.size]), f"{name}__shape"))
        nodes.append(helper.make_node("Cast", [name], [f"{name}__real"], to=TensorProto.FLOAT, name=f"{name} cast"))
        nodes.append(
            helper.make_node("Reshape", [f"{name}__real", f"{name}__shape"], [f"{name}__row"], name=f"{name} row")
        )
        nodes.append(helper.make_node("Add", [f"{name}__zero", f"{name}__row"], [f"{name}__out"], name=f"{name} add"))
        inputs.append(helper.make_tensor_value_info(f"{name}__zero", TensorProto.FLOAT, [1, array.size]))
        outputs.append(helper.make_tensor_value_info(f"{name}__out", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "folded", inputs, outputs, [*case.model.graph.initializer, *constants])
    model = helper.make_model(graph, opset_imports=case.model.opset_import, ir_version=max(case.model.ir_version, 10))
    try:
        found = run_float(loaded(model).graph, {f"{n}__zero": np.zeros((1, a.size)) for n, a in case.outputs.items()})
    except HwcompError as error:
        return Result("refused", f"{error.what}|{error.why}|{error.fix}", error.node)
    for name, expected in case.outputs.items():
        if not np.allclose(found[f"{name}__out"].ravel(), expected.ravel().astype(np.float32), 1e-6, 1e-6):
            return Result("failed", f"the constant {name} differs")
    return Result("folded", targets=list(BACKENDS))
