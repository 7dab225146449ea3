"""Registries of operators, passes and backends. Entries register themselves with a decorator; discovery is sorted.

Nothing is imported until a registry is first asked, so that `hwcomp --help` stays fast.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any


class Registry:
    """Name -> entry, filled by importing every module of `package` once, in sorted order."""

    def __init__(self, package: str, what: str):
        self._package, self._what = package, what
        self._entries: dict[str, Any] = {}
        self._loaded = False

    def register(self, name: str, entry: Any) -> None:
        if name in self._entries:
            raise RuntimeError(f"two {self._what}s are called {name!r}")
        self._entries[name] = entry

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self._package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self._package}.{module}")

    def get(self, name: str) -> Any | None:
        self._load()
        return self._entries.get(name)

    def __getitem__(self, name: str) -> Any:
        self._load()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))


OPS = Registry("hwcomp.ops", "operator")
PASSES = Registry("hwcomp.passes", "pass")
BACKENDS = Registry("hwcomp.backends", "backend")


def op(name: str):
    """Class decorator: register one shared instance of an operator under its name."""

    def add(cls):
        cls.name = name
        OPS.register(name, cls())
        return cls

    return add


def graph_pass(cls):
    """Class decorator: register a pass class (a frozen dataclass with a class-level `name`)."""
    PASSES.register(cls.name, cls)
    return cls


def backend(cls):
    """Class decorator: register one shared instance of a backend under its `target`."""
    BACKENDS.register(cls.target, cls())
    return cls
