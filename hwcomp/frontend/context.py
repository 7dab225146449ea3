"""What an operator's `convert` sees: the ONNX node, and the graph as far as it is built."""

from __future__ import annotations

import math
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from hwcomp.errors import BROKEN, OTHERWISE, ModelError, UnsupportedError, shown
from hwcomp.frontend.attributes import Attributes, text_of
from hwcomp.frontend.tensors import integer_type, type_name
from hwcomp.graph import Graph
from hwcomp.ops._limits import elements
from hwcomp.registry import OPS
from hwcomp.types import INTEGERS, Given, Node, QType, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from hwcomp.frontend.tensors import Weights

_DTYPES = {"float32": "float"}  # NumPy's name -> ours, where they differ
# Operators of one input whose result is a selection of its elements, as often as they like.
_MOVERS = ("Identity", "Reshape", "Slice", "Transpose")
# Elements of a computed constant that is no float: such values are shapes and indices.
_SHAPE_ELEMENTS = 1 << 20
# Elements of a list of axes, sizes or positions.
_LIST_ELEMENTS = 1 << 10
# Multiply-accumulates that may be spent on values that depend on no input.
_FOLD_MACS = 1 << 31


class OnnxNode:
    """A node of the model. `label` is what messages call it: its name, or its operator and place in the file."""

    def __init__(self, proto, index: int, opset: int):
        self.op_type = text_of(proto.op_type, "an operator's name")
        self.domain = text_of(proto.domain, "an operator's domain")
        self.opset = opset
        name = text_of(proto.name, "a node's name")
        self.label = name or f"{self.op_type} #{index}"
        self.inputs = _names(proto.input, "an input's name")
        self.outputs = _names(proto.output, "an output's name")
        self.outputs_listed = len(proto.output)  # with absent ones at the end
        self.attr = Attributes(self.label, proto.attribute)

    def seen_as(self, op_type: str, inputs: tuple[str, ...], output: str, version: int | None = None) -> OnnxNode:
        """This node as one of another operator (of opset `version`), with the same attributes: what its `convert` takes."""
        other = copy(self)
        other.opset = version or self.opset
        other.op_type, other.inputs, other.outputs, other.outputs_listed = op_type, inputs, (output,), 1
        return other

    def model_error(self, what: str, why: str = "", fix: str = "") -> ModelError:
        return ModelError(what, node=self.label, why=why, fix=fix or BROKEN)

    def unsupported(self, what: str, why: str = "", fix: str = "") -> UnsupportedError:
        return UnsupportedError(what, node=self.label, why=why, fix=fix or OTHERWISE)

    def input(self, index: int) -> str:
        """Name of an input; "" where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def expect(
        self,
        inputs: tuple[int, int],
        extra_outputs: str = "only its first output is available",
        *,
        many_outputs: bool = False,
    ) -> None:
        """Check the number of inputs (required, most) and of outputs: one, or with `many_outputs` any number.

        `extra_outputs` says why one is all there is.
        """
        required, most = inputs
        if len(self.inputs) > most or not all(self.input(i) for i in range(required)):
            given = sum(map(bool, self.inputs))
            wanted = str(required) if required == most else f"{required} to {most}"
            raise self.model_error(f"{self.op_type} has {given} inputs", f"it takes {wanted} in opset {self.opset}")
        if not any(self.outputs) or not (self.outputs[0] or many_outputs):
            raise self.model_error(f"{self.op_type} has no output")
        if len(self.outputs) > 1 and not many_outputs:
            fix = "remove the others if nothing needs them"
            raise self.unsupported(f"{self.op_type} has more than one output", extra_outputs, fix)

    def axes(self, values: Iterable[int], rank: int) -> tuple[int, ...]:
        """Axes counted from 0, in the given order. ModelError where one is not there or is given twice."""
        values = tuple(values)
        if any(not -rank <= v < rank for v in values) or len({v % rank for v in values}) < len(values):
            why = f"the tensor has {rank} dimensions, and each axis may be given once"
            raise self.model_error(f"axes {list(values[:8])} of {self.op_type} are impossible", why)
        return tuple(v % rank for v in values)


def _names(values, what: str) -> tuple[str, ...]:
    """Names without the absent ones at the end."""
    names = [text_of(v, what) for v in values]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


class ImportContext:
    """The graph under construction. `batched`: axis 0 of every value that depends on an input is the batch."""

    def __init__(
        self, *, batched: bool, weights: Weights, taken: set[str], read: Collection[str], symbolic: bool = False
    ):
        """`taken`: every tensor name of the model, which new constants must avoid; `read`: those that a node reads, and the
        outputs. `symbolic`: the batch has a name, no size.
        """
        self.batched, self.symbolic, self.read = batched, symbolic, frozenset(read)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self._weights = weights
        self._tensor_names = dict.fromkeys(taken, 1)
        self._node_names: dict[str, int] = {}
        self._finite: set[str] = set()
        self._derived: dict[Any, str] = {}
        self._fold_macs = _FOLD_MACS
        self._batch_axes: dict[str, int] = {}
        self._roots: dict[str, str] = {}  # tensors of integers -> the first one with the same type

    # What operators ask

    def tensor(self, node: OnnxNode, index: int) -> Tensor:
        """The tensor at an input that must be present."""
        return self.tensors[node.input(index)]

    def batch_axis(self, name: str) -> int:
        """Where ONNX has the batch of a tensor, which is axis 0 in the graph (batch_axis.py)."""
        return self._batch_axes.get(name, 0)

    def place_batch(self, name: str, axis: int) -> None:
        """Note that the batch of tensor `name` is another axis in ONNX."""
        if name and axis:
            self._batch_axes[name] = axis

    def is_constant(self, name: str) -> bool:
        return self.tensors[name].is_constant

    def constant(
        self, node: OnnxNode, index: int, what: str, dtype: str = "float", *, finite: bool = True
    ) -> np.ndarray:
        """Values of an input that must be constant. UnsupportedError where they depend on the network's input.

        `finite`: infinities and NaN are a ModelError.
        """
        tensor = self.tensor(node, index)
        if tensor.data is None:
            why = f"'{shown(tensor.name)}' depends on an input of the network"
            raise node.unsupported(f"the {what} of {node.op_type} is not a constant", why)
        if tensor.dtype != dtype:
            kind = "float32" if dtype == "float" else dtype
            raise node.model_error(f"the {what} of {node.op_type} holds {tensor.dtype} values", f"it must be {kind}")
        if finite:
            self.check_finite(tensor, node.label)
        return tensor.data

    def integers(self, node: OnnxNode, index: int, what: str) -> list[int]:
        """Values of an input that must be a constant int64 vector: axes, sizes, positions."""
        array = self.constant(node, index, what, dtype="int64")
        if array.ndim != 1:
            raise node.model_error(f"the {what} of {node.op_type} has shape {list(array.shape)}", "it must be a vector")
        if array.size > _LIST_ELEMENTS:
            raise node.model_error(f"the {what} of {node.op_type} has {array.size} values")
        return array.tolist()

    def axes(self, node: OnnxNode, index: int, *, rank: int, since: int) -> tuple[int, ...] | None:
        """The attribute `axes`, or from opset `since` on the input `index`, counted from 0; None where absent."""
        if node.opset >= since:
            return node.axes(self.integers(node, index, "axes"), rank) if node.input(index) else None
        return node.axes(node.attr.integers("axes"), rank) if node.attr.has("axes") else None

    def values(self, node: OnnxNode) -> list[np.ndarray] | None:
        """All inputs of `node`, or None unless all are constant."""
        tensors = [self.tensors[name] for name in node.inputs if name]
        return [t.data for t in tensors] if all(t.is_constant for t in tensors) else None

    def keep_batch_under_broadcast(self, node: OnnxNode, first: str, second: str) -> None:
        """UnsupportedError where broadcasting the two against each other would move or stretch the batch axis."""
        a, b = self.tensors[first], self.tensors[second]
        if b.is_constant:
            wrong = len(b.shape) > len(a.shape) or (len(b.shape) == len(a.shape) and b.shape[:1] != (1,))
        else:
            wrong = len(a.shape) != len(b.shape)
        if wrong:
            why = f"broadcasting {list(a.shape)} with {list(b.shape)} changes the batch axis"
            raise node.unsupported(
                f"{node.op_type} of tensors of different rank or batch size",
                why,
                "give both the batch as axis 0, and axes of 1 where they are repeated",
            )

    # What operators make

    def node(self, source: OnnxNode, op: str, inputs: tuple[str, ...], attrs: Any = None, output: str = "") -> Node:
        """A graph node that writes the output of `source`, or `output`."""
        outputs = (output,) if output else source.outputs
        return Node(op, self._unique(source.label, self._node_names), tuple(inputs), outputs, attrs, (source.label,))

    def inserted(self, wish: str) -> str:
        """A name for a tensor that is not in the model: `wish`, or that with a number."""
        return self._unique(wish, self._tensor_names)

    def read_tensor(self, node: OnnxNode, proto) -> np.ndarray:
        """Values of a TensorProto that is an attribute of `node`."""
        return self._weights.read(proto, f"a tensor of {node.op_type}", node.label)

    integer_type, type_name = staticmethod(integer_type), staticmethod(type_name)

    def spend(self, count: int, what: str, label: str) -> None:
        """Count elements of a new constant. ModelError where those of the model become too many."""
        self._weights.spend(count, what, label)

    def define(
        self, node: OnnxNode, name: str, array: np.ndarray, given: Given | None = None, stored: str = ""
    ) -> None:
        """Make output `name` of `node` a constant."""
        elements(array.shape, f"tensor '{shown(name)}'", node.label)
        self.add_constant(name, array, given, stored)

    def compute(self, node: OnnxNode, shape: tuple[int, ...], dtype: Any, make: Callable[[], np.ndarray]) -> None:
        """Make the output of `node` a constant: `make` is called when its size is known to be acceptable."""
        what = f"tensor '{shown(node.outputs[0])}'"
        count = elements(shape, what, node.label)
        if np.dtype(dtype) != np.float32 and count > _SHAPE_ELEMENTS:
            why = f"computed shapes and indices may have {_SHAPE_ELEMENTS} elements"
            raise node.model_error(f"{what} is too large (shape {'x'.join(map(str, shape))})", why)
        self._weights.spend(count, "a computed constant", node.label)
        with np.errstate(all="ignore"):
            array = np.ascontiguousarray(make(), dtype).reshape(shape)
        self.add_constant(node.outputs[0], array)

    def derived(self, key: Any, node: OnnxNode, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> str:
        """Name of a float32 constant computed from others; the same `key` gives the same constant, made once."""
        if key not in self._derived:
            self._weights.spend(math.prod(shape), f"the weight of {node.op_type}", node.label)
            with np.errstate(all="ignore"):
                array = np.ascontiguousarray(make(), np.float32)
            self._derived[key] = self._unique(f"{key[1]}__{node.op_type.lower()}", self._tensor_names)
            self.add_constant(self._derived[key], array)
        return self._derived[key]

    def moved(
        self, key: Any, node: OnnxNode, name: str, shape: tuple[int, ...], move: Callable, factor: float = 1.0
    ) -> str:
        """Name of a constant whose elements are those of `name`, as `move` orders, repeats or shapes an array of them, times
        `factor`. The integers that a model states for `name` go with them.
        """
        source = self.tensors[name]
        made = self.derived(key, node, shape, lambda: move(source.data) * np.float32(factor))
        if source.given is not None:
            self.tensors[made] = self.tensors[made].with_(given=source.given.moved(move).times(np.asarray(factor)))
        return made

    def state(self, name: str, qtype: QType) -> QType:
        """The type of the integers `name`: where nothing has said it yet (an input of the graph), it is `qtype`."""
        known = self.tensors[name].qtype
        if known is not None:
            return known
        same = [n for n, root in self._roots.items() if root == self._roots.get(name, name)]
        for other in {name, *same}:
            self.tensors[other] = self.tensors[other].with_(qtype=qtype)
        return qtype

    # What the importer does

    def type_the_rest(self) -> None:
        """Integers that the model never says the scale of stand for themselves."""
        for name, tensor in list(self.tensors.items()):
            if tensor.stored and tensor.qtype is None and not tensor.is_constant:
                self.state(name, QType(*INTEGERS[tensor.stored], "affine", (1.0,)))

    def add_constant(self, name: str, array: np.ndarray, given: Given | None = None, stored: str = "") -> None:
        """`stored`: the ONNX type where the array is integers of a quantized model."""
        array.flags.writeable = False
        dtype = _DTYPES.get(array.dtype.name, array.dtype.name)
        self.tensors[name] = Tensor(name, tuple(array.shape), dtype, array, given=given, stored=stored)

    def check_finite(self, tensor: Tensor, label: str | None) -> None:
        """ModelError where a constant holds NaN or infinity."""
        if tensor.name in self._finite:
            return
        wrong = tensor.data.size - int(np.count_nonzero(np.isfinite(tensor.data)))
        if wrong:
            what, why = (
                f"constant '{shown(tensor.name)}' is not finite",
                f"{wrong} of {tensor.data.size} values are not",
            )
            raise ModelError(what, node=label, why=why, fix="train or export the model again")
        self._finite.add(tensor.name)

    def append(self, node: Node) -> None:
        """Add a node of the graph, with the types of its outputs. One that reads constants only is computed here."""
        op, label = OPS[node.op], node.origin[0]
        inputs = [self.tensors[name] if name else None for name in node.inputs]
        outputs = op.infer(node, inputs)
        for tensor in outputs:
            elements(tensor.shape, f"tensor '{shown(tensor.name)}'", label)
        if all(t is None or t.is_constant for t in inputs):
            self._fold(node, inputs, outputs)
            return
        outputs = [self._held(node, inputs, tensor) for tensor in outputs]
        for tensor in outputs:
            if self.batched and tensor.shape[:1] != (1,):
                why = f"{node.op} makes shape {list(tensor.shape)}, whose first axis is not the batch of 1"
                raise UnsupportedError(
                    f"tensor '{shown(tensor.name)}' has lost the batch axis",
                    node=label,
                    why=why,
                    fix="keep the batch as axis 0 (Reshape to [0, ...] or [-1, ...], Squeeze of other axes)",
                )
            self.tensors[tensor.name] = tensor
        self.nodes.append(node)

    def _held(self, node: Node, inputs: list[Tensor | None], out: Tensor) -> Tensor:
        """The output of a node that reads integers of a quantized model: what only moves them makes such integers."""
        held = [t for t in inputs if t is not None and t.stored and not t.is_constant]
        if not held or OPS[node.op].reads_integers:
            return out
        first, label = held[0], node.origin[0]
        if not OPS[node.op].ties_types or len(held) < sum(t is not None and not t.is_constant for t in inputs):
            raise UnsupportedError(
                f"{node.op} of the integers '{shown(first.name)}'", node=label,
                why=f"they are {first.stored}; only operators that move elements are taken on integers",
                fix="put a DequantizeLinear in front of it and a QuantizeLinear behind it",
            )  # fmt: skip
        typed = next((t for t in held if t.qtype is not None), first)
        for other in held:
            if other.stored != first.stored or (
                typed.qtype is not None and self.state(other.name, typed.qtype) != typed.qtype
            ):
                why = "their scales or zero points differ"
                raise UnsupportedError(
                    f"{node.op} joins the integers '{shown(first.name)}' and '{shown(other.name)}'", node=label, why=why
                )
        if typed.qtype is None:
            self._join([out.name, *(t.name for t in held)])
        return out.with_(stored=first.stored, qtype=typed.qtype)

    def _join(self, names: list[str]) -> None:
        """These tensors of integers have one type, which is not known yet."""
        roots = {self._roots.get(name, name) for name in names}
        self._roots.update(dict.fromkeys(names, names[0]))
        self._roots.update({n: names[0] for n, root in self._roots.items() if root in roots})

    def _fold(self, node: Node, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
        """Compute a node of constants: operators need constant weights and shapes, however the exporter wrote them."""
        label = node.origin[0]
        view = Graph({t.name: t for t in (*inputs, *outputs) if t}, (node,), (), node.outputs, False)
        self._fold_macs -= OPS[node.op].cost(node, view).macs
        self._weights.spend(sum(math.prod(t.shape) for t in outputs), "a computed constant", label)
        if self._fold_macs < 0:
            raise ModelError("computing the constants of the model takes too long", node=label)
        with np.errstate(all="ignore"):
            arrays = OPS[node.op].evaluate(node, [None if t is None else t.data for t in inputs])
        given = inputs[0].given if node.op in _MOVERS else None
        if given is not None:
            shape = outputs[0].shape
            given = given.moved(lambda a: OPS[node.op].evaluate(node, [a])[0].reshape(shape))
        for tensor, array in zip(outputs, arrays, strict=True):
            stored = inputs[0].stored if node.op in _MOVERS else ""
            self.add_constant(tensor.name, np.ascontiguousarray(array).reshape(tensor.shape), given, stored)

    @staticmethod
    def _unique(wish: str, taken: dict[str, int]) -> str:
        """`wish`, or `wish_2` and so on. `taken` counts what was given out, so that equal wishes take constant time."""
        name = wish
        while name in taken:
            taken[wish] += 1
            name = f"{wish}_{taken[wish]}"
        taken[name] = 1
        return name
