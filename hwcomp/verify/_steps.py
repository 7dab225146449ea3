"""L4 of LSTM and GRU: onnxruntime's own operator one step at a time, each behind the Program's hidden states.

A whole sequence can't be compared: the Program rounds between its steps, the operator does not, and what is rounded
grows. So the exported layer is cut in three: what makes the operator's real inputs, the operator with one step and one
direction, and what makes integers of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp.verify._cells import Layer as Cells
from hwcomp.verify._cells import Stored
from hwcomp.verify._qdq_layers import Layer
from sw_ref.program import Edge, Program

if TYPE_CHECKING:
    import onnx

KINDS = ("gru", "lstm")
_FLAT = ["a", "b", "c", "d"]  # names of symbolic sizes


@dataclass(frozen=True)
class Compared:
    """Integers [samples, *shape] of onnxruntime and, per element and in steps of the output's type, the exact value that
    each computation rounds and what it may be off by: the Program's, and onnxruntime's.
    """

    integers: np.ndarray
    program: np.ndarray
    program_off: np.ndarray
    runtime: np.ndarray
    runtime_off: np.ndarray


class Steps:
    """The recurrent layer `cut` of model.qdq.onnx; `session(model)` opens one in onnxruntime."""

    def __init__(self, cut: Layer, program: Program, session: Callable[[Any], Any]):
        self.cut, self.kernel = cut, program.producer(cut.tensor)
        self.edge: Edge = program.edges[cut.tensor]
        self.node = next(n for n in cut.model.graph.node if n.op_type == self.kernel.kind.upper())
        self.cell = self.kernel.params.get("output") == "cell"
        # The tensor of the Program with the hidden states, which a layer of cell states reads.
        self.hidden: Edge = program.edges[self.kernel.inputs[1] if self.cell else cut.tensor]
        self.head, self.tail = session(self._head()), session(self._tail())
        self.steps = [session(self._step(d)) for d in range(len(self.directions))]

    def compare(self, taps: dict[str, np.ndarray]) -> Compared:
        k, e = self.kernel.params, self.edge
        x, h, c = self._inputs([taps[n] for n in self.cut.inputs])
        seen = self.hidden.to_real(taps[self.hidden.name]).reshape(len(x), k["steps"], -1, k["hidden"])
        found = self._run(x, seen, h, c)
        exact = []
        for stored in (Stored(float(self.hidden.scale), self.hidden.zero, *self.hidden.type_range), None):
            layer = Cells(self.kernel.kind, self.directions, *self._weights, bool(k.get("linear_before_reset")), stored)
            y = layer.behind(x.astype(np.float64), seen.astype(np.float64), h, c)[self.cell]
            exact += [np.clip(y.value / float(e.scale) + e.zero, *e.type_range), y.error / float(e.scale)]
        shape = (len(x), *e.shape)
        return Compared(self._quantized(found).reshape(shape), *(a.reshape(shape) for a in exact))

    @property
    def directions(self) -> tuple[str, ...]:
        return tuple(self.kernel.params["directions"])

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W, R, B [directions, ...] of the operator, in float64."""
        from onnx import numpy_helper

        held = {c.name: numpy_helper.to_array(c).astype(np.float64) for c in self.cut.model.graph.initializer}
        w, r = (held[n] for n in self.node.input[1:3])
        d, rows = w.shape[:2]
        b = held[self.node.input[3]] if self.node.input[3:] and self.node.input[3] else np.zeros((d, 2 * rows))
        return w, r, b.reshape(d, 2, rows)

    def _inputs(self, given: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Real x [samples, steps, input], first h and c [samples, directions, hidden], as onnxruntime dequantizes them."""
        names = [i.name for i in self.head.get_inputs()]
        rows = [given] if self.cut.batched else [[g[i] for g in given] for i in range(len(given[0]))]
        runs = [self.head.run(None, dict(zip(names, row, strict=True))) for row in rows]
        # Inputs of the operator have the samples on axis 1.
        found = [np.concatenate(part, axis=1).swapaxes(0, 1) for part in zip(*runs, strict=True)]
        first = dict(zip(self._data[1:], found[1:], strict=True))
        none = np.zeros((len(found[0]), len(self.directions), self.kernel.params["hidden"]), np.float32)
        return found[0], *(first.get(self._input(i), none) for i in (5, 6))

    def _run(self, x, seen, h, c) -> np.ndarray:
        """Float results of onnxruntime, [samples, steps, directions, hidden], or of the last cell states without steps."""
        found, last = np.empty_like(seen), np.empty_like(h)
        for d, (direction, session) in enumerate(zip(self.directions, self.steps, strict=True)):
            before, cell = h[:, d], c[:, d]
            for t in range(x.shape[1]) if direction == "forward" else range(x.shape[1])[::-1]:
                feed = {"x": x[None, :, t], "h": before[None]}
                if self.kernel.kind == "lstm":
                    y, after = session.run(None, feed | {"c": cell[None]})
                    cell = after[0]
                else:
                    (y,) = session.run(None, feed)
                found[:, t, d], before = y[0], seen[:, t, d]
            last[:, d] = cell
        return last if self.cell else found

    def _quantized(self, y: np.ndarray) -> np.ndarray:
        """Integers of the operator's result, which has the samples on axis 1 (of the last states) or 2."""
        y, name = (y.transpose(1, 0, 2) if self.cell else y.transpose(1, 2, 0, 3)), self.tail.get_inputs()[0].name
        rows = [y] if self.cut.batched else np.split(y, y.shape[-2], axis=-2)
        made = [self.tail.run(None, {name: np.ascontiguousarray(row)})[0] for row in rows]
        return np.concatenate(made if self.cut.batched else [m[None] for m in made]).astype(np.int64)

    # --- models ------------------------------------------------------------------------------------------------------

    def _input(self, index: int) -> str:
        return self.node.input[index] if index < len(self.node.input) else ""

    @cached_property
    def _data(self) -> list[str]:
        """Values that the operator reads and something computes: x, first states."""
        return [self._input(0), *(n for n in map(self._input, (5, 6)) if n)]

    def _head(self) -> onnx.ModelProto:
        graph = self.cut.model.graph
        ranks = [(n, 3) for n in self._data]
        return self._part(_behind(graph, self._data), list(graph.input), _values(ranks))

    def _tail(self) -> onnx.ModelProto:
        graph = self.cut.model.graph
        made = next(n for n in self.node.output if n)
        before = _behind(graph, [*self._data, made])
        rest = [n for n in graph.node if n not in before]
        return self._part(rest, _values([(made, 3 if self.cell else 4)]), list(graph.output))

    def _step(self, d: int) -> onnx.ModelProto:
        from onnx import helper, numpy_helper

        w, r, b = (a[d : d + 1].astype(np.float32) for a in self._weights)
        constants = {"w": w, "r": r, "b": b.reshape(1, -1)}
        lstm = self.kernel.kind == "lstm"
        names, results = (["x", "h", "c"], ["y", "d"]) if lstm else (["x", "h"], ["y"])
        kept = {a.name: helper.get_attribute_value(a) for a in self.node.attribute if a.name != "direction"}
        node = helper.make_node(self.node.op_type, ["x", *constants, "", *names[1:]], ["", *results], **kept)
        held = [numpy_helper.from_array(a, n) for n, a in constants.items()]
        infos = (_values([(n, 3) for n in part]) for part in (names, results))
        return self._model(helper.make_graph([node], "step", *infos, held))

    def _part(self, nodes, inputs, outputs) -> onnx.ModelProto:
        from onnx import helper

        read = {n for node in nodes for n in node.input}
        held = [c for c in self.cut.model.graph.initializer if c.name in read]
        return self._model(helper.make_graph(nodes, "part", inputs, outputs, held))

    def _model(self, graph) -> onnx.ModelProto:
        from onnx import helper

        model = self.cut.model
        return helper.make_model(graph, ir_version=model.ir_version, opset_imports=model.opset_import)


def _values(ranks: list[tuple[str, int]]) -> list:
    from onnx import TensorProto, helper

    return [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}_{s}" for s in _FLAT[:rank]]) for n, rank in ranks
    ]


def _behind(graph, values: list[str]) -> list:
    """The nodes that compute these values, in order."""
    wanted, nodes = set(values), []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    return nodes[::-1]
