"""Programs whose weights are sums of codewords, for tests."""

from dataclasses import replace

import numpy as np

from sw_ref.program import Program
from sw_ref.vectors import decoded, order
from tests.program_factory import Builder


def codes(rng, rows, dims, perm, size, codewords=16, parts=1, stages=1, zeros=False):
    """(weights [rows, K], constants, params): random codewords, random indices."""
    k = int(np.prod(dims))
    book = rng.integers(-(127 // stages), 127 // stages + 1, (stages, parts, codewords, size))
    book[:, :, 0] = 0
    index = rng.integers(0, codewords, (stages, rows, k // size))
    if zeros:
        index[:, 0] = 0
    weight = np.empty((rows, k), np.int64)
    weight[:, order(dims, perm)] = decoded(book, index)
    how = {"vectors": {"dims": list(dims), "perm": list(perm)}}
    return weight, {"codebook": book.astype(np.int8), "index": index.astype(np.uint8)}, how


class Coded(Builder):
    """A chain of layers on codes."""

    def conv(self, m, kernel=(3, 3), groups=1, size=4, codewords=16, parts=1, stages=1, **how):
        channels = self.x.shape[0] // groups
        made = codes(self.rng, m, (channels, kernel[0] * kernel[1]), (1, 0), size, codewords, parts, stages)
        return self._with(
            made, lambda w: self.conv2d(m, kernel, groups=groups, weight=w.reshape(m, channels, *kernel), **how)
        )

    def fully(self, m, dims=None, size=4, codewords=16, parts=1, stages=1, **how):
        k = self.x.shape[-1]
        dims, perm = ((k,), (0,)) if dims is None else (dims, (1, 0))
        made = codes(self.rng, m, dims, perm, size, codewords, parts, stages, zeros=True)
        return self._with(made, lambda w: self.dense(m, weight=w, **how))

    def _with(self, made, layer):
        weight, constants, params = made
        layer(weight)
        last = self.kernels[-1]
        self.kernels[-1] = replace(last, params=last.params | params, constants=last.constants | constants)
        return self


def network(seed=0) -> Program:
    """Sizes of 2, 4 and 8, indices of 2 to 8 bits, parts, stages, groups, padding, a flattened map and rows that stay bytes."""
    b = Coded(np.random.default_rng(seed)).input((4, 9, 8), name="x")
    b.conv(16, codewords=32, pads=(1, 1, 1, 1)).conv(16, (1, 1), size=8, codewords=4, parts=2)
    b.conv(24, (3, 3), groups=2, codewords=64, stages=2, strides=(2, 2)).conv(
        8, (2, 2), size=2, codewords=8, parts=3, stages=3
    )
    return b.flatten().fully(40, dims=(8, 6), codewords=256).fully(6).fully(12, size=2).fully(7).program()
