"""TensorProto to array: sizes are checked before memory is taken, external data stays inside the model's folder."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hwcomp.errors import ModelError, UnsupportedError, shown
from hwcomp.frontend.attributes import text_of
from hwcomp.ops._limits import MAX_ELEMENTS, elements
from hwcomp.types import INTEGERS

# ONNX type name -> (stored type, our type, field that holds the values where raw_data does not).
_TYPES = {
    "FLOAT": ("<f4", np.float32, "float_data"),
    "INT32": ("<i4", np.int64, "int32_data"),
    "INT64": ("<i8", np.int64, "int64_data"),
    "BOOL": ("?", np.bool_, "int32_data"),
    "INT8": ("i1", np.int8, "int32_data"),
    "UINT8": ("u1", np.uint8, "int32_data"),
    "INT16": ("<i2", np.int16, "int32_data"),
    "UINT16": ("<u2", np.uint16, "int32_data"),
    "INT4": ("u1", np.int8, "int32_data"),  # two elements in a byte, the first one in the lower half
    "UINT4": ("u1", np.uint8, "int32_data"),
}
_HALVES = ("INT4", "UINT4")
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
_MAX_EXTERNAL_BYTES = 1 << 30


def type_name(number: int) -> str:
    """Name of an ONNX element type: FLOAT, INT8, ..."""
    from onnx import TensorProto

    known = TensorProto.DataType.DESCRIPTOR.values_by_number
    return known[number].name if number in known else f"number {number}"


def integer_type(proto) -> str:
    """The ONNX type of a TensorProto that may hold integers of a quantized model, "" for another."""
    kind = type_name(proto.data_type)
    return kind if kind in INTEGERS or kind == "INT32" else ""


@dataclass(frozen=True)
class ExternalFile:
    """A file beside the model that holds weights. `name`: relative path as the model gives it."""

    name: str
    path: Path
    size: int
    sha256: str


class Weights:
    """Reads the constants of one model. `folder`: the model's; external data must lie below it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._budget = MAX_ELEMENTS
        self.external: dict[str, ExternalFile] = {}

    def spend(self, count: int, what: str, node: str | None = None) -> None:
        """Count `count` more elements. ModelError where the constants of the model become too many."""
        self._budget -= count
        if self._budget < 0:
            why = f"hwcomp takes models of up to {MAX_ELEMENTS} constant elements"
            raise ModelError(f"the constants are too large, with {what}", node=node, why=why)

    def read(self, proto, what: str, node: str | None = None) -> np.ndarray:
        """The values of a TensorProto, read-only: float32, bool, the integers of quantized models in their own type (4-bit
        ones in 8 bits), others as int64. External data is moved into the proto.
        """
        kind = type_name(proto.data_type)
        if kind not in _TYPES:
            fix = (
                "export the model in float32"
                if kind in ("FLOAT16", "DOUBLE", "BFLOAT16")
                else "cast it to float32 or int64 in the model"
            )
            why = "float32, bool and integer constants of 4, 8, 16, 32 and 64 bits are taken"
            raise UnsupportedError(f"{what} has the type {kind}", node=node, why=why, fix=fix)
        if proto.HasField("segment"):
            raise UnsupportedError(f"{what} is stored in segments", node=node)
        count = elements(proto.dims[:9], what, node)
        self.spend(count, what, node)
        if proto.data_location == proto.EXTERNAL or proto.external_data:
            self._load_external(proto, what, node, _stored_bytes(kind, count))
        array = _values(proto, kind, count, what, node).reshape(tuple(proto.dims))
        array.flags.writeable = False
        return array

    def _load_external(self, proto, what: str, node: str | None, size: int) -> None:
        """Replace the external data of `proto` (`size` bytes are needed) by raw_data."""
        if (
            proto.data_location != proto.EXTERNAL
            or proto.HasField("raw_data")
            or any(getattr(proto, f) for f in _FIELDS)
        ):
            raise ModelError(f"{what} has both external and own data", node=node)
        entries = {text_of(e.key, "a key of external data"): text_of(e.value, what) for e in proto.external_data}
        unknown = sorted(entries.keys() - _EXTERNAL_KEYS)
        if unknown or len(entries) != len(proto.external_data):
            raise ModelError(
                f"{what} has external data with a wrong key", node=node, why=f"'{shown(unknown)}' is not known"
            )
        offset, length = (_byte_count(entries, key, what, node) for key in ("offset", "length"))
        if length not in (None, size):
            raise ModelError(f"{what} has {length} bytes of external data", node=node, why=f"its shape needs {size}")
        location = entries.get("location", "")
        with os.fdopen(_open_below(self._folder, location, what, node), "rb") as file:
            info = self._register(file, location, what, node)
            if entries.get("checksum") and entries["checksum"].lower() != _digest(file, hashlib.sha1()):
                raise ModelError(f"external data '{shown(location)}' of {what} has the wrong checksum", node=node)
            if (offset or 0) + size > info.size:
                why = f"bytes {offset or 0} to {(offset or 0) + size} are needed, the file has {info.size}"
                raise ModelError(f"external data '{shown(location)}' of {what} is too short", node=node, why=why)
            file.seek(offset or 0)
            proto.raw_data = file.read(size)
        proto.ClearField("external_data")
        proto.ClearField("data_location")

    def _register(self, file, location: str, what: str, node: str | None) -> ExternalFile:
        if location not in self.external:
            size = os.fstat(file.fileno()).st_size
            if size + sum(f.size for f in self.external.values()) > _MAX_EXTERNAL_BYTES:
                raise ModelError(f"external data '{shown(location)}' of {what} is too large", node=node)
            digest = _digest(file, hashlib.sha256())
            self.external[location] = ExternalFile(location, self._folder / location, size, digest)
        return self.external[location]


