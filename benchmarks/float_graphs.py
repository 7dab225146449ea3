"""Networks as a pass of the float graph gets them, and what their graphs decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwcomp.frontend.load import load_model
from hwcomp.graph import Graph
from hwcomp.passes._mixed import outputs
from hwcomp.passes.base import PassContext
from hwcomp.passes.pipeline import configured, run_passes
from hwcomp.verify.evaluate import decisions


def in_front_of(name: str, model: Path, ctx: PassContext) -> Graph:
    """The graph that pass `name` gets."""
    passes = configured({})
    return run_passes(load_model(model).graph, ctx, passes[: [p.name for p in passes].index(name)])


def right(graph: Graph, x: dict[str, np.ndarray], labels: np.ndarray) -> float:
    """Part of the samples `x` that the graph decides as `labels` say."""
    (scores,) = outputs(graph, x).values()
    return float((decisions(scores, False) == labels[: len(scores)]).mean())
