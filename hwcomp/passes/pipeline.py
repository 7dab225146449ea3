"""The order of the passes, their options, and the checks between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from hwcomp.errors import HwcompError, UsageError, WorkFailed, shown
from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph
from hwcomp.passes._stages import measured
from hwcomp.passes.base import Pass, PassContext
from hwcomp.registry import PASSES

ORDER = (
    "strip_qdq", "fold_constants", "infer_shapes", "eliminate_dead", "cancel_transposes", "merge_reshapes", "fuse_pad",
    "drop_softmax", "fuse_gates", "channel_scales", "streamline", "fuse_bias", "fuse_batchnorm", "fuse_activation",
    "constant_channels", "prune", "sparsify", "absorb_qdq", "equalize", "low_rank", "analyze_ranges", "calibrate", "type_inputs",
    "few_bits", "vectors", "share", "quantize", "adaround", "bias_correction", "logarithms",
)  # fmt: skip
_IN_FLOAT = ORDER[: ORDER.index("quantize")]
_PROBES = 4
_SPARSE = 0.05  # of the weights: fewer zeros are nothing that one would miss
_ALGEBRAIC = 1e-5  # of a tensor's largest value


def configured(options: dict[str, dict[str, Any]]) -> list[Pass]:
    """All passes in order, with the options by pass name and field; values may be text (from the command line)."""
    for name in options:
        if name not in ORDER:
            raise UsageError(f"there is no pass '{shown(name)}'", fix="see --print-passes")
    passes = []
    for name in ORDER:
        cls = PASSES[name]
        passes.append(cls(**{f: _value(cls, f, v) for f, v in options.get(name, {}).items()}))
        if cls.required and not passes[-1].enabled:
            raise UsageError(f"pass '{name}' can't be switched off", why="nothing can be compiled without it")
    return passes


def _value(cls: type[Pass], field: str, value: Any) -> Any:
    known = {f.name: type(f.default) for f in fields(cls)}
    if field not in known:
        raise UsageError(f"pass '{cls.name}' has no option '{shown(field)}'", fix=f"it has {', '.join(sorted(known))}")
    kind = known[field]
    if isinstance(value, str) and kind is bool:
        words = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
        if value.lower() in words:
            return words[value.lower()]
    elif isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    elif type(value) is kind or (kind is float and type(value) is int):
        return kind(value)
    raise UsageError(f"'{shown(value)}' is not a {kind.__name__} for option '{field}' of pass '{cls.name}'")


def run_passes(
    graph: Graph, ctx: PassContext, passes: list[Pass], check: bool = False,
    after: Callable[[str, Graph], None] = lambda name, graph: None,
) -> Graph:  # fmt: skip
    """Run the enabled passes. The graph is checked after each; `check` also probes its numbers (`--check-passes`)."""
    graph.check()
    ctx.stages.append(measured("float", graph))
    for i, p in enumerate(passes):
        if not p.enabled:
            continue
        ctx.progress(p.name, i, len(passes))
        try:
            new = p.run(graph, ctx)
        except np.linalg.LinAlgError as error:
            why = f"what tensors hold on calibration data has no usable second moments ({error})"
            raise UsageError(
                f"pass {p.name} can't be fitted", why=why, fix="check the range of the data, or give more"
            ) from None
        try:
            new.check()
            if check and p.kind != "lossy":
                _probe(p, graph, new, ctx)
        except HwcompError as error:
            raise WorkFailed(f"pass {p.name} broke the graph", why=str(error), fix="please report this") from error
        if p.kind == "lossy" and new is not graph and p.name in _IN_FLOAT:
            _staged(p.name, graph, new, ctx)
        graph = new
        after(p.name, graph)
    return graph


def _staged(name: str, old: Graph, new: Graph, ctx: PassContext) -> None:
    """Note what a pass has left of the weights, where it has changed that."""
    before, now = measured(name, old), measured(name, new)
    if (before.macs, before.layers) != (now.macs, now.layers):
        ctx.stages.append(now)
    was, left = (s.zeros / max(s.weights, 1) for s in (before, now))
    if was >= _SPARSE and left < was / 2:
        ctx.warn(f"pass {name} fills zeros in: {left:.1%} of its weights are zero, {was:.1%} were before it")


def _probe(p: Pass, old: Graph, new: Graph, ctx: PassContext) -> None:
    """Random inputs through both graphs; outputs must agree as closely as the kind of the pass promises."""
    rng = np.random.default_rng(0)
    inputs = {}
    for name in old.inputs:
        lo, hi = ctx.input_ranges.get(name, (0.0, 1.0))
        shape = old.tensors[name].shape
        inputs[name] = rng.uniform(lo, hi, (_PROBES, *(shape[1:] if old.batched else shape))).astype(np.float32)
    before, after = run_float(old, inputs), run_float(new, inputs)
    for name, a in before.items():
        b = after[name]
        scale = float(np.abs(a).max(initial=0.0))
        tolerance = 0.0 if p.kind == "exact" else _ALGEBRAIC * scale
        if a.shape != b.shape or float(np.abs(a - b).max(initial=0.0)) > tolerance:
            raise WorkFailed(f"output '{name}' changed by more than {tolerance:g}")
