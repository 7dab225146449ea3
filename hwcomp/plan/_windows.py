"""Sliding windows: the geometry of a kernel's frames, and the buffer that its engine reads windows from."""

from __future__ import annotations

from dataclasses import dataclass

from hwcomp.plan.folding import Fold
from hwcomp.plan.stages import Window
from sw_ref.program import Kernel, Program

MARGIN = 4  # words by which hwc_window's buffer must exceed what is live (its pipeline)


@dataclass(frozen=True)
class Frame:
    """A kernel that slides over a map: the padded frame of `rows` x `cols`, `pixels` windows, `pads` None where none."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int] | None
    rows: int
    cols: int
    pixels: int
    channels: int

    @classmethod
    def of(cls, program: Program, kernel: Kernel) -> Frame:
        p, x, y = kernel.params, program.edges[kernel.inputs[0]], program.edges[kernel.outputs[0]]
        top, left, bottom, right = pads = tuple(p["pads"])
        rows, cols = x.shape[1] + top + bottom, x.shape[2] + left + right
        size = y.shape[1] * y.shape[2]
        return cls(
            tuple(p["kernel"]), tuple(p["strides"]), tuple(p["dilations"]), pads if any(pads) else None, rows, cols, size,
            x.shape[0],
        )  # fmt: skip

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def arriving(self) -> int:
        """Pixels that come in, the padding too."""
        return self.rows * self.cols

    @property
    def buffered(self) -> int:
        """Roughly the elements that a window buffer holds."""
        return 2 * self.kernel[0] * self.dilations[0] * self.cols * self.channels

    def window(self, fold: Fold, words: int) -> Window | None:
        """The buffer for `words` per pixel. None where every word is used once, in order: nothing to keep."""
        if fold.repeat == 1 and self.kernel == (1, 1) and self.strides == (1, 1):
            return None
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        cols = self.cols
        span = ((kh - 1) * dh * cols + (kw - 1) * dw + 1) * words
        down, across = (self.rows - (kh - 1) * dh - 1) // sh, (cols - (kw - 1) * dw - 1) // sw
        frame = (self.rows * cols - down * sh * cols - across * sw) * words
        step = max(sw * words, (sh * cols - across * sw) * words, frame)
        top, left, bottom, right = self.pads or (0, 0, 0, 0)
        burst = ((top + bottom) * cols + left + right) * words
        # A frame's first window must be complete when the one before is done, and the padding between two frames comes in
        # one burst: docs/hardware.md, "Window buffers".
        depth = max(2, span + step + burst + MARGIN)
        if words == 1 and self.kernel == (1, 1) and self.strides == (1, 1):
            depth = 1
        return Window(
            fold.taps, self.rows, cols, words, self.kernel, self.strides, self.dilations, fold.repeat, depth, fold.sets,
            sum(fold.kept),
        )  # fmt: skip


def row_of(pixels: int, channels: int) -> Frame:
    """Pixels in a row, each a window of its own."""
    return Frame((1, 1), (1, 1), (1, 1), None, 1, pixels, pixels, channels)
