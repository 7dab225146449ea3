"""The one error type that users see: what is wrong, at which node, why, and what to do about it."""

from __future__ import annotations

_LONGEST_NAME = 80


def shown(name: object) -> str:
    """A name from a model, made safe and short for a message: control characters escaped, long names cut."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 20]}... ({len(text)} characters)"


class HwcompError(Exception):
    """Bad input or bad usage. One short paragraph; exit code 2 (see `exit_code`)."""

    exit_code = 2

    def __init__(self, what: str, *, node: str | None = None, why: str = "", fix: str = ""):
        self.what, self.node, self.why, self.fix = what, node, why, fix
        super().__init__(self._text())

    def _text(self) -> str:
        where = f" at node '{shown(self.node)}'" if self.node is not None else ""
        parts = [f"{self.what}{where}"]
        if self.why:
            parts.append(self.why)
        if self.fix:
            parts.append(self.fix)
        return ". ".join(p.rstrip(".") for p in parts) + "."


class ModelError(HwcompError):
    """The model is broken, hostile or says something that hwcomp does not take."""


class UnsupportedError(HwcompError):
    """The model is sound, but an operator, an attribute or a target combination is not available."""


class UsageError(HwcompError):
    """A wrong option, or data that does not fit the model."""


class MissingToolError(HwcompError):
    """An engine was asked for whose compiler or simulator is not installed."""


class WorkFailed(HwcompError):
    """The work ran and failed: a bit differs, a budget can't be met, the disk is full. Exit code 1."""

    exit_code = 1
