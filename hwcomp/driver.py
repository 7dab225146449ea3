"""The compile: model file -> product folder. The command and the Python API are thin over this."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp import __version__, npz, product, samples, tuning
from hwcomp.backends.base import Product
from hwcomp.errors import UsageError, shown
from hwcomp.export import half, qdq
from hwcomp.frontend.load import Model, load_model
from hwcomp.graph import Graph
from hwcomp.lower.build import Lowered, lower
from hwcomp.lower.staircase import summary as proof_summary
from hwcomp.names import network_name
from hwcomp.options import FPGA_FAMILIES, KEEP, PRUNE_KINDS, CompileOptions
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.pixels import Pixels
from hwcomp.registry import BACKENDS
from hwcomp.report import html
from hwcomp.report.facts import noise_json, program_facts
from hwcomp.types import Tensor
from hwcomp.verify.engine import Built
from hwcomp.verify.noise import layer_noise
from hwcomp.verify.reference import run_program

_NOISE_SAMPLES = 32
_BEYOND = 0.01  # of calibration values that no pixel stands for: more than rounding explains
# Passes that choose other weights.
_CORRECTIONS = ("equalize", "low_rank", "vectors", "share", "adaround", "bias_correction")
_RESERVED = frozenset({
    "manifest.json", "program", "src", "rtl", "hls", "vectors", "report.json", "report.html", "model.qdq.onnx", "model.fp16.onnx",
})  # fmt: skip
LICENCE = "Licence: what hwcomp adds to this file is under 0BSD; the network belongs to its owner."


@dataclass(frozen=True)
class Watch:
    """How a compile talks to its caller: progress (what, done, total), warnings, and the graph after each pass."""

    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    warn: Callable[[str], None] = lambda text: None
    after_pass: Callable[[str, Graph], None] = lambda name, graph: None
    check_passes: bool = False
    warnings: list[str] = field(default_factory=list)

    def warned(self, text: str) -> None:
        self.warnings.append(text)
        self.warn(text)


def quantized_graph(model: Model, options: CompileOptions, watch: Watch) -> tuple[Graph, PassContext]:
    """Run all passes. UsageError where the options or the calibration data do not fit the model."""
    graph = model.graph
    shapes = {n: graph.tensors[n].shape[1:] if graph.batched else graph.tensors[n].shape for n in graph.inputs}
    for option, names in (("--input-range", options.input_ranges), ("--input", options.input_types)):
        for name in names:
            if name not in shapes:
                known = ", ".join(f"'{shown(n)}'" for n in shapes)
                raise UsageError(f"{option} names '{shown(name)}'", why=f"the model's inputs are {known}")
    for name, pixels in options.input_types.items():
        pixels.affine(shapes[name])  # as many as the input has channels
    calibration = None
    if options.calibration is not None:
        calibration = samples.check_real(
            {n: a for n, a in options.calibration.items() if n in shapes or n != samples.LABELS}, shapes
        )
        calibration = {n: _real(graph.tensors[n], a, options.input_types.get(n)) for n, a in calibration.items()}
        for name, pixels in options.input_types.items():
            if (part := pixels.beyond(calibration[name])) > _BEYOND:
                watch.warned(
                    f"{part:.0%} of the calibration data of '{shown(name)}' lie outside of what pixels of {pixels.text()} can be: "
                    "check MEAN and STD"
                )
    labels = None
    if calibration is not None and samples.LABELS not in shapes and samples.LABELS in options.calibration:
        labels = samples.checked_labels(options.calibration[samples.LABELS])
        if len(labels) != len(next(iter(calibration.values()))):
            raise UsageError("the calibration data has another number of labels than of samples")
    options = options.for_model(model.quantized)
    quant = options.rest if options.quant == KEEP else options.quant
    ctx = PassContext(
        calibration, options.input_ranges, options.input_types, options.logits, quant, options.requantize,
        labels=labels, progress=watch.progress, warn=watch.warned, hardware=tuning.costs(options.pe_simd_budget),
        zeros=tuning.zeros(options.pe_simd_budget), tuned=tuning.tuned(options.tune_for, options.pe_simd_budget),
        keeps=options.quant == KEEP,
    )  # fmt: skip
    passes = configured(options.pass_options)
    wanted = [p.name for p in passes if p.name in _CORRECTIONS and p.enabled]
    if wanted and options.quant == KEEP:
        why = "it would choose other weights than the integers that the model states"
        raise UsageError(f"pass {wanted[0]} for a model that is already quantized", why=why, fix="add --requantize")
    graph = run_passes(graph, ctx, passes, watch.check_passes, watch.after_pass)
    return graph, ctx


def _real(tensor: Tensor, array: np.ndarray, pixels: Pixels | None) -> np.ndarray:
    """Real calibration data of an input, from reals, raw pixels, or the integers that the model itself takes there."""
    if array.dtype.kind == "f":
        return array
    if pixels is not None and array.dtype == np.uint8:
        return pixels.real(array)
    q = tensor.qtype
    if tensor.stored and q.lo <= int(array.min(initial=0)) and int(array.max(initial=0)) <= q.hi:
        return q.real(array)
    name = shown(tensor.name)
    typed = f", or --input {name}=uint8,MEAN,STD if these are pixels" if array.dtype == np.uint8 else ""
    raise UsageError(f"calibration array '{name}' holds {array.dtype}", fix=f"give real values as float32{typed}")


def compile_model(path: Path | str, folder: Path | str, options: CompileOptions, watch: Watch | None = None) -> Built:
    """Compile `path` into `folder`: complete, or not there. Errors are HwcompErrors."""
    watch = watch or Watch()
    path, folder = Path(path), Path(folder)
    options.check()
    product.check_target(folder)
    options = _as_read(options)
    backends = [BACKENDS[t] for t in options.targets]
    model = load_model(path)
    options = options.for_model(model.quantized)
    for text in options.idle():
        watch.warned(text)
    graph, ctx = quantized_graph(model, options, watch)
    watch.progress("lowering", 0, 1)
    lowered = lower(graph, options.requantize_bits)
    program, graph = lowered.program, lowered.graph
    for backend in backends:
        backend.supports(program)
    name = network_name(options.name if options.name is not None else path.stem)
    golden_in, golden_out = _golden(program, ctx, options)
    facts = Product(name, _banner(model, lowered, options), golden_in, golden_out)
    files: dict[str, product.Content] = dict(model.files(_RESERVED))
    targets = {}
    for backend in backends:
        watch.progress(f"emitting {backend.target}", 0, 1)
        wanted = ("pe_simd_budget", "least_fifos", "hls_dialect", "c_weights", "unroll", "fpga_family")
        plan = backend.plan(program, {n: getattr(options, n) for n in wanted})
        files |= backend.emit(program, plan, facts)
        targets[backend.target] = backend.report(program, plan)
    files["program/program.json"] = product.dump_json(program.to_json())
    files["program/constants.npz"] = npz.dumps(program.constants())
    files["model.qdq.onnx"] = qdq.export(graph, program, name, options.requantize_bits, options.input_types)
    if options.float16:
        files["model.fp16.onnx"] = half.export(model.proto)
    files["vectors/inputs.npz"] = npz.dumps(golden_in)
    files["vectors/outputs.npz"] = npz.dumps(golden_out)
    notes = {p: list(lines) for p, lines in ctx.notes.items()}
    report = program_facts(name, model.graph, graph, lowered, notes, watch.warnings, targets, ctx.stages)
    if (noise := _noise(lowered.program, ctx)) is not None:
        report["noise"] = noise
    for name_, pixels in options.input_types.items():
        report["boundary"][name_]["pixels"] = asdict(pixels)
    files["report.json"] = product.dump_json(report)
    files["report.html"] = html.render(report)
    manifest = {
        "schema": product.SCHEMA,
        "name": name,
        "hwcomp": __version__,
        "libraries": _libraries(),
        "model_sha256": model.sha256,
        "program_sha256": program.sha256(),
        "options": _options_json(options),
        "inputs": [_boundary(program, n) | _pixels(options, n) for n in program.inputs],
        "outputs": [_boundary(program, n) for n in program.outputs],
        "notes": notes,
        "targets": {t: facts_.get("interface", {}) for t, facts_ in targets.items()},
    }
    product.write(folder, files, manifest)
    return product.load(folder)


def _golden(program, ctx: PassContext, options: CompileOptions) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The first calibration samples, or random integers, and what the interpreter makes of them."""
    if ctx.calibration is not None:
        real = {n: a[: options.golden] for n, a in ctx.calibration.items()}
        stored = samples.to_stored(program, real, options.input_types)
    else:
        stored = samples.random_stored(program, options.golden)
    return stored, run_program(program, stored)


