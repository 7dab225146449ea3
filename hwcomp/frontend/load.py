"""load_model: an untrusted ONNX file becomes a checked Graph, or one clear error."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwcomp.errors import ModelError, UsageError, shown, shown_path
from hwcomp.frontend.importer import import_graph
from hwcomp.frontend.tensors import ExternalFile, Weights
from hwcomp.frontend.wire import check_wire
from hwcomp.ops._steps import Grid, Quantizer

if TYPE_CHECKING:
    from hwcomp.graph import Graph

MODEL_NAME = "model.onnx"
# Room for the most elements that are taken, as float32, and the graph around them.
_MAX_BYTES = 320 << 20


@dataclass(frozen=True)
class Model:
    """A model that was read. `sha256` is that of the file; each external file carries its own."""

    path: Path
    sha256: str
    opset: int
    graph: Graph = field(repr=False)
    proto: Any = field(repr=False)  # onnx.ModelProto with all weights inside, external ones too
    external: tuple[ExternalFile, ...] = ()

    @property
    def quantized(self) -> bool:
        """Whether the model itself states integers: for activations or for weights, as QDQ, QOperator or QONNX."""
        stated = any(t.stored or t.given is not None for t in self.graph.tensors.values())
        return stated or any(
            isinstance(s, Quantizer | Grid) for n in self.graph.nodes if n.op == "Steps" for s in n.attrs.steps
        )

    def files(self, reserved: frozenset[str] = frozenset()) -> dict[str, Path]:
        """Files of a copy: relative path in the product -> where it is now.

        ModelError where the path of an external file begins with a name in `reserved`, or with that of the model.
        """
        for file in self.external:
            first = file.name.split("/")[0]
            if first == MODEL_NAME or first in reserved:
                why = f"the product has a '{shown(first)}' of its own"
                raise ModelError(
                    f"external data is called '{shown(file.name)}'", why=why, fix="save the model with another name"
                )
        return {MODEL_NAME: self.path, **{f.name: f.path for f in self.external}}


def load_model(path: str | Path) -> Model:
    """Read and check an ONNX model. UsageError: no such file; ModelError, UnsupportedError: what is wrong inside."""
    path = Path(path)
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    proto = _parse(data)
    del data
    weights = Weights(path.parent)
    graph, opset = import_graph(proto, weights)
    return Model(path, digest, opset, graph, proto, tuple(weights.external[k] for k in sorted(weights.external)))


def _read(path: Path) -> bytes:
    name = shown_path(path)
    try:
        # Non-blocking, so that a pipe or a device can be refused instead of waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"'{name}' is not a file")
            if status.st_size > _MAX_BYTES:
                why = f"it has {status.st_size} bytes, at most {_MAX_BYTES} are taken"
                raise ModelError(f"'{name}' is too large", why=why)
            data = file.read(_MAX_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(f"'{name}' can't be read", why=getattr(error, "strerror", None) or str(error)) from None
    if not data:
        raise ModelError(f"'{name}' is empty", fix="export or download the model again")
    return data


def _parse(data: bytes) -> Any:
    """The ModelProto."""
    import onnx
    from google.protobuf.message import DecodeError

    check_wire(data)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise ModelError(
            "the file is truncated or is not an ONNX model", fix="export or download the model again"
        ) from None
    return proto
