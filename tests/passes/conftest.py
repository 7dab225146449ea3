"""One pass on a small model: its graph before and after, its notes, and the largest change of any output."""

from dataclasses import dataclass

import numpy as np
import pytest

from hwcomp.frontend.float_run import run_float
from hwcomp.graph import Graph
from hwcomp.passes.base import PassContext
from hwcomp.registry import PASSES
from tests.models import loaded


@dataclass
class Outcome:
    before: Graph
    after: Graph
    ctx: PassContext

    @property
    def ops(self):
        return [n.op for n in self.after.nodes]

    @property
    def notes(self):
        return [line for lines in self.ctx.notes.values() for line in lines]

    def node(self, op):
        (found,) = [n for n in self.after.nodes if n.op == op]
        return found

    def change(self, interval=(-2.0, 2.0)):
        """Largest difference of an output before and after, relative to its largest value, over random inputs."""
        rng = np.random.default_rng(1)
        shapes = {n: self.before.tensors[n].shape[1 if self.before.batched else 0 :] for n in self.before.inputs}
        inputs = {n: rng.uniform(*interval, (16, *s)).astype(np.float32) for n, s in shapes.items()}
        a, b = run_float(self.before, inputs), run_float(self.after, inputs)
        assert list(a) == list(b)
        return max(float(np.abs(a[n] - b[n]).max() / max(1e-30, np.abs(a[n]).max())) for n in a)


@pytest.fixture
def run():
    """(ModelProto, pass names, PassContext fields) -> Outcome; the graph is checked after each pass."""

    def through(proto, *names, **context):
        graph = before = loaded(proto).graph
        ctx = PassContext(**context)
        for name in names:
            old = repr(graph)
            new = PASSES[name]().run(graph, ctx)
            new.check()
            assert repr(graph) == old  # a pass leaves its input alone
            graph = new
        return Outcome(before, graph, ctx)

    return through
