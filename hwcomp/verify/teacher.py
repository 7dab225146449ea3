"""L4: the exported QDQ model in onnxruntime, layer by layer, each on the integers that the interpreter gave to it.

Of a model that was quantized already, its own layers too, as they stand, without the optimizations of onnxruntime (some
of these are wrong: a fused AveragePool with ceil_mode and count_include_pad is): "own model" in the report.

A layer may differ by one step, and only where the exact value lies within float noise of a tie. LSTM and GRU are checked
one step of time after the other, each behind the Program's own hidden states (_steps.py): every result is a rounding of
the exact value, but for what docs/numerics.md says that tables and states add up to. End to end, only decisions and rates
are reported: one step early in the network grows later.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp import samples
from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.verify import _steps
from hwcomp.verify._exact import exact
from hwcomp.verify._own_layers import own_layers
from hwcomp.verify._qdq_layers import Layer, layers
from hwcomp.verify.engine import Built, Progress
from hwcomp.verify.evaluate import decisions
from hwcomp.verify.reference import run_program
from sw_ref.program import Kernel, Program

MODEL, OWN = "model.qdq.onnx", "model.onnx"
STEPWISE = _steps.KINDS  # kernels that are checked one step of time after the other
# Graph optimizations. Those of onnxruntime compute 16-bit models wrongly (whole layers saturate): off for these.
MODES = ("off", "on")
_FLOAT_BITS, _WHOLE_BITS = 24, 31  # of a float32's mantissa; of a multiplier unless an option asks for fewer
_BATCH_ELEMENTS = 1 << 22  # elements of all tensors that are checked at once
_TIE = 1e-6  # of a step: float64 noise of the exact value of a recurrent layer
_ENOUGH = 100  # unexplained differences of one layer: no more are looked at


@dataclass(frozen=True)
class Unexplained:
    """A difference that float noise does not explain. `exact`: before rounding, None where nothing is rounded."""

    sample: int
    index: tuple[int, ...]
    program: int
    onnxruntime: int
    exact: float | None


@dataclass
class LayerCheck:
    """`distance`: how far from a tie, in steps, the explained differences are at most; `share`: of the allowed noise.

    `unexplained` counts to 100 at most; `first` is the first one. `limit`: no difference is larger; of recurrent layers
    what their tables and states may add up to, of others 1.
    """

    tensor: str
    kind: str
    mode: str
    outputs: int = 0
    differing: int = 0
    largest: int = 0
    unexplained: int = 0
    distance: float = 0.0
    share: float = 0.0
    first: Unexplained | None = None
    limit: int = 1

    @property
    def passed(self) -> bool:
        return self.unexplained == 0 and self.largest <= self.limit


@dataclass
class EndToEnd:
    """One output of the whole model: elements, how many differ, and samples with the same decision."""

    tensor: str
    mode: str
    outputs: int = 0
    differing: int = 0
    largest: int = 0
    agreeing: int = 0


@dataclass(frozen=True)
class TeacherReport:
    samples: int
    layers: tuple[LayerCheck, ...]
    ends: tuple[EndToEnd, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.layers)


def teacher_forced(
    built: Built, inputs: dict[str, np.ndarray],
    progress_for: Callable[[str, int], Progress] = lambda name, total: lambda n: None,
) -> TeacherReport:  # fmt: skip
    """Check stored integers [samples, *shape] by input name, with graph optimizations off and on."""
    program, model = built.program, _model(built.dir / MODEL)
    bits = built.manifest.get("options", {}).get("requantize_bits", _WHOLE_BITS)
    if any(p.key == "values" and p.value == "integers" for p in model.metadata_props):
        return _on_integers(built, model, inputs, progress_for)
    cuts = layers(model, program)
    modes = MODES if all(e.bits <= 8 for e in program.edges.values()) else MODES[:1]
    whole = {mode: _session(model, mode, "model.qdq.onnx") for mode in modes}
    exported = {cut.tensor: cut for cut in cuts}
    kept = built.manifest.get("options", {}).get("quant") == "keep"
    own = own_layers(_model(built.dir / OWN), program, cuts) if kept else []
    runs = [
        _Check(
            cut, exported[cut.tensor], _session(cut.model, mode, f"the layer of tensor '{shown(cut.tensor)}'"),
            LayerCheck(cut.tensor, program.producer(cut.tensor).kind, f"{prefix}{mode}"),
        )
        for prefix, layers_, modes_ in (("", cuts, modes), ("own model, ", own, MODES[:1]))
        for cut in layers_ if program.producer(cut.tensor).kind not in STEPWISE
        for mode in (MODES[:1] if _float_bias(cut) else modes_)
    ]  # fmt: skip
    stepwise = [
        (_steps.Steps(cut, program, functools.partial(_session, mode=mode, what=f"the layer of tensor '{shown(cut.tensor)}'")),
         LayerCheck(cut.tensor, program.producer(cut.tensor).kind, mode))
        for cut in cuts if program.producer(cut.tensor).kind in STEPWISE for mode in modes
    ]  # fmt: skip
    ends = [EndToEnd(name, mode) for name in program.outputs for mode in modes]
    total = len(next(iter(inputs.values())))
    progress = progress_for("onnxruntime", total)
    step = max(1, min(256, _BATCH_ELEMENTS // sum(e.size for e in program.edges.values())))
    for start in range(0, total, step):
        taps = run_program(program, {n: a[start : start + step] for n, a in inputs.items()}, taps=True)
        for run in runs:
            _check_layer(program, run, taps, start, bits)
        for steps, check in stepwise:
            _check_steps(steps, check, taps, start)
        for mode, session in whole.items():
            outputs = _run_whole(built, session, taps, cuts[0].batched)
            for end in (e for e in ends if e.mode == mode):
                _check_end(program, end, taps[end.tensor], outputs[end.tensor])
        progress(min(step, total - start))
    checks = {(c.tensor, c.mode): c for c in (*(run.check for run in runs), *(check for _, check in stepwise))}
    ordered = sorted(checks.values(), key=lambda c: (c.mode.startswith("own"), list(exported).index(c.tensor)))
    return TeacherReport(total, tuple(ordered), tuple(ends))


def _float_bias(cut: Layer) -> bool:
    """Whether a bias is a float constant: the optimizations of onnxruntime round it to whole steps of the accumulator."""
    constants = {c.name for c in cut.model.graph.initializer}
    return any(n.op_type in ("Conv", "Gemm") and n.input[2:] and n.input[2] in constants for n in cut.model.graph.node)


@dataclass(frozen=True)
class _Check:
    """`cut` in onnxruntime against the Program; `exported` is the same layer of model.qdq.onnx, whose exact value is known."""

    cut: Layer
    exported: Layer
    session: Any
    check: LayerCheck


def _on_integers(built: Built, model, inputs: dict[str, np.ndarray], progress_for) -> TeacherReport:
    """A model on integer values has no float in it: its outputs are those of the Program, and every difference is a fault."""
    program, session = built.program, _session(model, "off", MODEL)
    total = len(next(iter(inputs.values())))
    progress = progress_for("onnxruntime", total)
    checks = [LayerCheck(name, program.producer(name).kind, "off") for name in program.outputs]
    ends = [EndToEnd(name, "off") for name in program.outputs]
    batched = all(len(i.shape) > len(program.edges[i.name].shape) for i in session.get_inputs())
    step = max(1, min(256, _BATCH_ELEMENTS // sum(e.size for e in program.edges.values())))
    for start in range(0, total, step):
        taps = run_program(program, {n: a[start : start + step] for n, a in inputs.items()}, taps=True)
        outputs = _run_whole(built, session, taps, batched)
        for check, end in zip(checks, ends, strict=True):
            _check_end(program, end, taps[end.tensor], outputs[end.tensor])
            check.outputs, check.differing, check.largest = end.outputs, end.differing, end.largest
            check.unexplained = min(end.differing, _ENOUGH)
        progress(min(step, total - start))
    return TeacherReport(total, tuple(checks), tuple(ends))


def _model(path: Path):
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"the product has no {path.name}", fix="compile the model again") from None
    except (OSError, DecodeError) as error:
        raise UsageError(f"'{path}' can't be read", why=str(error).splitlines()[0]) from None


def _session(model, mode: str, what: str):
    """What may change a bit is pinned: one thread, and no optimizations or integer kernels wherever there are some."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if mode == "on" else levels.ORT_DISABLE_ALL
    # Without it, x86 turns int8 activations into uint8, whose kernels saturate 16-bit sums on processors without VNNI;
    # those for int8 activations sum in 32 bits everywhere.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own unrelated types
        raise WorkFailed(
            f"onnxruntime does not take {what}", why=str(error).splitlines()[0][:200], fix="please report this"
        ) from None


