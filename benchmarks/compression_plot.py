"""The plot of benchmarks/compression.py: size against points lost, as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDE, HIGH, LEFT, TOP, GAP = 620, 240, 60, 40, 70
LEGEND = 250
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#000000")


@dataclass(frozen=True)
class Point:
    """`series`: points of one name share a colour and, where there are several with one `mark`, a line. `mark`: filled or hollow."""

    series: str
    mark: str
    factor: float
    lost: float
    label: str = ""


def svg(panels: dict[str, list[Point]], lost: float, bars: dict[str, float]) -> str:
    """`lost`: points that may be lost, at a factor of `bars` at least: the field that is drawn."""
    names = list(dict.fromkeys(p.series for points in panels.values() for p in points))
    colours = {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(names)}
    high = TOP + len(panels) * (HIGH + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + LEGEND}" height="{high}" font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDE + LEGEND}" height="{high}" fill="white"/>',
    ]
    for i, (title, points) in enumerate(panels.items()):
        parts += _panel(title, points, colours, TOP + i * (HIGH + GAP), lost, bars[title])
    for i, name in enumerate(names):
        y = TOP + 10 + 22 * i
        parts.append(_dot(LEFT + WIDE + 24, y, colours[name], "filled"))
        parts.append(_text(LEFT + WIDE + 36, y + 4, name))
    y = TOP + 22 * len(names) + 24
    for mark, what in (("filled", "Huffman codes"), ("hollow", "other forms")):
        parts += [_dot(LEFT + WIDE + 24, y, "#000000", mark), _text(LEFT + WIDE + 36, y + 4, what)]
        y += 22
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, points: list[Point], colours: dict[str, str], top: float, lost: float, bar: float) -> list[str]:
    right = max(p.factor for p in points) * 1.15
    low, high = min(0.0, *(p.lost for p in points)) - 0.05, max(lost, *(p.lost for p in points)) + 0.05

    def x(factor: float) -> float:
        return LEFT + WIDE * math.log(factor / 1.8) / math.log(right / 1.8)

    def y(value: float) -> float:
        return top + HIGH * (value - low) / (high - low)

    parts = [
        f'<rect x="{x(bar):.1f}" y="{top}" width="{LEFT + WIDE - x(bar):.1f}" height="{y(lost) - top:.1f}" fill="#e8f4e8"/>',
        f'<rect x="{LEFT}" y="{top}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#888888"/>',
        _text(LEFT, top - 8, f"{title}: points lost against times smaller than float32", weight="bold"),
    ]
    for tick in (2, 4, 8, 16, 32, 64, 128):
        if tick <= right:
            parts.append(_line(x(tick), top, x(tick), top + HIGH))
            parts.append(_text(x(tick), top + HIGH + 16, f"{tick}x", "middle"))
    for step in range(math.ceil(low / 0.2), math.floor(high / 0.2) + 1):
        parts.append(_line(LEFT, y(step / 5), LEFT + WIDE, y(step / 5)))
        parts.append(_text(LEFT - 6, y(step / 5) + 4, f"{step / 5:+.1f}", "end"))
    for name, colour in colours.items():
        for mark in ("filled", "hollow"):
            mine = sorted((p for p in points if (p.series, p.mark) == (name, mark)), key=lambda p: p.factor)
            if len(mine) > 1:
                path = " ".join(f"{x(p.factor):.1f},{y(p.lost):.1f}" for p in mine)
                parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            for p in mine:
                parts.append(_dot(x(p.factor), y(p.lost), colour, mark))
                if p.label:
                    parts.append(_text(x(p.factor), y(p.lost) - 9, p.label, "middle"))
    return parts


def _dot(x: float, y: float, colour: str, mark: str) -> str:
    fill = colour if mark == "filled" else "white"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#dddddd"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
