"""Kernels on single elements for the Builder of random Programs: tables and products."""

import numpy as np

from sw_ref.program import Layout, type_range

WIDEST = 10  # bits of the inputs of random tables: keeps them small


class Elements:
    def lut(self, bits=8, signed=True, name=None, **how):
        """A table of random values, the least and the most of the output's range among them."""
        x = self.x
        out = self.edge(x.shape, bits, signed, layout=x.layout, name=name, **how)
        first, last = type_range(x.bits, x.signed)
        table = self.rng.integers(out.lo, out.hi + 1, last - first + 1)
        table[self.rng.integers(0, len(table), 2)] = out.lo, out.hi
        return self.add("lut", out, {"first": first}, {"table": table.astype(np.int32)})

    def gates(self):
        """Edges with one value per channel of `last`."""
        shape = (self.x.shape[0], *[1] * (len(self.x.shape) - 1))
        usual = self.x.layout in (Layout.channels_last(self.x.shape), Layout.row_major(self.x.shape))
        return [e.name for e in self.edges.values() if e.shape == shape and usual and len(shape) > 1]

    def times(self, other, bits=8, signed=True, form=None, mb=20, name=None, **how):
        """`last` * `other`, of one shape or with one value per channel."""
        a, b = self.x, self.edges[other]
        out = self.edge(a.shape, bits, signed, layout=a.layout, name=name, **how)
        zeros = [int(self.rng.integers(e.lo, e.hi + 1)) for e in (a, b)]
        ends = [(p - zeros[0]) * (q - zeros[1]) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
        acc_lo, acc_hi = min(ends), max(ends)
        record, constants = self.record(acc_lo, acc_hi, out, 1, form, mb)
        acc_bits = max(acc_hi.bit_length(), (~acc_lo).bit_length(), 1) + 1
        params = {"zeros": zeros, "acc_bits": acc_bits, "acc_lo": acc_lo, "acc_hi": acc_hi, "requantize": record}
        return self.add("mul", out, params, constants, (a.name, b.name))


def random_element(b, kind, draw, acts, others) -> None:
    """A table, or a product with one of `others`, with a gate that exists or with the averages of `last` itself."""
    x = b.x
    if kind == "lut":
        if x.bits > WIDEST:
            b.requantize(**{**acts(), "bits": draw(3, 8, WIDEST)})
        b.lut(**acts())
        return
    if len(x.shape) == 3 and draw(True, False):
        b.global_average()
        others = [b.last]
    how = {"form": draw(None, "affine"), "mb": draw(8, 16, 24, 31)}
    b.at(x.name).times(draw(*others, *b.gates()), **acts(), **how)
