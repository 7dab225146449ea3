"""Checks that the shape rules of several operators share."""

from __future__ import annotations

from hwcomp.errors import BROKEN, ModelError
from hwcomp.graph import origin_of
from hwcomp.types import Node, Tensor


def bad(node: Node, what: str, why: str = "", fix: str = "") -> ModelError:
    """The error to raise for `node`."""
    return ModelError(what, node=origin_of(node), why=why, fix=fix or BROKEN)


def need_float(node: Node, *tensors: Tensor | None) -> None:
    """ModelError unless all given tensors hold floats (None: an absent input)."""
    for t in tensors:
        if t is not None and t.dtype != "float":
            raise bad(node, f"{node.op} of '{t.name}', which holds {t.dtype} values", "it must hold float32 values")


def need_rank(node: Node, tensor: Tensor, rank: int) -> None:
    """ModelError unless `tensor` has `rank` dimensions."""
    if len(tensor.shape) != rank:
        why = f"{node.op} needs {rank} dimensions here, the shape is {list(tensor.shape)}"
        raise bad(node, f"tensor '{tensor.name}' has the wrong rank", why)


def need_shape(node: Node, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    """ModelError unless `tensor` is absent or has exactly this shape."""
    if tensor is not None and tensor.shape != shape:
        why = f"{node.op} needs {list(shape)} here, it is {list(tensor.shape)}"
        raise bad(node, f"tensor '{tensor.name}' has the wrong shape", why)


def result(node: Node, shape: tuple[int, ...], dtype: str = "float") -> list[Tensor]:
    """The type of the only output of `node`."""
    return [Tensor(node.outputs[0], tuple(shape), dtype)]
