"""The product folder DIR: written aside and renamed, so that it is complete or not there; read back with checks."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hwcomp import npz
from hwcomp.errors import UsageError, WorkFailed, shown
from hwcomp.verify.engine import Built
from sw_ref.program import Program

MANIFEST = "manifest.json"
SCHEMA = 1

Content = str | bytes | Path  # a Path is copied


def write(folder: Path, files: dict[str, Content], manifest: dict[str, Any]) -> None:
    """Write all files and the manifest (with their hashes) to `folder`, replacing an earlier product there.

    UsageError where `folder` holds something else; WorkFailed where the disk is full or can't be written.
    """
    folder = check_target(folder)
    aside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
        aside.chmod(0o777 & ~_umask())
        entries = [_write_file(aside, name, files[name]) for name in sorted(files)]
        _write_file(aside, MANIFEST, dump_json({**manifest, "files": entries}))
        _swap(aside, folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else f"can't write '{folder}'"
        raise WorkFailed(what, why=error.strerror or str(error), fix="nothing was written") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def check_target(folder: Path) -> Path:
    """`folder` as an absolute path, if a product may be written there. UsageError otherwise."""
    folder = Path(folder)
    if not str(folder) or Path.cwd().is_relative_to(Path(folder).resolve()):
        raise UsageError(f"'{folder}' is the current folder or above it", fix="name a folder of its own with -o")
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (resolve would follow a link)
    for above in folder.parents:
        if above.exists() and not above.is_dir():
            raise UsageError(f"'{above}' is a file", fix="name a folder with -o")
    if folder.is_symlink() or (folder.exists() and not _replaceable(folder)):
        raise UsageError(
            f"'{folder}' exists and is not an earlier product of hwcomp", fix="name another folder with -o"
        )
    return folder


def dump_json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replaceable(folder: Path) -> bool:
    """Whether `folder` is empty or an earlier product; anything else is somebody's data."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"schema", "hwcomp", "program_sha256", "files"} <= manifest.keys()


def _write_file(base: Path, name: str, content: Content) -> dict[str, Any]:
    target = base / name
    if not target.resolve().is_relative_to(base.resolve()):
        raise ValueError(f"file {name!r} leaves the product folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, target)
        data = target.read_bytes()
    else:
        data = content.encode() if isinstance(content, str) else content
        target.write_bytes(data)
    return {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _swap(aside: Path, folder: Path) -> None:
    if not folder.exists():
        aside.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-old-", dir=folder.parent))
    try:
        folder.rename(old / "product")
        try:
            aside.rename(folder)
        except OSError:
            (old / "product").rename(folder)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path | str) -> Built:
    """Read a product folder. UsageError where it is not one, or its Program is not the one it was made with."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        data = json.loads((folder / "program" / "program.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"'{folder}' is not a product of hwcomp compile", fix="compile a model into it first"
        ) from None
    except OSError as error:
        raise UsageError(f"'{shown(folder)}' can't be read", why=error.strerror or "") from None
    except ValueError as error:
        raise UsageError(f"'{shown(folder)}' can't be read", why=str(error).splitlines()[0]) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise UsageError(f"'{folder}' was made by another version of hwcomp", fix="compile it again")
    missing = [f["path"] for f in manifest.get("files", []) if not (folder / f["path"]).is_file()]
    if missing:
        raise UsageError(f"'{folder}' is not complete: {shown(missing[0])} is missing", fix="compile it again")
    try:
        program = Program.from_json(data, npz.load(folder / "program" / "constants.npz"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the program in '{folder}' is damaged", why=str(error), fix="compile it again") from None
    if program.sha256() != manifest.get("program_sha256"):
        raise UsageError(f"the program in '{folder}' is not the one it was compiled to", fix="compile it again")
    return Built(folder, manifest, program)