def _noise(program, ctx: PassContext) -> list[dict[str, Any]] | None:
    """Per tensor, on calibration samples spread evenly; random inputs say nothing about noise."""
    if ctx.calibration is None:
        return None
    total = len(next(iter(ctx.calibration.values())))
    chosen = np.arange(min(_NOISE_SAMPLES, total)) * total // min(_NOISE_SAMPLES, total)
    ctx.progress("noise of the layers", 0, 1)
    few = {n: a[chosen] for n, a in ctx.calibration.items()}
    return noise_json(layer_noise(ctx.float_graph, program, few, ctx.input_types))


def _as_read(options: CompileOptions) -> CompileOptions:
    """Amounts and fields as passes read them, in their order: one hash of options, in whatever form they were given."""
    configured(options.pass_options)
    given = [p for p in configured(options.passes) if p.name in options.passes]
    passes = {p.name: {f: getattr(p, f) for f in sorted(options.passes[p.name])} for p in given}
    prune = {}
    for kind, pruner in PRUNE_KINDS.items():
        if kind in options.prune:
            found = configured({pruner: {kind: options.prune[kind]}})
            prune[kind] = getattr(next(p for p in found if p.name == pruner), kind)
    return replace(options, passes=passes, prune=prune)


def _banner(model: Model, lowered: Lowered, options: CompileOptions) -> tuple[str, ...]:
    words = [f"--quant {options.quant}", f"--requantize-bits {options.requantize_bits}"]
    words += [f"--rest {options.rest}"] if options.quant == KEEP else []
    words += ["--requantize"] if options.requantize else []
    words += ["--logits"] if options.logits else []
    words += ["--xnor-k"] if options.xnor_k else []
    words += [f"--c-weights {options.c_weights}"] if options.c_weights != "packed" else []
    words += [f"--low-rank {options.low_rank:g}"] if options.low_rank is not None else []
    words += [f"--share {options.share}"] if options.share is not None else []
    words += [f"--share-vectors {options.share_vectors}"] if options.share_vectors is not None else []
    words += [f"--pe-simd-budget {options.pe_simd_budget}"] if options.pe_simd_budget else []
    words += [f"--prune {kind}={amount}" for kind, amount in options.prune.items()]
    words += [f"--tune-for {options.tune_for}"] if options.tune_for else []
    words += [f"--unroll {name}" for name in options.unroll]
    words += [f"--fpga-family {options.fpga_family}"] if options.fpga_family != FPGA_FAMILIES[0] else []
    words += ["--least-fifos"] if options.least_fifos else []
    bearing = {k: v for k, v in _options_json(options).items() if k not in ("name", "targets")}
    everything = hashlib.sha256(product.dump_json(bearing).encode()).hexdigest()
    return (
        f"Generated by hwcomp {__version__}; do not edit.",
        f"Model   sha256 {model.sha256}",
        f"Program sha256 {lowered.program.sha256()}",
        f"Options {' '.join(words)}; all of them: sha256 {everything[:16]}",
        f"Proof   {proof_summary(lowered.proofs)}.",
        *(f"Input   {shown(name)}: {pixels.text()}" for name, pixels in sorted(options.input_types.items())),
        LICENCE,
    )


