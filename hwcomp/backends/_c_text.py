"""Text of the C product: identifiers, literals, comments that no name can leave, arrays, and the template loader."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterable, Sequence

import jinja2
import numpy as np

from hwcomp import templates_dir
from hwcomp.names import identifier

_LONGEST_COMMENT = 60
# Besides the keywords that hwcomp.names knows: words of later C and C++, and macros that compilers define in GNU mode.
_RESERVED = frozenset((
    "alignas", "alignof", "and_eq", "bitand", "bitor", "char8_t", "char16_t", "char32_t", "co_await", "co_return",
    "co_yield", "compl", "concept", "consteval", "constexpr", "constinit", "const_cast", "decltype", "dynamic_cast",
    "i386", "linux", "mutable", "noexcept", "not_eq", "nullptr", "operator", "or_eq", "reinterpret_cast", "requires",
    "static_assert", "static_cast", "thread_local", "typeof", "unix", "wchar_t", "xor_eq",
))  # fmt: skip


def field_names(names: Sequence[str]) -> list[str]:
    """Legal C identifiers for struct fields, unique even without regard to case; never one that <stdint.h> defines."""
    taken: set[str] = set()
    fields = []
    for name in names:
        base = identifier(name, "t", verilog=False)
        if base.lower() in _RESERVED or (base.isupper() and len(base) > 1):
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


def short_name(start: str, values: Iterable) -> str:
    """A name that says what begins it, and differs with the `values`: compilers may look at 63 characters only."""
    return f"{start}_{zlib.crc32(repr(tuple(values)).encode()):08x}"


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
def environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir.templates()), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    env.filters |= {"c": literal, "rows": rows, "flt": float_literal, "times": multiple, "minus": minus}
    return env


def multiple(index: str, n: int) -> str:
    """An index multiplied by a constant."""
    return index if n == 1 else f"{index} * {n}"


def minus(index: str, n: int) -> str:
    return index if n == 0 else f"{index} - {n}"


def render(template: str, **values: object) -> str:
    """A template's text, without runs of blank lines."""
    return re.sub(r"\n{3,}", "\n\n", environment().get_template(template).render(**values))
