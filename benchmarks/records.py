"""What the benchmarks share of keeping figures: options, memo files in build/bench, pages in docs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench"
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))  # the networks of tests/zoo.py are those of the benchmarks too


def arguments(doc: str, only: str = "") -> argparse.ArgumentParser:
    """A parser with `--shared`, and with `--only`, repeatable, where `only` says what it does."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shared", type=Path, default=ROOT.parent / "shared", help="folder with models/, data/ and vectors/"
    )
    if only:
        parser.add_argument("--only", action="append", metavar="NAME", help=f"{only} (repeatable)")
    return parser


def kept(memo: Path) -> dict:
    """What an earlier run has kept."""
    return json.loads(memo.read_text(encoding="utf-8")) if memo.exists() else {}


def keep(memo: Path, known: dict | list) -> None:
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """What a back end emits, by path."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def write_behind(page: Path, mark: str, text: str) -> None:
    """Put `text` behind the line `mark` of a page whose head is written by hand."""
    head = page.read_text(encoding="utf-8").partition(mark)[0] if page.exists() else ""
    page.write_text(f"{head}{mark}\n\n{text}", encoding="utf-8")
