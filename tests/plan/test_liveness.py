"""A design stops for ever exactly where beats wait for themselves: against the execution beat by beat."""

import numpy as np
import pytest

from hwcomp.plan.execution import Execution
from hwcomp.plan.liveness import live
from hwcomp.plan.maxplus import Graph, arc


def ring(tokens, beats=6):
    """Two streams that wait for each other, one of them `tokens` beats behind."""
    graph = Graph()
    a, b = graph.link("a", beats), graph.link("b", beats)
    arc(b, a, 1)
    arc(a, b, 1, -tokens)
    return graph


@pytest.mark.parametrize(("tokens", "lives"), [(0, False), (1, True), (6, True), (-1, False)])
def test_a_ring_needs_a_token(tokens, lives):
    assert live(ring(tokens)) == lives


def test_a_circle_closes_through_the_frame_before():
    """Each frame's first beat waits for the last one of the frame before it, which waits for it in turn."""
    graph = Graph()
    a, b = graph.link("a", 4), graph.link("b", 4)
    arc(a, b, 1, index=np.array([-1, -1, -1, -1]))
    assert live(graph)
    arc(b, a, 1, index=np.array([0, 1, 2, 4]))  # the last beat waits for the next frame's first
    assert not live(graph)


def test_beats_in_order_wait_for_what_those_before_wait_for():
    """Beat 0 of `b` needs beat 3 of `a`; so beats 1 to 3 do, though their own arcs ask for less."""
    graph = Graph()
    a, b = graph.link("a", 4), graph.link("b", 4)
    arc(b, a, 1, index=np.array([3, 0, 0, 0]))
    arc(a, b, 1, -3)
    assert not live(graph) and Execution(graph, [], 3).stuck


@pytest.mark.parametrize("seed", range(300))
def test_random_graphs(seed):
    """Streams of several rates; some arcs look back too little, some into the next frame, which the last one has not."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    links = [graph.link(str(i), int(rng.choice([1, 2, 3, 4, 6, 12]))) for i in range(rng.integers(2, 7))]
    for _ in range(int(rng.integers(2, 12))):
        target, source = (links[int(i)] for i in rng.integers(0, len(links), 2))
        even = (np.arange(target.count) * source.count) // target.count
        back = int(rng.integers(-1, 2 * source.count)) if links.index(source) >= links.index(target) else 0
        arc(target, source, 1, index=even - back)
    times = Execution(graph, [], 24).times
    assert live(graph) == all(len(times[id(link)]) >= 8 * link.count for link in links)