def _run(session, arrays: list[np.ndarray], batched: bool) -> list[np.ndarray]:
    """Arrays [samples, *shape] in the order of the model's inputs -> outputs [samples, *shape]."""
    names = [i.name for i in session.get_inputs()]
    if batched:
        return session.run(None, dict(zip(names, arrays, strict=True)))
    rows = [session.run(None, dict(zip(names, row, strict=True))) for row in zip(*arrays, strict=True)]
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _given(program: Program, name: str, taps: dict[str, np.ndarray]) -> np.ndarray:
    producer = program.producer(name)
    return taps[name].astype(np.int64) if producer is not None and producer.kind == "argmax" else taps[name]


def _coarseness(kernel: Kernel, bits: int) -> float:
    """How far, as a part of their value, multipliers of `bits` are from scales that the QDQ model states in float32.

    Those of dot products are stated as they were rounded (export/operands.py): only joins and averages have any.
    """
    if kernel.kind not in ("add", "avgpool2d") or bits >= _FLOAT_BITS:
        return 0.0
    multiplier = kernel.constants["multiplier"].astype(np.int64)
    return 2.0**-bits * int(multiplier.max()) / max(int(multiplier.min()), 1)


def _check_layer(program: Program, run: _Check, taps, start: int, bits: int) -> None:
    cut, check = run.cut, run.check
    given = [_given(program, n, taps) for n in cut.inputs]
    if cut.single:
        rows = [_run(run.session, [g[i : i + 1] for g in given], cut.batched)[0] for i in range(len(given[0]))]
        got = np.concatenate(rows).astype(np.int64)
    else:
        got = _run(run.session, given, cut.batched)[0].astype(np.int64)
    want = taps[cut.tensor].astype(np.int64)
    if got.shape != want.shape:
        raise WorkFailed(
            f"onnxruntime computes '{shown(cut.tensor)}' with shape {got.shape}", why=f"the program says {want.shape}"
        )
    check.outputs += want.size
    differing = np.argwhere(got != want)
    if not len(differing):
        return
    check.differing += len(differing)
    check.largest = max(check.largest, int(np.abs(got - want).max()))
    samples = np.unique(differing[:, 0])
    coarse = _coarseness(program.producer(cut.tensor), bits)
    form = exact(run.exported, [g[samples] for g in given])
    for where in differing:
        if check.unexplained >= _ENOUGH:
            return
        full = tuple(int(i) for i in where)
        mine, theirs = int(want[full]), int(got[full])
        local = (int(np.searchsorted(samples, full[0])), *full[1:])
        value = None if form is None else form.at(local)
        if value is not None:
            # Both are a rounding of the exact value if none is farther than half a step; what is beyond is the distance
            # from the tie that one of them rounded the wrong way.
            beyond = float(max(abs(mine - value), abs(theirs - value))) - 0.5
            allowed = form.noise(local, coarse)
            if beyond <= allowed:
                check.distance = max(check.distance, beyond)
                check.share = max(check.share, beyond / allowed if allowed else 0.0)
                continue
        check.unexplained += 1
        if check.first is None:
            exactly = None if value is None else float(value)
            check.first = Unexplained(start + full[0], full[1:], mine, theirs, exactly)


