"""How large things may be. Sizes are compared with these before memory is taken."""

from __future__ import annotations

from hwcomp.errors import ModelError

# Elements of one tensor, and of all constants together: 256 MiB as float32, far above what the targets can hold.
MAX_ELEMENTS = 1 << 26
MAX_RANK = 8


def elements(shape, what: str, node: str | None = None) -> int:
    """Number of elements of `shape`. ModelError where a size is below 1 or the product is above MAX_ELEMENTS."""
    if len(shape) > MAX_RANK:
        raise ModelError(f"{what} has {len(shape)} dimensions", node=node, why=f"at most {MAX_RANK} are taken")
    count = 1
    for size in shape:
        if size < 1:
            raise ModelError(
                f"{what} has a dimension of size {size}",
                node=node,
                why="every size must be at least 1",
                fix="remove the operators on empty tensors from the model",
            )
        count *= size
        if count > MAX_ELEMENTS:
            why = f"hwcomp takes tensors of up to {MAX_ELEMENTS} elements"
            raise ModelError(f"{what} is too large (shape {'x'.join(map(str, shape))})", node=node, why=why)
    return count
