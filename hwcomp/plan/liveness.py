"""Whether a design can stop for ever, however its beats are timed: does a beat, through any chain of arcs, wait for itself.

An arc says of which beat of another stream a beat needs to be behind, so with beats in order it is a monotone map of numbers
of beats. A stream is eliminated by composing the maps of those that wait for it with its own; a map of a stream to itself that
does not point to a beat before is a circle without a token (liveness of marked graphs: Commoner, Holt, Even, Pnueli, 1971).
This holds for all frames and costs some operations on arrays for each stream, where following beat by beat takes a second.
"""

from __future__ import annotations

import numpy as np

from hwcomp.plan.maxplus import Graph


def live(graph: Graph) -> bool:
    """Whether every beat of `graph` comes in the end, whatever the delays."""
    counts = {id(link): link.count for link in graph.links}
    needs: dict[int, dict[int, np.ndarray]] = {id(link): {} for link in graph.links}
    readers: dict[int, set[int]] = {id(link): set() for link in graph.links}

    def add(link: int, source: int, beats: np.ndarray) -> bool:
        """Beat i of `link` waits for beat `beats[i]` of `source`; False where it waits for itself."""
        if link == source:
            return bool((beats < np.arange(len(beats))).all())
        known = needs[link].get(source)
        needs[link][source] = beats if known is None else np.maximum(known, beats)
        readers[source].add(link)
        return True

    for link in graph.links:
        for a in link.arcs:
            beats = np.arange(link.count) + a.offset if a.index is None else np.asarray(a.index)
            if not add(id(link), id(a.source), _in_order(beats, a.source.count)):
                return False
    left = set(counts)
    while left:
        gone = min(left, key=lambda x: (len(needs[x]) * len(readers[x]), counts[x]))
        for reader in readers[gone]:
            turns, beat = np.divmod(needs[reader].pop(gone), counts[gone])
            for source, beats in needs[gone].items():
                if not add(reader, source, beats[beat] + turns * counts[source]):
                    return False
        for source in needs[gone]:
            readers[source].discard(gone)
        left.discard(gone)
    return True


def _in_order(beats: np.ndarray, count: int) -> np.ndarray:
    """A beat waits for what those before it wait for, in this frame and the one before, which has `count` beats less."""
    beats = np.maximum.accumulate(beats)
    return np.maximum(beats, beats[-1] - count)
