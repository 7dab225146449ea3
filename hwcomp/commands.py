"""What the commands do: arguments in, Python API, text or JSON out."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwcomp import __version__, driver, npz, product, samples
from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.options import CompileOptions, from_toml, parse_pass_options, parse_prune, parse_ranges, parse_types


class Screen:
    """Progress bars on a terminal, nothing elsewhere or with --quiet. Warnings go to stderr."""

    def __init__(self, quiet: bool):
        self.quiet = quiet
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    @contextmanager
    def open(self):
        if self.quiet or not sys.stderr.isatty():
            yield self
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as self._progress:
            yield self

    def step(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            if what not in self._tasks:
                self._tasks[what] = self._progress.add_task(what, total=total)
            self._progress.update(self._tasks[what], completed=done, total=total)

    def counter(self, what: str, total: int):
        """A callable that takes the number of items just finished."""
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            self.step(what, done, total)

        return advance

    def warn(self, text: str) -> None:
        if not self.quiet:
            print(f"hwcomp: warning: {text}", file=sys.stderr)


def show_version() -> int:
    print(f"hwcomp {__version__}")
    return 0


def show_passes() -> int:
    from dataclasses import fields

    from hwcomp.passes.pipeline import ORDER
    from hwcomp.registry import PASSES

    for name in ORDER:
        cls = PASSES[name]
        options = ", ".join(f"{f.name}={f.default}" for f in fields(cls))
        doc = sys.modules[cls.__module__].__doc__.strip().splitlines()[0]
        print(f"{name:18} {cls.kind:10} {doc}\n{'':30}{options}")
    return 0


def compile_options(args: Namespace) -> CompileOptions:
    given = {
        "name": args.name, "quant": args.quant, "rest": args.rest, "requantize": args.requantize or None,
        "pe_simd_budget": args.pe_simd_budget, "least_fifos": args.least_fifos or None,
        "golden": args.golden, "requantize_bits": args.requantize_bits,
        "logits": args.logits or None, "hls_dialect": args.hls_dialect, "unroll": tuple(args.unroll) if args.unroll else None,
        "c_weights": args.c_weights, "xnor_k": args.xnor_k or None, "fpga_family": args.fpga_family, "share": args.share,
        "low_rank": args.low_rank, "share_vectors": args.share_vectors, "tune_for": args.tune_for, "float16": args.float16 or None,
    }  # fmt: skip
    given = {k: v for k, v in given.items() if v is not None}
    given |= {"input_ranges": parse_ranges(args.input_range), "input_types": parse_types(args.input)}
    given |= {"passes": parse_pass_options(args.passes), "prune": parse_prune(args.prune)}
    given = from_toml(Path(args.config), given) if args.config else given
    calibration = npz.load(args.calibration) if args.calibration else None
    return CompileOptions(targets=tuple(args.target.split(",")), calibration=calibration, **given)


def run_compile(args: Namespace) -> int:
    screen = Screen(args.quiet)
    with screen.open():
        watch = driver.Watch(progress=screen.step, warn=screen.warn, check_passes=args.check_passes)
        built = driver.compile_model(args.model, args.output, compile_options(args), watch)
    if args.print_passes:
        for name, lines in built.manifest["notes"].items():
            for line in lines:
                print(f"{name}: {shown(line, 300)}")
    if not args.quiet:
        from hwcomp.report.text import summary

        print(summary(json.loads((built.dir / "report.json").read_text(encoding="utf-8"))))
        print(f"product: {built.dir}")
    return 0


def run_run(args: Namespace) -> int:
    built = product.load(args.dir)
    arrays, _ = samples.read(args.input, built.program.inputs)
    screen = Screen(args.quiet)
    stats: dict[str, Any] = {}
    with screen.open():
        total = samples.count(arrays)
        if args.engine == "float":
            out = _run_float(built, arrays, args.tap, screen.counter("float", total))
        else:
            from hwcomp.verify.engines import engine

            chosen = engine(args.engine)
            _require(built, chosen)
            stored = samples.to_stored(built.program, arrays, built.pixels)
            result = chosen.run(built, stored, args.tap == "all", screen.counter(args.engine, total))
            out, stats = samples.out_arrays(built.program, result.values), result.stats
    _write(Path(args.output), npz.dumps(out))
    if args.json:
        print(json.dumps(stats, indent=1))
    return 0


def _run_float(built, arrays, tap: str | None, progress) -> dict:
    from hwcomp.verify.float_engine import run_model

    if tap:
        raise UsageError(
            "--tap needs an integer engine", fix="hwcomp eval shows the float model beside them, per tensor"
        )
    samples.to_stored(built.program, arrays, built.pixels)  # checks names, shapes and types as every engine does
    real = samples.to_real(built.program, arrays, built.pixels)
    return run_model(built.dir / "model.onnx", real, progress)


def _require(built, engine) -> None:
    """The product and the tools that an engine named by the user needs: exit code 2 where they are missing."""
    from hwcomp.errors import MissingToolError

    if engine.target and engine.target not in built.manifest["options"]["targets"]:
        raise UsageError(
            f"'{built.dir}' was not compiled for {engine.target}", fix=f"compile it with --target {engine.target}"
        )
    if missing := engine.missing():
        raise MissingToolError(f"engine {engine.name} can't run: {missing}")


def _write(path: Path, data: bytes) -> None:
    """Aside and renamed, so that a full disk leaves nothing half-written."""
    if not path.name or path.is_dir():
        raise UsageError(f"'{path}' is a folder", fix="name a file with -o")
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise WorkFailed(f"can't write '{path}'", why=error.strerror or str(error)) from None


def run_verify(args: Namespace) -> int:
    from hwcomp.report.text import outcomes_json, outcomes_text
    from hwcomp.verify import compare, engines

    built = product.load(args.dir)
    if args.input and args.samples is not None:
        raise UsageError("give -i or --samples, not both")
    if args.samples is not None:
        if args.samples < 1:
            raise UsageError("--samples needs a number of 1 or more")
        stored = samples.random_stored(built.program, args.samples)
    else:
        arrays = (
            samples.read(args.input, built.program.inputs)[0]
            if args.input
            else npz.load(built.dir / "vectors" / "inputs.npz")
        )
        stored = samples.to_stored(built.program, arrays, built.pixels)
    if args.l4:
        return _verify_l4(args, built, stored)
    if args.engines:
        chosen = [engines.engine(n) for n in args.engines.split(",")]
        for engine in chosen:
            _require(built, engine)
    else:
        chosen = engines.for_product(built)
    screen = Screen(args.quiet)
    with screen.open():
        outcomes = compare.verify(built, stored, chosen, _limits(args.limit), screen.counter)
    print(json.dumps(outcomes_json(outcomes), indent=1) if args.json else outcomes_text(outcomes))
    return 0 if all(o.status == "equal" for o in outcomes) else 1


def _verify_l4(args: Namespace, built, stored) -> int:
    from hwcomp.report.text import teacher_json, teacher_text
    from hwcomp.verify.teacher import teacher_forced

    if args.engines or args.limit:
        raise UsageError("--l4 asks onnxruntime only", fix="leave out --engines and --limit, or --l4")
    screen = Screen(args.quiet)
    with screen.open():
        report = teacher_forced(built, stored, screen.counter)
    print(json.dumps(teacher_json(report), indent=1) if args.json else teacher_text(report))
    return 0 if report.passed else 1


def _limits(texts: list[str]) -> dict[str, int]:
    from hwcomp.verify.engines import NAMES

    limits = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if name not in NAMES or not number.isdecimal() or int(number) < 1:
            raise UsageError(f"'--limit {shown(text)}' is not ENGINE=N", fix=f"engines are {', '.join(NAMES)}")
        limits[name] = int(number)
    return limits


def run_eval(args: Namespace) -> int:
    from hwcomp.report.text import evaluation_json, evaluation_text
    from hwcomp.verify.engines import engine
    from hwcomp.verify.evaluate import evaluate

    built = product.load(args.dir)
    _require(built, engine(args.engine))
    arrays, labels = samples.read(args.data, built.program.inputs)
    screen = Screen(args.quiet)
    with screen.open():
        result = evaluate(built, arrays, labels, args.engine, screen.counter)
    print(json.dumps(evaluation_json(result), indent=1) if args.json else evaluation_text(result))
    return 0


def run_inspect(args: Namespace) -> int:
    from hwcomp.report.inspect import inspect_model
    from hwcomp.report.text import inspection_text

    data = inspect_model(Path(args.model), args.logits)
    print(json.dumps(data, indent=1) if args.json else inspection_text(data))
    return 0


def run_report(args: Namespace) -> int:
    from hwcomp.report.text import report_text

    built = product.load(args.dir)
    if args.html:
        print(built.dir / "report.html")
        return 0
    text = (built.dir / "report.json").read_text(encoding="utf-8")
    try:
        tables = report_text(json.loads(text))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise UsageError(f"report.json in '{args.dir}' is damaged", fix="compile it again") from None
    print(text.rstrip() if args.json else tables)
    return 0


def run_ops(args: Namespace) -> int:
    from hwcomp.report import ops

    print(json.dumps(ops.matrix(), indent=1) if args.json else ops.markdown() if args.markdown else ops.matrix_text())
    return 0
