"""Steps: functions of single elements in a row, such as a BatchNormalization and a Sign. An operator of hwcomp only.

Sign and the quantizers of QONNX become it; the pass `streamline` joins what stands in front, and moves steps that follow a
dot product there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwcomp.ops import _interval, _steps
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.registry import op


@dataclass(frozen=True)
class StepsAttrs:
    """`axis`: the channel axis of the tensor, batch axis included."""

    steps: tuple[_steps.Step, ...]
    axis: int = 1


@op("Steps")
class Steps(Op):
    """Inputs (x, constants of the steps [channels])."""

    kernels = ("requantize",)

    def infer(self, node, inputs):
        need_float(node, *inputs)
        x, axis = inputs[0], node.attrs.axis
        if len(inputs) > 1 and (axis >= len(x.shape) or any(c.shape != (x.shape[axis],) for c in inputs[1:])):
            raise bad(node, f"constants of {node.op} do not fit a tensor of shape {list(x.shape)}")
        return result(node, x.shape)

    def evaluate(self, node, inputs):
        axis = min(node.attrs.axis, max(inputs[0].ndim - 1, 0))
        return [
            _steps.run(node.attrs.steps, inputs[0], inputs[1:], axis)
            if inputs[0].ndim
            else _steps.run(node.attrs.steps, inputs[0].reshape(1), inputs[1:], 0).reshape(())
        ]

    def interval(self, node, inputs, graph):
        constants = [graph.tensors[n].data for n in node.inputs[1:]]
        return _steps.interval(node.attrs.steps, constants, _interval.of_input(node, 0, inputs, graph))

    def lower(self, node, ctx):
        ctx.steps(node)

    def cost(self, node, graph):
        return Cost(ops=math.prod(graph.tensors[node.outputs[0]].shape))