def _options_json(options: CompileOptions) -> dict[str, Any]:
    data = asdict(options)
    calibration = data.pop("calibration")
    if calibration is not None:
        data["calibration"] = {
            n: {"samples": len(a), "sha256": hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()}
            for n, a in calibration.items()
        }
    data["targets"] = list(options.targets)
    if options.quant != KEEP:
        del data["rest"]
    if not options.requantize:
        del data["requantize"]
    if not options.unroll:
        del data["unroll"]
    if not options.least_fifos:
        del data["least_fifos"]
    if options.fpga_family == FPGA_FAMILIES[0]:
        del data["fpga_family"]
    if not options.prune:
        del data["prune"]
    if options.share is None:
        del data["share"]
    for name in ("share_vectors", "low_rank", "tune_for"):
        if getattr(options, name) is None:
            del data[name]
    if not options.float16:
        del data["float16"]
    return data


def _libraries() -> dict[str, str]:
    names = ("numpy", "onnx", "onnxruntime", "networkx", "jinja2")
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in names}}


def _pixels(options: CompileOptions, name: str) -> dict[str, Any]:
    return {"pixels": asdict(options.input_types[name])} if name in options.input_types else {}


def _boundary(program, name: str) -> dict[str, Any]:
    e = program.edges[name]
    return {
        "name": name, "shape": list(e.shape), "type": e.dtype.name, "bits": e.bits, "signed": e.signed,
        "scale": float(e.scale), "scale_bits": e.scale_bits, "zero_point": e.zero,
        "layout": {"dims": list(e.layout.dims), "perm": list(e.layout.perm)},
    }  # fmt: skip
