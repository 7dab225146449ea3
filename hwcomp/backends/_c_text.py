"""Text of the C product: identifiers, literals, comments that no name can leave, arrays, and the template loader."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
import numpy as np

_LONGEST_COMMENT = 60
_LONGEST_FIELD = 40
# Words that a struct field can't be called in C99 or C++20, and the macros of <stdint.h>'s kind are all upper case.
_RESERVED = frozenset(
    """alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case catch
    char char16_t char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
    constinit continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
    friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
    public register reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast struct
    switch synchronized template this thread_local throw true try typedef typeid typename typeof union unix linux unsigned
    using virtual void volatile wchar_t while xor xor_eq""".split()
)


def field_names(names: Sequence[str]) -> list[str]:
    """Legal C identifiers, unique even without regard to case."""
    taken: set[str] = set()
    fields = []
    for name in names:
        base = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_]", "_", name)).strip("_")[:_LONGEST_FIELD].strip("_") or "tensor"
        if not base[0].isalpha() or base.lower() in _RESERVED or base.isupper():
            base = f"t_{base}"
        field, n = base, 2
        while field.lower() in taken:
            field, n = f"{base}_{n}", n + 1
        taken.add(field.lower())
        fields.append(field)
    return fields


def comment(text: object, longest: int = _LONGEST_COMMENT) -> str:
    """Text from a model for the inside of a comment: printable ASCII only, without * ? \\ %, cut at `longest`."""
    safe = []
    for char in str(text)[: longest + 1]:
        if " " <= char <= "~" and char not in "*?\\%":
            safe.append(char)
        else:
            safe.append("".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass")))
    line = "".join(safe)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def c_type(dtype: np.dtype) -> str:
    return f"{np.dtype(dtype).name}_t"


def literal(value: int, ctype: str = "int32_t") -> str:
    """An integer constant expression of at least the rank of `ctype`, without warnings at the ends of the types."""
    value = int(value)
    if ctype == "uint64_t":
        return f"UINT64_C({value})"
    if ctype == "int64_t":
        return "(-INT64_C(9223372036854775807) - 1)" if value == -(1 << 63) else f"INT64_C({value})"
    if ctype == "uint32_t":
        return f"{value}u"
    if value == -(1 << 31):
        return "(-2147483647 - 1)"
    return f"({value})" if value < 0 else str(value)


def float_literal(bits: int) -> str:
    """A C float constant that reads back as exactly these float32 bits."""
    text = repr(float(str(np.uint32(bits).view(np.float32))))
    return f"{text}f"


def rows(values: np.ndarray, ctype: str, width: int = 118) -> str:
    """The initialiser of an array, wrapped."""
    flat = np.asarray(values).ravel().tolist()
    if ctype in ("int64_t", "uint64_t") or (ctype == "int32_t" and -(1 << 31) in flat):
        items: Iterable[str] = [literal(v, ctype) for v in flat]
    else:
        items = map(str, flat)
    items = list(items)
    per = max(1, (width - 4) // (max(map(len, items), default=1) + 1))
    return "\n".join("    " + ",".join(items[i : i + per]) + "," for i in range(0, len(items), per))


@functools.cache
def templates() -> jinja2.Environment:
    """Templates ship inside the wheel as hwcomp/templates and lie beside the package in a clone."""
    package = Path(__file__).parent.parent
    folders = [f for f in (package / "templates", package.parent / "templates") if f.is_dir()]
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    env.filters |= {"c": literal, "comment": comment, "rows": rows, "flt": float_literal, "wide": wide}
    return env


def wide(ctype: str) -> str:
    """The type in which values of a storage type are compared and widened."""
    return ctype if ctype in ("int64_t", "uint64_t", "uint32_t") else "int32_t"


def render(template: str, **values: object) -> str:
    return templates().get_template(template).render(**values)
