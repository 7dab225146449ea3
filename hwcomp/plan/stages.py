"""What a DataflowPlan is made of: streams into engines through FIFOs, engines, ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwcomp.errors import UnsupportedError
from hwcomp.plan.codebooks import Codebook
from hwcomp.plan.folding import Fold
from hwcomp.plan.streams import Convert, Permute, Stream
from sw_ref.program import Kernel

Reader = tuple[int, int]
"""Who reads a stream: (index of the kernel, which of its inputs), or (OUTPUT, index of the graph output)."""
OUTPUT = -1
ALIASES = ("reshape", "transpose")
"""Kernels that give the same elements in the same order another name: nothing is built for them."""


@dataclass(frozen=True)
class Window:
    """Parameters of hwc_window: padded frame `rows` x `cols`, `words` per pixel, `taps` read at a time, `depth` words.

    `sets`: parts of a pixel (groups of a convolution, words of a depthwise one) whose windows are read one by one.
    `kept`: where beats of zero weights are left out, those of a window.
    """

    taps: int
    rows: int
    cols: int
    words: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    repeat: int
    depth: int
    sets: int = 1
    kept: int = 0

    @property
    def held(self) -> bool:
        """Whether it is one word, which waits in front of the engine instead: there is no buffer."""
        return self.depth == 1


@dataclass(frozen=True)
class Source:
    """A stream on its way into an engine or port: the `stream` of `edge`, a FIFO, then `steps`, which make it `arrives`.

    `edge` has nets of its own (reshapes and transposes have none). `depth`: words of the FIFO. `late`: it stands behind the
    steps, with another one of two words in front of them: an engine that takes its inputs in turn must find whole words.
    """

    edge: str
    stream: Stream
    arrives: Stream
    steps: tuple[Convert | Permute, ...] = ()
    depth: int = 2
    late: bool = False

    @property
    def buffered(self) -> Stream:
        """What the FIFO holds words of."""
        return self.arrives if self.late else self.stream

    @property
    def beats(self) -> int:
        """Cycles that a frame needs at the narrowest place."""
        elements = self.stream.channels * self.stream.pixels
        between = [s.words * s.blocks if isinstance(s, Permute) else elements // s.lanes_out for s in self.steps[:-1]]
        return max(self.stream.beats, self.arrives.beats, *between, 0)


@dataclass(frozen=True)
class Stage:
    """One engine. `beats`: cycles it needs per frame when nothing stalls it; the largest of all is the interval.

    `buffer`: words of a FIFO in front of the padding; `pads`: (top, left, bottom, right) inserted; `window` and `fold`
    of dot products and window sums; `serialize`: accumulators to `out.lanes` at a time; `order`: channel i of a pixel
    comes from that channel. None: not needed. `turns`: of a concat, the beats of each input in turn; of a slice, the beats
    of a round, the first and the last that pass. `codebook`: of weights that are indices in ROM.
    """

    kernel: int
    beats: int
    sources: tuple[Source, ...]
    out: Stream
    pads: tuple[int, int, int, int] | None = None
    window: Window | None = None
    fold: Fold | None = None
    serialize: Convert | None = None
    order: tuple[int, ...] | None = None
    turns: tuple[int, ...] = ()
    buffer: int = 0
    codebook: Codebook | None = None


@dataclass(frozen=True)
class Port:
    """A graph input or output: the stream `outer` outside; for an output the `source` inside."""

    edge: str
    outer: Stream
    source: Source | None = None


@dataclass(frozen=True)
class DataflowPlan:
    """`streams`: how every edge travels. `lanes`: multiply-accumulate lanes in all, of `budget`.

    `roots`: edge -> the edge whose nets carry it (a reshape or transpose has none of its own). `least_fifos`: no FIFO can have
    one word less; else some have words too many.
    """

    budget: int
    lanes: int
    interval: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    streams: dict[str, Stream]
    roots: dict[str, str]
    stages: tuple[Stage, ...]
    least_fifos: bool = False

    def sources(self) -> dict[Reader, Source]:
        """Every way of a stream into an engine or an output port."""
        found = {(s.kernel, i): source for s in self.stages for i, source in enumerate(s.sources)}
        return found | {(OUTPUT, i): port.source for i, port in enumerate(self.outputs)}

    def readers(self) -> dict[str, list[Reader]]:
        """Edge with nets of its own -> who reads it. Several: a fork; none: its beats are thrown away."""
        found: dict[str, list[Reader]] = {root: [] for root in self.roots.values()}
        for reader, source in self.sources().items():
            found[source.edge].append(reader)
        return found

    def with_depths(self, depths: Mapping[Reader, int]) -> DataflowPlan:
        """The same plan with other FIFOs in front of some readers."""

        def deeper(source: Source, reader: Reader) -> Source:
            return replace(source, depth=depths.get(reader, source.depth))

        stages = tuple(
            replace(s, sources=tuple(deeper(x, (s.kernel, i)) for i, x in enumerate(s.sources))) for s in self.stages
        )
        outputs = tuple(replace(p, source=deeper(p.source, (OUTPUT, i))) for i, p in enumerate(self.outputs))
        return replace(self, stages=stages, outputs=outputs)


def unsupported(kernel: Kernel, what: str) -> UnsupportedError:
    """The error that says which node has no engine in this form."""
    node = kernel.origin[0] if kernel.origin else kernel.name
    return UnsupportedError(f"{what} is not available for targets fpga and hls", node=node, fix="target mcu can do it")
