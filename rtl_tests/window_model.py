"""Cycle model of hwc_window without stalls: what a buffer depth costs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """The parameters of hwc_window that decide its timing, under their Verilog names."""

    P: int = 1
    HP: int = 1
    WP: int = 1
    G: int = 1
    KH: int = 1
    KW: int = 1
    SH: int = 1
    SW: int = 1
    DILH: int = 1
    DILW: int = 1
    REP: int = 1
    SETS: int = 1

    @property
    def beats(self):
        """Beats per window."""
        return self.REP * -(-self.KH * self.KW // self.P) * self.G

    @property
    def shape(self):
        """Windows per frame: rows, columns."""
        rows = (self.HP - (self.KH - 1) * self.DILH - 1) // self.SH + 1
        return rows, (self.WP - (self.KW - 1) * self.DILW - 1) // self.SW + 1

    @property
    def span(self):
        """Words from a window's first to its last: the least depth that works."""
        return ((self.KH - 1) * self.DILH * self.WP + (self.KW - 1) * self.DILW + 1) * self.G

    @property
    def steps(self):
        """Words from a window's base to the next one: in a row, to the next row, to the next frame."""
        rows, columns = self.shape
        row = self.SH * self.WP - (columns - 1) * self.SW
        frame = self.HP * self.WP - (rows - 1) * self.SH * self.WP - (columns - 1) * self.SW
        return self.SW * self.G, row * self.G, frame * self.G

    @property
    def depth(self):
        """The depth that hides the jumps at the ends of rows and frames."""
        return self.span + max(self.steps) + 4

    @property
    def bound(self):
        """Cycles per frame that no depth can undercut: the words in, the beats out."""
        rows, columns = self.shape
        return max(self.HP * self.WP * self.G, rows * columns * self.beats)


def interval(geometry, depth, frames=4):
    """Cycles per frame, averaged over the last two of `frames`, with a `depth`-word buffer and nobody pausing.

    A word that is written in cycle c is seen in c + 1; a window starts when its last word is seen and the window before
    it has ended; the place of a word that no later window needs is written 3 cycles after the last beat of its window.
    """
    rows, columns = geometry.shape
    size = geometry.HP * geometry.WP
    corners = [
        (frame * size + y * geometry.SH * geometry.WP + x * geometry.SW) * geometry.G
        for frame in range(frames)
        for y in range(rows)
        for x in range(columns)
    ]
    corners.append(frames * size * geometry.G)
    written, last, end, oldest, ends, released = [], -1, -1, 0, [], []
    for window, base in enumerate(corners[:-1]):
        while len(written) < base + geometry.span:
            last += 1
            if len(written) >= depth:
                while released[oldest][0] <= len(written) - depth:
                    oldest += 1
                last = max(last, released[oldest][1] + 3)
            written.append(last)
        end = max(end + 1, written[base + geometry.span - 1] + 1) + geometry.beats - 1
        released.append((corners[window + 1], end))
        if (window + 1) % (rows * columns) == 0:
            ends.append(end)
    return (ends[-1] - ends[-3]) / 2
