"""Numbers and names as the HTML report shows them. The template escapes; here names are made short and printable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwcomp.errors import one_line, shown

_NODES = 3  # of one layer are named, the others counted
_EXAMPLE_HZ = 100_000_000


def number(n: float) -> str:
    return f"{n:,}" if isinstance(n, int) else f"{n:.6g}"


def share(x: float) -> str:
    """A part of one, as a percentage with three figures at most."""
    percent = 100 * x
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 99.95 or percent == 0 else f"{percent:.1f} %"


def rate(part: int, total: int) -> str:
    """How often, as 1.9e-06 -> "1.9e-6"."""
    if not part or not total:
        return "0"
    mantissa, exponent = f"{part / total:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}" if int(exponent) else mantissa


def kib(n: float) -> str:
    return f"{n / 1024:,.1f} KiB" if n >= 1024 else ""


def frequency(cycles: int) -> str:
    """Frames per second at the example clock."""
    frames = _EXAMPLE_HZ / max(cycles, 1)
    return f"{frames:,.0f} frames/s at 100 MHz" if frames >= 10 else f"{frames:.2g} frames/s at 100 MHz"


def duration(cycles: int) -> str:
    micro = cycles * 1e6 / _EXAMPLE_HZ
    return f"{micro / 1000:,.2f} ms at 100 MHz" if micro >= 1000 else f"{micro:.1f} µs at 100 MHz"


def shape(dims: Sequence[int]) -> str:
    return " × ".join(map(str, dims)) or "1"


def end(name: str, longest: int = 60) -> str:
    """A name from a model, printable; of a long one its end, which tells layers of one network from each other."""
    text = one_line(name)
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def nodes(names: Sequence[str]) -> str:
    text = ", ".join(end(n) for n in names[:_NODES])
    return f"{text} and {len(names) - _NODES} more" if len(names) > _NODES else text


def tail(text: str, longest: int = 27) -> str:
    """The first of several names where all are too long; of a long one its end, which says more than its head."""
    if len(text) <= longest:
        return text
    first = text.partition(", ")[0]
    return f"{first} …" if len(first) + 2 <= longest else f"…{first[1 - longest :]}"


def type_name(bits: int, signed: bool) -> str:
    return f"{'' if signed else 'u'}int{bits}"


def signed(facts: dict[str, Any]) -> bool:
    """Said by the report, or seen from the range."""
    lo, hi = facts["range"]
    return facts.get("signed", lo < 0 or hi < 1 << (facts["bits"] - 1))


def key(name: str) -> str:
    return shown(name).replace("_", " ")


def listed(names: Sequence[str], longest: int = 8) -> str:
    """a, b and c."""
    names = [shown(n, 60) for n in names]
    if len(names) > longest:
        names = [*names[:longest], f"{len(names) - longest} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


_WHY = {
    "join": "waits for the other inputs", "fork": "lets the other readers go on",
    "padding": "holds what comes while padding is inserted", "stream": "evens out the stream",
}  # fmt: skip


def why(reason: str) -> str:
    """What a FIFO is for."""
    return _WHY.get(reason, "")
