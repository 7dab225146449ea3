"""All engines by their `--engine` name, imported only when asked for."""

from __future__ import annotations

import importlib

from hwcomp.errors import UsageError, shown
from hwcomp.verify.engine import Built, Engine

_CLASSES = {
    "reference": ("hwcomp.verify.reference", "Reference"),
    "c": ("hwcomp.verify.c_host", "CHost"),
    "c:m4": ("hwcomp.verify.m4", "CM4"),
    "verilator": ("hwcomp.verify.verilated", "Verilated"),
    "hls": ("hwcomp.verify.hls_host", "HlsHost"),
}
NAMES = ("float", *_CLASSES)


def engine(name: str) -> Engine:
    """A new engine. UsageError for an unknown name; `float` is no engine of the integer Program."""
    if name not in _CLASSES:
        raise UsageError(f"there is no engine '{shown(name)}' here", fix=f"choose from {', '.join(NAMES)}")
    module, cls = _CLASSES[name]
    return getattr(importlib.import_module(module), cls)()


def for_product(built: Built) -> list[Engine]:
    """Every engine that applies to what the product was compiled for."""
    targets = built.manifest["options"]["targets"]
    return [e for e in map(engine, _CLASSES) if e.target is None or e.target in targets]
