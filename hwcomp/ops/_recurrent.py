"""What LSTM and GRU share: attributes, shapes, types of the states, and the outputs that come from the hidden states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwcomp.ops._chain import Chain
from hwcomp.ops._checks import bad, need_float, result
from hwcomp.ops.base import Cost, Op
from hwcomp.ops.concat import ConcatAttrs
from hwcomp.ops.slice import SliceAttrs

_DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}
# Axis of the batch in ONNX's tensors of layout 0, by the number of the input or output.
_BATCH_OF_INPUT, _BATCH_OF_OUTPUT = {0: 1, 5: 1, 6: 1}, (2, 1, 1)


@dataclass(frozen=True)
class RecurrentAttrs:
    """`directions`: "forward" and "reverse", one or both; `hidden`: values of the state; `length`: steps of time.

    `batched`: the tensors have a batch axis in front ([1, length, input], [1, length, directions, hidden]), else ONNX's
    own of 1 ([length, 1, input], [length, directions, 1, hidden]). `output`: "hidden" states or last "cell" states.
    """

    directions: tuple[str, ...]
    hidden: int
    length: int
    batched: bool
    linear_before_reset: bool = False
    output: str = "hidden"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        time = (self.length,) if self.output == "hidden" else ()
        d = len(self.directions)
        return (1, *time, d, self.hidden) if self.batched else (*time, d, 1, self.hidden)


class Recurrent(Op):
    """Inputs (x, W [D, rows, input], R [D, rows, hidden], B [D, 2*rows] or "", y or "", first h or "", first c or "").

    W, R and B are constants, in the order of ONNX's gates; quantized, W and R are [D*rows, ...]. y: the hidden states,
    where the cell states are the output, or what the products with R see instead of the states computed here.
    """

    recurs = True
    gates: int
    activations: tuple[str, ...]
    note = "default activations; no peepholes, no clip, no sequence lengths"

    def convert(self, node, ctx):
        node.expect(inputs=(3, 8 if self.name == "LSTM" else 6), many_outputs=True)
        a = self._attributes(node, ctx)
        given = [node.input(i) for i in range(8)]
        for i, shape in ((1, (a.gates, a.input)), (2, (a.gates, a.hidden)), (3, (2 * a.gates,))):
            if given[i]:
                found = ctx.constant(node, i, "WRB"[i - 1]).shape
                if found != (len(a.directions), *shape):
                    want = [len(a.directions), *shape]
                    raise node.model_error(
                        f"'{'WRB'[i - 1]}' of {self.name} has shape {list(found)}", f"it must be {want}"
                    )
        if given[4]:
            lengths = ctx.tensor(node, 4)
            if not lengths.is_constant or (lengths.data != a.length).any():
                why = "all sequences have the length of the input's time axis"
                raise node.unsupported(
                    f"sequence_lens of {self.name}", why, "leave it out, and run the steps that there are"
                )
        if given[7]:
            raise node.unsupported(
                f"{self.name} with peepholes (input P)", "gates that read the cell state are not available",
                "train it without peepholes",
            )  # fmt: skip
        attrs = RecurrentAttrs(a.directions, a.hidden, a.length, a.batched, a.reset)
        return self._outputs(node, ctx, given, attrs, a.layout)

    def _attributes(self, node, ctx):
        directions = _DIRECTIONS[node.attr.text("direction", "forward", tuple(_DIRECTIONS))]
        layout = node.attr.flag("layout", False) if node.opset >= 14 else False
        functions = node.attr.texts("activations") if node.attr.has("activations") else ()
        if functions and tuple(f.lower() for f in functions) != tuple(f.lower() for f in self.activations) * len(
            directions
        ):
            raise node.unsupported(
                f"activations {list(functions)} of {self.name}", f"only {', '.join(self.activations)} are available",
                "train it with these",
            )  # fmt: skip
        for name in ("activation_alpha", "activation_beta"):
            if node.attr.has(name):
                node.attr.reals(name)  # sigmoid and tanh have none
        if node.attr.has("clip"):
            raise node.unsupported(f"clip of {self.name}", "its cells are not clipped", "export it without clip")
        if self.name == "LSTM" and node.attr.flag("input_forget", False):
            raise node.unsupported("input_forget=1", "coupled gates are not available")
        reset = self.name == "GRU" and node.attr.flag("linear_before_reset", False)
        x, w = ctx.tensor(node, 0), ctx.constant(node, 1, "W")
        if len(x.shape) != 3 or w.ndim != 3 or w.shape[1] % self.gates:
            why = f"the input is {list(x.shape)}, W {list(w.shape)}"
            raise node.model_error(f"input and weights of {self.name} do not fit", why)
        hidden = w.shape[1] // self.gates
        if node.attr.integer("hidden_size", hidden) != hidden:
            raise node.model_error(f"hidden_size of {self.name} is not that of W, {hidden}")
        return _Read(ctx, node, x, directions, hidden, self.gates * hidden, bool(layout), reset)

    def _outputs(self, node, ctx, given, attrs, layout):
        # Exporters name all outputs; last states that nothing reads would be a second pass over the sequence.
        names = [name if name in ctx.read else "" for name in (*node.outputs, "", "", "")][:3]
        if self.name != "LSTM" and any(node.outputs[2:]):
            raise node.model_error("GRU has three outputs", "it makes two")
        y = names[0] or ctx.inserted(f"{names[1] or names[2] or node.label}__hidden")
        made = [ctx.node(node, self.name, (*given[:4], "", given[5], given[6]), attrs, y)]
        if names[2]:
            last = RecurrentAttrs(attrs.directions, attrs.hidden, attrs.length, attrs.batched, output="cell")
            made.append(ctx.node(node, self.name, (*given[:4], y, given[5], given[6]), last, names[2]))
        if names[1]:
            made += self._last(node, ctx, y, names[1], attrs)
        if attrs.batched and not layout:
            for name, axis in zip(names, _BATCH_OF_OUTPUT, strict=True):
                ctx.place_batch(name, axis)
        return made

    @staticmethod
    def _last(node, ctx, y, target, attrs):
        """The hidden states behind the last step of each direction, out of all of them."""
        time, d = (1, 2) if attrs.batched else (0, 1)
        parts, made = [], []
        for i, direction in enumerate(attrs.directions):
            at = attrs.length - 1 if direction == "forward" else 0
            chain = Chain(node, ctx, y).add("Slice", SliceAttrs(time, at, at + 1))
            if len(attrs.directions) > 1:
                chain.add("Slice", SliceAttrs(d, i, i + 1))
            parts.append(ctx.inserted(f"{target}__{direction}"))
            made += chain.nodes(parts[-1])
        joined = parts[0]
        if len(parts) > 1:
            joined = ctx.inserted(f"{target}__both")
            made.append(ctx.node(node, "Concat", tuple(parts), ConcatAttrs(d), joined))
        shape = list(attrs.shape)
        del shape[time]
        return [*made, *Chain(node, ctx, joined).reshape(*shape).nodes(target)]

    def infer(self, node, inputs):
        need_float(node, inputs[0], *inputs[4:])
        a, x = node.attrs, inputs[0]
        if x.shape[:2] != ((1, a.length) if a.batched else (a.length, 1)):
            raise bad(
                node,
                f"{self.name} of a tensor of shape {list(x.shape)}",
                f"it must hold {a.length} steps of one sample",
            )
        for state in inputs[5:]:
            if state is not None and math.prod(state.shape) != len(a.directions) * a.hidden:
                why = f"{len(a.directions)} x {a.hidden} values are needed"
                raise bad(node, f"a first state of {self.name} has shape {list(state.shape)}", why)
        return result(node, a.shape)

    def evaluate(self, node, inputs):
        a = node.attrs
        x, w, r, b, y, h, c = (*inputs, None, None)[:7]
        samples = x.size // (a.length * x.shape[-1])
        d = len(a.directions)
        w, r = w.reshape(d, self.gates * a.hidden, -1), r.reshape(d, self.gates * a.hidden, -1)
        b = np.zeros((d, 2, self.gates * a.hidden), x.dtype) if b is None else b.reshape(d, 2, -1)
        x = x.reshape(samples, a.length, -1)
        h, c = (
            np.zeros((samples, d, a.hidden), x.dtype) if s is None else np.broadcast_to(s.reshape(-1, d, a.hidden), (samples, d, a.hidden))
            for s in (h, c)
        )  # fmt: skip
        ready = None if y is None else y.reshape(samples, a.length, d, a.hidden)
        hs, cs = np.empty((samples, a.length, d, a.hidden), x.dtype), np.empty((samples, d, a.hidden), x.dtype)
        for i, direction in enumerate(a.directions):
            seen, cell = h[:, i], c[:, i] if self.name == "LSTM" else h[:, i]
            for t in range(a.length) if direction == "forward" else range(a.length - 1, -1, -1):
                hs[:, t, i], cell = self.step(x[:, t], seen, cell, w[i], r[i], b[i], a)
                seen = hs[:, t, i] if ready is None else ready[:, t, i]
            cs[:, i] = cell
        found = hs if a.output == "hidden" else cs
        return [found.reshape(samples, *a.shape[1:]) if a.batched else found.reshape(a.shape)]

    def step(self, x, h, c, w, r, b, attrs):
        """One step: (hidden state, cell state) [samples, hidden] from the input [samples, input] and those before.

        `h` is what the products with R see; a GRU's cell state is the hidden state itself.
        """
        raise NotImplementedError

    def interval(self, node, inputs, graph):
        a = node.attrs
        ends = (-1.0, 1.0) if a.output == "hidden" else (-float(a.length), float(a.length))
        index = {"GRU": 5, "LSTM": 6 if a.output == "cell" else 0}[self.name]
        if index and index < len(node.inputs) and node.inputs[index]:
            tensor, state = graph.tensors[node.inputs[index]], inputs[index]
            first = (
                (float(tensor.data.min()), float(tensor.data.max()))
                if tensor.is_constant
                else state or (-np.inf, np.inf)
            )
            low, high = min(first[0], 0.0), max(first[1], 0.0)
            return (low + ends[0], high + ends[1]) if a.output == "cell" else (min(low, ends[0]), max(high, ends[1]))
        return ends

    def stored_alike(self, node):
        return node.inputs[5:6] if node.attrs.output == "hidden" else ()

    def lower(self, node, ctx):
        ctx.recurrent(node)

    def cost(self, node, graph):
        sizes = [graph.tensors[n].data.size for n in node.inputs[1:4] if n]
        return Cost(macs=sum(sizes[:2]) * node.attrs.length, ops=0, params=sum(sizes))


class _Read:
    """Attributes and sizes of one node. The batch is axis 0 of the graph's tensors, wherever ONNX has it."""

    def __init__(self, ctx, node, x, directions, hidden, gates, layout, reset):
        self.directions, self.hidden, self.gates, self.layout, self.reset = directions, hidden, gates, layout, reset
        self.input = x.shape[2]
        self.batched = ctx.batched
        if ctx.batched:
            self.length = x.shape[1]
            if not layout:
                self._need_time_first(ctx, node)
        else:
            time, batch = (1, 0) if layout else (0, 1)
            self.length = x.shape[time]
            if x.shape[batch] != 1:
                why = f"its input is {list(x.shape)}"
                raise node.unsupported(
                    f"{node.op_type} of a fixed batch of {x.shape[batch]}", why, "export it with a batch of 1"
                )
            if layout and self.length != 1:
                raise node.unsupported(
                    "layout=1 in a model without a batch axis", "", "give the input a leading axis of 1"
                )

    @staticmethod
    def _need_time_first(ctx, node):
        """Layout 0: the batch must be axis 1 of ONNX's tensors; of a single step, either is right."""
        for index, axis in _BATCH_OF_INPUT.items():
            name = node.input(index)
            if not name or ctx.is_constant(name) or ctx.batch_axis(name) == axis:
                continue
            shape = ctx.tensors[name].shape
            if ctx.batch_axis(name) == 0 and shape[:2] == (1, 1) and not ctx.symbolic:
                continue
            raise node.unsupported(
                f"{node.op_type} takes axis 0 of '{name}' for time", f"axis {axis} must be the batch, it is axis {ctx.batch_axis(name)}",
                "put a Transpose in front of it, or export it with a fixed number of steps",
            )  # fmt: skip
