"""Timed marked graphs: both solvers and the beat by beat execution on small graphs whose times are known."""

from math import ceil

import numpy as np
import pytest

from hwcomp.plan import cell_timing as cells
from hwcomp.plan.execution import Execution
from hwcomp.plan.maxplus import Frames, Graph, Periodic, arc


def fork_and_join(depth, late=20, count=16):
    """Two branches from a fork to a join, one delayed by a pipeline of `late` stages, one through a FIFO of `depth`."""
    g = Graph()
    source = cells.fifo(g, g.link("in", count), "head").resize(2).pop
    branches = cells.fork(g, source, "fork", 2)
    slow = cells.fifo(g, branches[0], "slow").resize(2).pop
    pipe = cells.Pipe(g, slow, "late", late)
    ends = [cells.fifo(g, pipe.out, "a").resize(2).pop, cells.fifo(g, branches[1], "b").resize(depth).pop]
    out = cells.join(g, ends, "join", [np.arange(count)] * 2, count)
    return g, [pipe], out


def test_a_fifo_passes_one_beat_per_cycle():
    for depth, latency in ((2, 1), (3, 2), (9, 2)):
        g = Graph()
        out = cells.fifo(g, g.link("in", 5), "f").resize(depth).pop
        run = Frames(g, 2)
        run.run()
        assert run.times[id(out)].ravel().tolist() == [latency + i for i in range(10)]


def least(count):
    """The least depth that keeps one beat per cycle in a steady state of `count` beats."""
    return next(d for d in range(2, 60) if Periodic(*steady(d, count)).run(100))


def steady(depth, count):
    g, _, out = fork_and_join(depth, count=count)
    return g, count, [out]


@pytest.mark.parametrize("count", [1, 7, 16, 50])
def test_the_fifo_beside_a_pipeline_holds_what_is_in_it(count):
    """Whatever the length of a frame: a period is no boundary. The other branch takes 1 + 20 + 1 cycles, room another one."""
    assert least(count) == 23


@pytest.mark.parametrize("depth", [2, 5, 10, 22, 23, 30])
def test_steady_states_are_what_the_execution_settles_in(depth):
    g, pipes, out = fork_and_join(depth)
    exact, frames = Execution(g, pipes, 12), Frames(g, 12)
    frames.run()
    times = np.array(exact.times[id(out)])
    assert (times == frames.times[id(out)].ravel()).all()  # no bubble ever waits here
    if depth < 23:  # a beat waits at the fork besides: each round of depth + 1 beats takes 24 cycles
        assert times[-1] - times[-1 - 3 * (depth + 1)] == 3 * 24
    found = next(t for t in range(16, 400) if Periodic(g, t, [out]).run(400))
    assert found == max(16, ceil(16 * 24 / (depth + 1)))


@pytest.mark.parametrize(("depth", "stuck"), [(2, True), (5, True), (7, False), (8, False)])
def test_a_branch_that_needs_more_than_the_other_holds_gets_stuck(depth, stuck):
    """The first beat of a permuted block of 8 comes when the other branch has offered 8: one waits at the fork."""
    g = Graph()
    taken = cells.fork(g, g.link("in", 16), "fork", 2)
    permute = cells.permute(g, cells.fifo(g, taken[0], "a").resize(2).pop, "p", 8)
    other = cells.fifo(g, taken[1], "b").resize(depth).pop
    out = cells.join(g, [permute.out, other], "join", [np.arange(16)] * 2, 16)
    assert Execution(g, [permute], 2).stuck is stuck
    assert Periodic(g, 4000, [out]).run(4000) is not stuck


def test_bubbles_in_a_waiting_pipeline_do_not_close():
    """Beats three cycles apart into a pipeline whose end waits: they come out three cycles apart, not one."""
    g = Graph()
    source = g.link("in", 4)
    gaps = cells.fifo(g, source, "f").resize(2).pop
    arc(gaps, gaps, 3, -1)
    pipe = cells.Pipe(g, gaps, "p", 6)
    door = g.link("door", 1)
    arc(door, gaps, 12, index=np.array([0]))
    arc(pipe.out, door, 0, index=np.array([0, 0, 0, 0]))
    out = np.array(Execution(g, [pipe], 1).times[id(pipe.out)])
    run = Frames(g, 1)
    run.run()
    assert np.diff(out)[0] == 3 and np.diff(run.times[id(pipe.out)][0])[0] == 1
    assert out[0] == run.times[id(pipe.out)][0, 0] == 13


def test_one_graph_has_a_steady_state_for_every_interval():
    """What is kept of an arc from one run to the next is no matter of the interval."""

    def graph():
        g = Graph()
        cells.pad(g, g.link("in", 12), "padded", (3, 4), 1, (0, 2, 0, 2)).resize(4)
        return g

    shared = graph()
    for interval in (60, 30, 24):
        alone = graph()
        runs = Periodic(shared, interval, shared.links[1:]), Periodic(alone, interval, alone.links[1:])
        assert runs[0].run(50) == runs[1].run(50)
        for a, b in zip(shared.links, alone.links, strict=True):
            assert (runs[0].times[id(a)] == runs[1].times[id(b)]).all()
