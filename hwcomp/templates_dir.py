"""Where the templates are: inside the package when installed from a wheel, beside it in a clone."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def templates() -> Path:
    package = Path(__file__).parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"
