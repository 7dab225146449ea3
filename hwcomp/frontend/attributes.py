"""Attributes of an ONNX node: typed, and rejected by name where no operator asked for them."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

from hwcomp.errors import HwcompError, ModelError, UnsupportedError, shown

_REQUIRED: Any = object()
# Far above any sensible stride, pad or axis, and small enough for exact arithmetic in NumPy's int64.
_LARGEST_INTEGER = (1 << 31) - 1
_MAX_VALUES = 1 << 16


def text_of(value: str | bytes, what: str) -> str:
    """A string of a model. The protobuf library gives bytes where a name is not UTF-8: ModelError."""
    if isinstance(value, str):
        return value
    raise ModelError(f"{what} is not UTF-8 text", why=f"it begins with {shown(value[:20])}")


class Attributes:
    """Reads the attributes of the node that messages call `label`. Every getter marks its attribute as consumed."""

    def __init__(self, label: str, protos):
        self._label = label
        self._left: dict[str, Any] = {}
        self._all: dict[str, Any] = {}
        for proto in protos:
            name = text_of(proto.name, "an attribute's name")
            if name in self._all:
                raise self._error(f"attribute '{shown(name)}' is given twice")
            if proto.ref_attr_name:
                raise self._error(f"attribute '{shown(name)}' refers to a function's attribute outside of a function")
            self._all[name] = self._left[name] = proto

    def _error(self, what: str, why: str = "") -> HwcompError:
        return ModelError(what, node=self._label, why=why)

    def has(self, name: str) -> bool:
        return name in self._all

    def _take(self, name: str, kind: str, field: str, default: Any) -> Any:
        """Value of an attribute whose AttributeProto type is called `kind`, or the default."""
        from onnx import AttributeProto

        proto = self._all.get(name)
        if proto is None:
            if default is _REQUIRED:
                raise self._error(f"attribute '{name}' is missing")
            return default
        self._left.pop(name, None)
        if proto.type != AttributeProto.AttributeType.Value(kind):
            have = AttributeProto.AttributeType.Name(proto.type)
            raise self._error(f"attribute '{name}' has the wrong type", f"it must be {kind}, it is {have}")
        value = getattr(proto, field)
        if field in ("ints", "floats") and len(value) > _MAX_VALUES:
            raise self._error(f"attribute '{name}' has {len(value)} values")
        return value

    def integer(
        self, name: str, default: int = _REQUIRED, *, least: int = -_LARGEST_INTEGER, wide: bool = False
    ) -> int:
        """`wide`: any int64 (exporters write the largest one for "to the end")."""
        value = self._take(name, "INT", "i", default)
        self._check_integer(name, value, least, wide)
        return int(value)

    def integers(
        self,
        name: str,
        default: tuple = _REQUIRED,
        *,
        count: int | None = None,
        least: int = -_LARGEST_INTEGER,
        wide: bool = False,
    ) -> tuple[int, ...]:
        """`count` values (None: any number), each at least `least`; `wide`: any int64."""
        values = tuple(self._take(name, "INTS", "ints", default))
        if count is not None and len(values) != count:
            raise self._error(f"attribute '{name}' has {len(values)} values", f"{count} are needed here")
        for value in values:
            self._check_integer(name, value, least, wide)
        return values

    def _check_integer(self, name: str, value: int, least: int, wide: bool) -> None:
        if not wide and not least <= value <= _LARGEST_INTEGER:
            raise self._error(f"attribute '{name}' has the impossible value {value}")

    def flag(self, name: str, default: bool = _REQUIRED) -> bool:
        """An integer that must be 0 or 1."""
        value = self.integer(name, default)
        if value not in (0, 1):
            raise self._error(f"attribute '{name}' is {value}", "it must be 0 or 1")
        return bool(value)

    def axis(self, name: str, default: int = _REQUIRED, *, rank: int, beyond: bool = False) -> int:
        """An axis counted from 0; negative ones count from the end. `beyond`: `rank` itself is allowed."""
        value = self.integer(name, default)
        if not -rank <= value <= rank - (not beyond):
            raise self._error(f"attribute '{name}' is {value}", f"the tensor has {rank} dimensions")
        return value + rank if value < 0 else value

    def real(self, name: str, default: float = _REQUIRED) -> float:
        value = float(self._take(name, "FLOAT", "f", default))
        if math.isnan(value):
            raise self._error(f"attribute '{name}' is not a number")
        return value

    def reals(self, name: str) -> tuple[float, ...]:
        return tuple(self._take(name, "FLOATS", "floats", _REQUIRED))

    def text(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self._take(name, "STRING", "s", default)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if value not in choices:
            raise self._error(f"attribute '{name}' is '{shown(value)}'", f"it must be one of {', '.join(choices)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._take(name, "STRINGS", "strings", _REQUIRED)
        if len(values) > _MAX_VALUES:
            raise self._error(f"attribute '{name}' has {len(values)} values")
        return tuple(v.decode("utf-8", "replace") for v in values)

    def replaced(self, name: str, value: int) -> Attributes:
        """The same attributes with another integer. Reading these marks them here."""
        from onnx import helper

        other = copy(self)
        other._all = {**self._all, name: helper.make_attribute(name, value)}
        return other

    def tensor(self, name: str) -> Any:
        """A TensorProto."""
        return self._take(name, "TENSOR", "t", _REQUIRED)

    def reject_unread(self, op_type: str, opset: int) -> None:
        """UnsupportedError naming the attributes that nothing asked for."""
        if self._left:
            names = ", ".join(f"'{shown(n)}'" for n in sorted(self._left)[:5])
            why = f"{op_type} of opset {opset} has no such attribute, or hwcomp does not know it"
            fix = "remove it if it has its default value, or export the operator without it"
            raise UnsupportedError(f"unknown attribute {names} of {op_type}", node=self._label, why=why, fix=fix)
