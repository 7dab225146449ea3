"""The one error type that users see: what is wrong, at which node, why, and what to do about it."""

from __future__ import annotations

# What to do where nothing better is known.
BROKEN = "check the model with onnx.checker, and export it again"
OTHERWISE = "write it with other operators (`hwcomp ops` lists them), or leave this part to the caller of the network"
_LONGEST_NAME = 80
_LONGEST_PATH = 160
_LONGEST_PART = 300


def one_line(text: str) -> str:
    """Control characters and lone surrogates escaped, so that a message stays one paragraph."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(name: object, longest: int = _LONGEST_NAME) -> str:
    """A name from a model, made safe and short for a message: control characters escaped, long names cut."""
    text = one_line(str(name))
    return text if len(text) <= longest else f"{text[: longest - 20]}... ({len(text)} characters)"


def shown_path(path: object) -> str:
    """A path for a message: the end, which names the file, is kept."""
    text = one_line(str(path))
    return text if len(text) <= _LONGEST_PATH else f"...{text[-_LONGEST_PATH:]}"


class HwcompError(Exception):
    """Bad input or bad usage. One short paragraph; exit code 2 (see `exit_code`)."""

    exit_code = 2

    def __init__(self, what: str, *, node: str | None = None, why: str = "", fix: str = ""):
        self.what, self.node, self.why, self.fix = what, node, why, fix
        super().__init__(self._text())

    def _text(self) -> str:
        where = f" at node '{shown(self.node)}'" if self.node is not None else ""
        parts = [one_line(p).rstrip(".") for p in (f"{self.what}{where}", self.why, self.fix) if p]
        return ". ".join(p if len(p) <= _LONGEST_PART else f"{p[: _LONGEST_PART - 3]}..." for p in parts) + "."


class ModelError(HwcompError):
    """The model is broken, hostile or says something that hwcomp does not take."""


class UnsupportedError(HwcompError):
    """The model is sound, but an operator, an attribute or a target combination is not available."""


class UsageError(HwcompError):
    """A wrong option, or data that does not fit the model."""


class MissingToolError(HwcompError):
    """An engine was asked for whose compiler or simulator is not installed."""


class WorkFailed(HwcompError):  # noqa: N818 (it reads as a sentence)
    """The work ran and failed: a bit differs, a budget can't be met, the disk is full. Exit code 1."""

    exit_code = 1