def _digest(file, algorithm) -> str:
    file.seek(0)
    while block := file.read(1 << 20):
        algorithm.update(block)
    return algorithm.hexdigest()


def _byte_count(entries: dict[str, str], key: str, what: str, node: str | None) -> int | None:
    text = entries.get(key, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ModelError(f"external data of {what} has the {key} '{shown(text)}'", node=node, why="it must be a number")
    return int(text)


def _open_below(folder: Path, location: str, what: str, node: str | None) -> int:
    """File descriptor of a regular file below `folder`, reached without following any symbolic link."""
    parts = location.split("/")
    if not location or "\0" in location or PurePosixPath(location).is_absolute() or {"", ".", ".."} & set(parts):
        why = "it must be a plain path inside the model's folder"
        raise ModelError(f"external data of {what} is at '{shown(location)}'", node=node, why=why)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for i, part in enumerate(parts):
            deeper = os.open(part, flags | (os.O_DIRECTORY if i < len(parts) - 1 else 0), dir_fd=at)
            os.close(at)
            at = deeper
        if not stat.S_ISREG(os.fstat(at).st_mode):
            raise OSError("it is not a regular file")
    except OSError as error:
        if at >= 0:
            os.close(at)
        why = f"{error.strerror or error}; it must be a plain file in the model's folder, without symbolic links"
        raise ModelError(f"external data '{shown(location)}' of {what} can't be read", node=node, why=why) from None
    return at


def _stored_bytes(kind: str, count: int) -> int:
    """Bytes that `count` values take as raw data."""
    return (count + 1) // 2 if kind in _HALVES else count * np.dtype(_TYPES[kind][0]).itemsize


def _halves(data: np.ndarray, kind: str, count: int) -> np.ndarray:
    """4-bit values out of bytes: int8 or uint8 [count]."""
    both = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[:count]
    return (both ^ 8).astype(np.int8) - np.int8(8) if kind == "INT4" else both


def _values(proto, kind: str, count: int, what: str, node: str | None) -> np.ndarray:
    """Flat array of `count` values, from raw_data or from the field of its type."""
    stored, ours, field = _TYPES[kind]
    filled = [f for f in _FIELDS if len(getattr(proto, f))]
    needs = f"its shape {list(proto.dims)} needs {count} values"
    if proto.HasField("raw_data"):
        raw = proto.raw_data
        if filled:
            raise ModelError(f"{what} has its data twice", node=node, why=f"as raw_data and as {filled[0]}")
        if len(raw) != _stored_bytes(kind, count):
            raise ModelError(f"{what} has {len(raw)} bytes of data", node=node, why=f"{needs} of {kind}")
        array = np.frombuffer(raw, stored)
    else:
        values = getattr(proto, field)
        wanted = _stored_bytes(kind, count) if kind in _HALVES else count
        if set(filled) - {field} or len(values) != wanted:
            raise ModelError(f"{what} has {len(values)} values in {field}", node=node, why=needs)
        try:
            array = np.fromiter(values, np.dtype(stored).newbyteorder("="), wanted)
        except OverflowError:
            raise ModelError(f"{what} has a value that does not fit {kind}", node=node) from None
    if kind in _HALVES:
        array = _halves(array, kind, count)
    return array.astype(ours, copy=False)
