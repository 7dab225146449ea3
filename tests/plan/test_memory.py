import numpy as np
import pytest

from hwcomp.backends._c_kernels import ALIASES
from hwcomp.backends.c import CBackend
from hwcomp.plan import memory
from hwcomp.plan.memory import Block, Work, assign, peak, rooms
from sw_ref.program import Layout
from tests.program_factory import Builder, lenet5
from tests.random_programs import random_network, random_program

IN_PLACE = ("add", "lut", "mul", "softmax")


def disjoint(blocks, offsets):
    for i, a in enumerate(blocks):
        for j, b in enumerate(blocks[:i]):
            if a.meets(b) and a.bytes and b.bytes:
                assert offsets[i] + a.bytes <= offsets[j] or offsets[j] + b.bytes <= offsets[i], (a, b)


@pytest.mark.parametrize("seed", range(60))
def test_blocks_never_overlap_and_little_is_wasted(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    first = rng.integers(0, 40, n)
    blocks = [Block(int(rng.integers(1, 5000)), int(f), int(f + rng.integers(0, 12))) for f in first]
    offsets, total = assign(blocks)
    disjoint(blocks, offsets)
    assert total == max(o + b.bytes for o, b in zip(offsets, blocks, strict=True))
    assert peak(blocks) <= total <= 1.25 * peak(blocks)


@pytest.mark.parametrize("seed", range(40))
def test_chains_reach_the_lower_bound_within_a_tenth(seed):
    """A chain of layers: neighbours live together, and some also have scratch."""
    rng = np.random.default_rng(seed)
    blocks = [Block(int(rng.integers(1, 5000)), i, i + 1) for i in range(int(rng.integers(1, 40)))]
    blocks += [Block(int(rng.integers(1, 1000)), i, i) for i in range(1, len(blocks), 2)]
    offsets, total = assign(blocks)
    disjoint(blocks, offsets)
    assert total <= 1.1 * peak(blocks)


def test_nothing_needs_no_arena():
    assert assign([]) == ([], 0)


def lives(program, plan):
    """(bytes, first, last, offset) of everything in the arena."""
    found = {}
    for i, k in enumerate(program.kernels):
        for name in (*k.inputs, *k.outputs):
            place = plan.places[name]
            if place.where == "arena":
                _, first, last = found.get(place.offset, {}).get(name, (0, i, i))
                found.setdefault(place.offset, {})[name] = (place.bytes, min(first, i), max(last, i))
    return [(*v, offset) for offset, names in found.items() for v in names.values()]


def check_lives(program, plan):
    """Nothing is overwritten before its last reader: written anew, from the edges' own lives."""
    end = len(program.kernels)
    first = dict.fromkeys(program.inputs, -1) | {k.outputs[0]: i for i, k in enumerate(program.kernels)}
    last = first | {n: i for i, k in enumerate(program.kernels) for n in k.inputs} | dict.fromkeys(program.outputs, end)
    aliases = {k.outputs[0]: k.inputs[0] for k in program.kernels if k.kind in ALIASES}

    def root(n):
        return root(aliases[n]) if n in aliases else n

    in_place = 0
    for n in sorted(first, key=first.get):
        a = plan.places[n]
        assert a.where != "input" or root(n) in program.inputs
        for m in first:
            b = plan.places[m]
            if n == m or root(n) == root(m) or (a.where, b.where) != ("arena", "arena") or first[m] < first[n]:
                continue
            if a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset or last[n] < first[m]:
                continue
            maker = program.producer(m)
            assert maker.kind in IN_PLACE and last[n] == first[m] and n in maker.inputs, (n, m)
            assert (a.offset, a.bytes) == (b.offset, b.bytes)
            in_place += 1
    return in_place


@pytest.mark.parametrize("seed", range(300, 400))
def test_nothing_is_overwritten_that_is_read_again(seed):
    program = random_network(seed)
    check_lives(program, CBackend().plan(program, {}))


def residual(shape=(8, 6, 6)):
    b = Builder(np.random.default_rng(0)).input(shape).conv2d(8, (1, 1), name="left")
    return b.at("t0").conv2d(8, (1, 1), name="right")


def test_a_sum_takes_over_an_input_that_dies():
    b = residual().plus("left", name="sum").conv2d(2, (1, 1))
    plan = CBackend().plan(b.program(), {})
    assert check_lives(b.program(), plan) == 1
    assert plan.places["sum"] == plan.places["right"], "the first of the two"
    assert plan.peak_tensors == 3 * 8 * 36, "the input and both sides"


def test_a_sum_takes_over_nothing_that_is_read_again():
    for outputs in (["left"], ["left", "right"], ["left", "t0"]):
        b = residual().plus("left", name="sum")
        b.plus("right", name="again").conv2d(2, (1, 1))
        program = b.program([b.last, *outputs])
        plan = CBackend().plan(program, {})
        check_lives(program, plan)
        assert plan.places["sum"].offset not in (plan.places["left"].offset, plan.places["right"].offset)


def test_a_sum_takes_over_nothing_of_another_size_or_from_the_caller():
    b = residual().requantize(bits=16).plus("left", name="sum").conv2d(2, (1, 1))
    assert (
        CBackend().plan(b.program(), {}).places["sum"].offset == CBackend().plan(b.program(), {}).places["left"].offset
    )
    b = residual().plus("left", bits=16, name="sum").conv2d(2, (1, 1))
    assert check_lives(b.program(), CBackend().plan(b.program(), {})) == 0
    b = Builder(np.random.default_rng(0)).input((9,), name="a").input((9,), name="b").plus("a", name="sum").dense(2)
    plan = CBackend().plan(b.program(), {})
    assert (plan.places["a"].where, plan.places["sum"].where) == ("input", "arena")


def test_a_sum_of_a_reshaped_tensor_keeps_what_its_other_name_reads():
    b = Builder(np.random.default_rng(0)).input((9,)).dense(6, name="v").reshape((6, 1, 1), name="m")
    b.at("v").plus("v", name="sum").dense(3)
    left = b.last
    b.at("m").conv2d(2, (1, 1))
    program = b.program([left, b.last])
    plan = CBackend().plan(program, {})
    assert check_lives(program, plan) == 0
    assert plan.places["sum"].offset != plan.places["v"].offset


@pytest.mark.parametrize("seed", range(80))
def test_random_programs(seed):
    program = random_program(seed)
    plan = CBackend().plan(program, {})
    tensors = lives(program, plan)
    for step in plan.steps:
        for size, first, last, offset in tensors:
            if first <= step.kernel <= last and step.scratch:
                at = step.scratch_offset
                assert at + step.scratch <= offset or offset + size <= at, "scratch lies in a tensor that is alive"
        assert step.scratch_offset + step.scratch <= plan.arena_bytes or not step.scratch
        assert step.scratch_offset % plan.align == 0
    for k in program.kernels:
        a, b = plan.places[k.inputs[0]], plan.places[k.outputs[0]]
        if k.kind in ALIASES:
            assert (a.where, a.offset, a.port) == (b.where, b.offset, b.port)
        elif a.where == b.where == "arena" and k.kind not in IN_PLACE:
            assert a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
    assert all(size + offset <= plan.arena_bytes and offset % plan.align == 0 for size, _, _, offset in tensors)
    assert plan.peak_tensors <= plan.peak_live <= plan.arena_bytes <= 1.1 * plan.peak_live


def test_lenet5_stays_within_its_live_tensors():
    plan = CBackend().plan(lenet5(), {})
    assert plan.peak_tensors == 24 * 24 * 20 + 12 * 12 * 20
    assert plan.arena_bytes <= 1.1 * plan.peak_tensors
    assert [s.choice for s in plan.steps if s.weights] == [0, 0, 0, 0], "all layers run their fastest way"


def test_scratch_steps_down_rather_than_exceed_the_slack():
    program = Builder(np.random.default_rng(0)).input((784,)).dense(300).dense(100).dense(10).program()
    tight, wide = CBackend().plan(program, {}), CBackend().plan(program, {"arena_slack": 100})
    assert tight.arena_bytes == tight.peak_tensors == 400
    assert wide.arena_bytes == 2 * 784 + 300, "columns of halfwords for the first layer"


def test_what_one_kernel_needs_anyway_is_there_for_the_others():
    """The third kernel's only way takes 500 bytes, far over the slack: the first one's fast way, which costs no more, is kept."""
    b = Builder(np.random.default_rng(0)).input((40,))
    program = b.dense(40).dense(40).dense(40).dense(40).program()
    work = [Work((80, 0)), Work((700, 300, 0)), Work((500,)), Work((0,))]
    chosen = memory.plan(program, work, frozenset())
    assert [s.choice for s in chosen.steps] == [0, 1, 0, 0]
    assert chosen.arena_bytes == 500 + 80
    assert [s.choice for s in memory.plan(program, work, frozenset(), slack=-1).steps] == [1, 2, 0, 0]


def test_the_callers_arrays_are_used_where_the_order_agrees():
    rng = np.random.default_rng(0)
    flat = Builder(rng).input((1, 6, 6)).conv2d(4).flatten().dense(3)
    plan = CBackend().plan(flat.program(), {})
    assert plan.places["t0"].where == "input"
    assert plan.places[flat.last].where == "output"
    assert plan.loads == plan.stores == ()

    maps = Builder(rng).input((3, 6, 6)).conv2d(4)
    plan = CBackend().plan(maps.program(), {})
    assert plan.loads == plan.stores == (0,)
    assert {p.where for p in plan.places.values()} == {"arena"}


def test_an_output_that_others_read_is_read_where_it_is():
    b = Builder(np.random.default_rng(0)).input((8,)).dense(8)
    first = b.last
    b.dense(4)
    plan = CBackend().plan(b.program([b.last, first]), {})
    assert [plan.places[n].where for n in (first, b.last)] == ["output", "output"]
    assert plan.arena_bytes == 0


def test_layouts_are_what_decides():
    b = Builder(np.random.default_rng(0)).input((4, 1, 1))
    assert b.x.layout == Layout.row_major((4, 1, 1)), "one pixel has no order"
    assert CBackend().plan(b.conv2d(2, (1, 1)).program(), {}).loads == ()


def test_rooms_are_what_the_plan_gives():
    """A kernel's preferred scratch fits where the tensors that live then leave it, not a byte more."""
    blocks = [Block(400, -1, 1), Block(600, 0, 2), Block(200, 1, 3)]
    assert rooms(blocks, range(4)) == [1320 - 1000, 1320 - 1200, 1320 - 800, 1320 - 200]
    assert rooms(blocks, [1], slack=0.5) == [600]
