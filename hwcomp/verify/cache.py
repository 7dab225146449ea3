"""Where built simulators and libraries are kept, by the hash of what went into them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def root() -> Path:
    """HWCOMP_CACHE, else XDG_CACHE_HOME/hwcomp, else ~/.cache/hwcomp."""
    named = os.environ.get("HWCOMP_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hwcomp"
    return Path(named) if named else base


def digest(parts: Iterable[bytes | str]) -> str:
    h = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()[:32]


def built(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder for `key`; on a miss `build(folder)` fills it aside and it is renamed into place."""
    final = root() / kind / key
    if not final.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{key[:8]}-", dir=final.parent))
        try:
            build(aside)
            try:
                aside.rename(final)
            except OSError:  # another process was first
                if not final.exists():
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return final
