"""A look at the bytes of a protobuf before they are parsed.

Parsing can take a hundred times the memory of the file: an empty message is two bytes on disk and well over a hundred
in memory. Here the fields inside a ModelProto are counted without building them.
Source: the protobuf encoding guide (wire types) and onnx.proto (which fields hold messages).
"""

from __future__ import annotations

from hwcomp.errors import ModelError

MAX_FIELDS = 1 << 19
# Bytes of what is neither a message nor an array of floats: names, texts, packed integers (one byte becomes eight).
_MAX_SMALL_BYTES = 1 << 25
_MAX_DEPTH = 60

# Message -> {number of a field that holds messages with messages inside: their kind}.
_SCHEMA = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        14: "type",
        15: "type",
        22: "sparse",
        23: "sparse",
    },
    "tensor": {},
    "value": {2: "type"},
    "type": {1: "shaped", 4: "type", 5: "type", 8: "shaped", 9: "type"},
    "shaped": {1: "type", 2: "shape"},
    "shape": {},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute", 12: "value"},
}
# Fields that take as much memory as they have bytes: float_data, raw_data, double_data.
_BULK = {"tensor": {4, 9, 10}}
# Wire type -> length of its value in bytes.
_FIXED = {1: 8, 5: 4}


def check_wire(data: bytes) -> None:
    """ModelError unless `data` is a well-formed encoding of a ModelProto that does not grow too much when parsed."""
    pending = [(0, len(data), "model", 0)]
    count = small = 0
    while pending:
        at, end, kind, depth = pending.pop()
        fields, bulk = _SCHEMA[kind], _BULK.get(kind, ())
        if depth > _MAX_DEPTH:
            raise ModelError("the model is nested too deep", why=f"at most {_MAX_DEPTH} levels are taken")
        while at < end:
            if (key := data[at]) < 128:  # saves the call; by far the most frequent case
                at += 1
            else:
                key, at = _varint(data, at, end)
            wire, number = key & 7, key >> 3
            count += 1
            if wire == 0:
                _, at = _varint(data, at, end)
            elif wire in _FIXED:
                at += _FIXED[wire]
            elif wire == 2:
                size, at = _varint(data, at, end)
                if number in fields:
                    pending.append((at, at + size, fields[number], depth + 1))
                elif number not in bulk:
                    small += size
                at += size
            else:
                raise _broken()
            if at > end:
                raise _broken()
            if count > MAX_FIELDS or small > _MAX_SMALL_BYTES:
                raise ModelError(
                    "the model has too many parts", why=f"at most {MAX_FIELDS} names, nodes and values are taken"
                )


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A variable-length integer at `at`, and the position behind it."""
    if at < end and data[at] < 128:
        return data[at], at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _broken()


def _broken() -> ModelError:
    return ModelError("the file is truncated or is not an ONNX model", fix="export or download the model again")
