"""Inputs and outputs of the graph: types, shapes, and which axis is the batch."""

from __future__ import annotations

from collections.abc import Collection

from hwcomp.errors import BROKEN, ModelError, UnsupportedError, shown
from hwcomp.frontend.attributes import text_of
from hwcomp.frontend.tensors import type_name
from hwcomp.ops._limits import MAX_RANK, elements
from hwcomp.types import INTEGERS, Tensor

# A size that is known, the name of a symbolic one, or "" for one that has neither.
Dim = int | str


def declared_shape(value, what: str) -> tuple[str, tuple[Dim, ...] | None]:
    """Element type name and shape (None: not given) of a ValueInfoProto that must be a tensor."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        given = (kind or "no type").replace("_type", "").replace("_", " ")
        raise UnsupportedError(f"{what} is not a tensor ({given})", why="only dense tensors are available")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return type_name(tensor.elem_type), None
    if len(tensor.shape.dim) > MAX_RANK:
        raise ModelError(f"{what} has {len(tensor.shape.dim)} dimensions", why=f"at most {MAX_RANK} are taken")
    dims = []
    for dim in tensor.shape.dim:
        held = dim.WhichOneof("value")
        dims.append(dim.dim_value if held == "dim_value" else text_of(dim.dim_param, "the name of a dimension"))
    return type_name(tensor.elem_type), tuple(dims)


def read_inputs(values, time_first: Collection[str] = ()) -> tuple[list[Tensor], bool, bool, dict[str, int]]:
    """Tensors of the graph's inputs, whether axis 0 is the batch, whether that is symbolic, and where else ONNX has it.

    Axis 0 is the batch where every input has it symbolic or 1; it becomes 1. Inputs of rank 1 with a fixed size make a
    model without a batch. Inputs that disagree, a fixed batch above 1 and other symbolic sizes are refused. Inputs in
    `time_first`, which recurrent operators read, have the batch on axis 1 where that is 1 or symbolic and axis 0 is neither.
    """
    axes: dict[str, int] = {}
    shapes: dict[str, tuple[Dim, ...]] = {}
    kinds: dict[str, str] = {}
    for value in values:
        name = text_of(value.name, "an input's name")
        kind, shape = declared_shape(value, f"input '{shown(name)}'")
        if kind != "FLOAT" and kind not in INTEGERS:
            why = f"inputs must be float32 (FLOAT), or quantized ({', '.join(INTEGERS)})"
            raise UnsupportedError(f"input '{shown(name)}' has the type {kind}", why=why)
        if shape is None:
            raise ModelError(f"input '{shown(name)}' has no shape", fix="export the model with its input shapes")
        elements([size for size in shape if isinstance(size, int)], f"input '{shown(name)}'")
        if name in time_first and len(shape) == 3 and _may_be_batch(shape[1]) and not _may_be_batch(shape[0]):
            axes[name], shape = 1, (shape[1], shape[0], shape[2])
        shapes[name], kinds[name] = shape, "" if kind == "FLOAT" else kind
    batched = _is_batched(shapes)
    tensors = []
    for name, shape in shapes.items():
        fixed = (1, *shape[1:]) if batched else shape
        for axis, size in enumerate(fixed):
            if isinstance(size, str):
                called = f"the symbolic size '{shown(size)}'" if size else "an unknown size"
                raise UnsupportedError(
                    f"input '{shown(name)}' has {called} on axis {axis}",
                    why="only the batch on axis 0 may be symbolic",
                    fix="export the model with fixed sizes",
                )
        tensors.append(Tensor(name, fixed, stored=kinds[name]))
    return tensors, batched, batched and any(isinstance(shape[0], str) for shape in shapes.values()), axes


def _may_be_batch(size: Dim) -> bool:
    return size == 1 or isinstance(size, str)


def _is_batched(shapes: dict[str, tuple[Dim, ...]]) -> bool:
    without = []
    for name, shape in shapes.items():
        first = shape[0] if shape else None
        if isinstance(first, int) and first > 1 and len(shape) > 1:
            fix = "export it with a batch of 1 or a symbolic batch"
            why = "axis 0 is the batch axis, which must be 1 or symbolic"
            raise UnsupportedError(f"input '{shown(name)}' has a fixed batch of {first}", why=why, fix=fix)
        if not shape or (isinstance(first, int) and first > 1):
            without.append(name)
    # A lone [1] beside inputs that have no batch is one value, not a batch.
    has = [n for n, shape in shapes.items() if n not in without and not (without and shape == (1,))]
    if without and has:
        why = f"'{shown(has[0])}' has a batch axis, '{shown(without[0])}' has none"
        raise UnsupportedError(
            "the inputs disagree about the batch axis", why=why, fix="give all inputs a batch axis of 1"
        )
    return not without


def check_output(value, tensor: Tensor, batched: bool, at: int = 0, node: str | None = None) -> None:
    """ModelError where a declared output is not what the graph computes; a symbolic size or batch matches anything.

    `at`: the axis that ONNX has the batch on; `node`: what messages call the node that makes it.
    """
    what = f"output '{shown(tensor.name)}'"
    kind, shape = declared_shape(value, what)
    computed = tensor.stored or {"float": "FLOAT", "int64": "INT64", "bool": "BOOL"}[tensor.dtype]
    if kind != computed:
        fix = "multiply integer results by their scale in the model" if kind in INTEGERS or kind == "INT32" else BROKEN
        raise ModelError(f"{what} is declared as {kind}, the graph computes {computed}", node=node, fix=fix)
    if shape is None:
        return
    computed = (*tensor.shape[1 : at + 1], *tensor.shape[:1], *tensor.shape[at + 1 :])
    fits = len(shape) == len(computed) and all(
        isinstance(want, str) or want == have or (batched and axis == at)
        for axis, (want, have) in enumerate(zip(shape, computed, strict=True))
    )
    if not fits:
        raise ModelError(
            f"{what} is declared with shape {list(shape)}, the graph computes {list(computed)}", node=node, fix=BROKEN
        )