def _check_steps(steps: _steps.Steps, check: LayerCheck, taps, start: int) -> None:
    """Every element, equal or not: both computations must be within half a step, and what they may be off by, of the
    value that they round.
    """
    found, want = steps.compare(taps), taps[check.tensor].astype(np.int64)
    got = found.integers
    check.outputs += want.size
    check.differing += int((got != want).sum())
    check.largest = max(check.largest, int(np.abs(got - want).max(initial=0)))
    pairs = ((want, found.program, found.program_off), (got, found.runtime, found.runtime_off))
    beyond = [np.abs(q - value) - 0.5 for q, value, _ in pairs]
    apart = np.abs(found.program - found.runtime) + found.program_off + found.runtime_off
    check.limit = max(check.limit, int(apart.max(initial=0.0)) + 1)
    wrong = np.logical_or(*(b > off + _TIE for b, (_, _, off) in zip(beyond, pairs, strict=True)))
    for full in map(tuple, np.argwhere(wrong)[: _ENOUGH - check.unexplained].tolist()):
        check.unexplained += 1
        if check.first is None:
            check.first = Unexplained(
                start + full[0], full[1:], int(want[full]), int(got[full]), float(found.program[full])
            )
    right = ~wrong & (got != want)
    for b, (_, _, off) in zip(beyond, pairs, strict=True):
        check.distance = max(check.distance, float(b[right].max(initial=0.0)))
        check.share = max(check.share, float((b / np.maximum(off, _TIE))[right].max(initial=0.0)))


def _run_whole(built: Built, session, taps: dict[str, np.ndarray], batched: bool) -> dict[str, np.ndarray]:
    names = [i.name for i in session.get_inputs()]
    real = samples.to_real(built.program, {n: taps[n] for n in names}, built.pixels)
    values = _run(session, [real[n] for n in names], batched)
    return dict(zip((o.name for o in session.get_outputs()), values, strict=True))


def _check_end(program: Program, end: EndToEnd, want: np.ndarray, real: np.ndarray) -> None:
    index = program.producer(end.tensor).kind == "argmax"
    got = real if index else program.edges[end.tensor].from_real(real)
    away = np.abs(got.astype(np.int64) - want.astype(np.int64))
    end.outputs += want.size
    end.differing += int((away > 0).sum())
    end.largest = max(end.largest, int(away.max(initial=0)))
    end.agreeing += int((decisions(got, index) == decisions(want, index)).sum())
