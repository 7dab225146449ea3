"""What a pass is, and what passes may consult besides the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from hwcomp.errors import UsageError
from hwcomp.graph import Graph
from hwcomp.passes._stages import Stage
from hwcomp.pixels import Pixels
from hwcomp.types import Node, Tensor

Kind = Literal["exact", "algebraic", "lossy"]
DOT = ("Conv", "Dense")


@dataclass(frozen=True)
class Tuned:
    """What lossy passes may consult of a target under `--tune-for`.

    `saves`: the cost that a scan of the sensitivity counts (hwcomp.passes._costs). `steps(graph)`: by the output of each dot
    product, how many rows and columns of a group fill the lanes. `block(graph)`: rows x columns of weights that are skipped
    together.
    """

    saves: str
    steps: Callable[[Graph], dict[str, tuple[int, int]]]
    block: Callable[[Graph], str]


@dataclass(frozen=True)
class ZeroCost:
    """What a target takes of one network by where its weights are zero. Masks: bool [groups, rows, taps, channels] by the output of
    each dot product, False where a weight is zero; taps are positions of a window, or pixels of the maps that features come from.

    `total(masks)`: of the network; layers that are not named have no zeros. `layer(name, mask)`: of one layer, as a scan of the
    sensitivity counts it. `why(name, mask)`: why zeros in these places save what they save.
    """

    total: Callable[[dict[str, np.ndarray]], float]
    layer: Callable[[str, np.ndarray], float]
    why: Callable[[str, np.ndarray], str]


@dataclass
class PassContext:
    """Data for the passes, and the record of what they did.

    `calibration`: float arrays [samples, *shape] by input name (shape without the batch axis), or None.
    `input_ranges`: real (lo, hi) by input name, as the user gave them. `notes`: lines for the report, by pass name.
    `input_types`: inputs that hold raw pixels.
    `quant`: the `--quant` value, or that of `--rest` for a model that is already quantized; some calibration methods depend
    on it too. `requantize`: whether the types that such a model states are dropped, `keeps`: whether it has some, which stay.
    `observed`: real (lo, hi) by tensor name, filled by `calibrate`. `float_graph`: what `quantize` was given, node by node
    what its result stands for; the corrections behind it aim at that. `labels`: int64 [samples], classes of the calibration
    samples, or None. `gamma`: |scale| [channels] of the BatchNormalization that is folded into weights, by their name.
    `chosen`: constants of the float graph whose integers a pass has chosen: no later one may change them. `stages`: the
    network as it was, and behind each pass that took weights or made zeros. `hardware`: cost models of the Verilog product
    by name (hwcomp.tuning.costs), `zeros` those by where weights are zero, of all targets. `tuned`: of the target that the options name.
    """

    calibration: dict[str, np.ndarray] | None = None
    input_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    input_types: dict[str, Pixels] = field(default_factory=dict)
    logits: bool = False
    quant: str = "int8"
    requantize: bool = False
    notes: dict[str, list[str]] = field(default_factory=dict)
    observed: dict[str, tuple[float, float]] = field(default_factory=dict)
    float_graph: Graph | None = None
    labels: np.ndarray | None = None
    gamma: dict[str, np.ndarray] = field(default_factory=dict)
    chosen: set[str] = field(default_factory=set)
    stages: list[Stage] = field(default_factory=list)
    hardware: dict[str, Callable[[Graph], Callable[[Graph], int]]] = field(default_factory=dict)
    zeros: dict[str, Callable[[Graph], ZeroCost]] = field(default_factory=dict)
    tuned: Tuned | None = None
    keeps: bool = False
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    warn: Callable[[str], None] = lambda text: None

    def note(self, name: str, text: str) -> None:
        self.notes.setdefault(name, []).append(text)


def stated(what: str, node: str | None, ctx: PassContext) -> UsageError:
    """The refusal of other weights than those that the model itself states, at `node` first."""
    if ctx.keeps:
        why, fix = "it would choose other weights than the integers that the model states", "add --requantize"
        return UsageError(f"{what} of a model that is already quantized", node=node, why=why, fix=fix)
    fix = "compress the float network that the model was made from"
    return UsageError(f"{what} of a layer with binary or few values, which the model itself states", node=node, fix=fix)


@dataclass(frozen=True)
class Pass:
    """A transformation `run(graph, ctx) -> graph` that leaves its input alone.

    `kind`: exact (integers: no bit changes), algebraic (floats: within 1e-5 of a tensor's largest value), lossy (the
    change is recorded). Fields are options (`--pass name.field=value`). `required` passes can't be switched off;
    those whose `enabled` is False run where they are asked for (`--pass name.enabled=true`).
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    required: ClassVar[bool] = False
    enabled: bool = True

    def run(self, graph: Graph, ctx: PassContext) -> Graph:
        raise NotImplementedError


def free_name(tensors: dict[str, Tensor], wish: str) -> str:
    """`wish`, or `wish` and a number where a tensor of that name exists."""
    name, n = wish, 0
    while name in tensors:
        n += 1
        name = f"{wish}_{n}"
    return name


def constant(tensors: dict[str, Tensor], wish: str, data: np.ndarray) -> Tensor:
    """A new constant tensor, under a name derived from `wish` that is not taken; it is added to `tensors`."""
    name = free_name(tensors, wish)
    dtype = "float" if data.dtype.kind == "f" else data.dtype.name
    tensor = Tensor(name, tuple(data.shape), dtype, data)
    tensors[name] = tensor
    return tensor


def free_dot(node: Node) -> bool:
    """Whether a node is a dot product whose weights are not of few bits by the model's own word."""
    return node.op in DOT and not node.attrs.steps


def weight_and_bias(node: Node, tensors: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """float64 weights of a dot product, and biases [channels]: zeros where it has none."""
    weight = tensors[node.inputs[1]].data.astype(np.float64)
    bias = tensors[node.inputs[2]].data.astype(np.float64) if node.inputs[2] else np.zeros(len(weight))
    return weight, bias
