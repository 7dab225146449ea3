"""Random networks of transposes, reshapes, joins and cuts: the passes that rearrange change no value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwcomp.frontend.float_run import run_float
from hwcomp.passes.base import PassContext
from hwcomp.registry import PASSES
from tests.models import loaded, model, values


@st.composite
def networks(draw):
    """(nodes, constants, outputs) over an input x [1, 4, 2, 3]; sizes repeat, so that shapes often fit together."""
    shapes = {"x": (1, 4, 2, 3)}
    nodes, constants = [], {}

    def fresh(shape):
        name = f"t{len(shapes)}"
        shapes[name] = tuple(int(s) for s in shape)
        return name

    def constant(array):
        constants[f"c{len(constants)}"] = np.asarray(array)
        return f"c{len(constants) - 1}"

    for _ in range(draw(st.integers(2, 14))):
        # The latest tensors are the likely ones: chains grow.
        x = draw(st.sampled_from([*shapes, *list(shapes)[-2:] * 4]))
        shape = shapes[x]
        rank = len(shape)
        kind = draw(
            st.sampled_from(["transpose"] * 4 + ["relu", "bias", "add", "add", "concat", "slice", "one", "regroup"])
        )
        if kind == "transpose":
            perm = [0, *draw(st.permutations(range(1, rank)))]
            nodes.append(("Transpose", [x], [fresh(shape[p] for p in perm)], {"perm": perm}))
        elif kind == "relu":
            nodes.append(("Relu", [x], [fresh(shape)], {}))
        elif kind == "bias":
            axis = draw(st.integers(1, rank - 1))
            sizes = [s if a == axis else 1 for a, s in enumerate(shape)][draw(st.integers(0, axis)) :]
            nodes.append(("Add", [x, constant(values(f"{len(nodes)}", *sizes))], [fresh(shape)], {}))
        elif kind == "add":
            other = draw(st.sampled_from([n for n, s in shapes.items() if s == shape]))
            nodes.append(("Add", [x, other], [fresh(shape)], {}))
        elif kind == "concat":
            axis = draw(st.integers(1, rank - 1))
            fits = [
                n
                for n, s in shapes.items()
                if len(s) == rank and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
            ]
            other = draw(st.sampled_from(fits))
            if shape[axis] + shapes[other][axis] < 16:
                joined = [*shape[:axis], shape[axis] + shapes[other][axis], *shape[axis + 1 :]]
                nodes.append(("Concat", [x, other], [fresh(joined)], {"axis": axis}))
        elif kind == "slice":
            axis = draw(st.integers(1, rank - 1))
            end = draw(st.integers(1, shape[axis]))
            start = draw(st.integers(0, end - 1))
            part = [constant([v]) for v in (start, end, axis)]
            nodes.append(("Slice", [x, *part], [fresh([*shape[:axis], end - start, *shape[axis + 1 :]])], {}))
        else:
            rest = [s for s in shape[1:] if s != 1] or [1]
            if kind == "one":
                rest = list(shape[1:]) if rank < 5 else rest
                rest.insert(draw(st.integers(0, len(rest))), 1)
            elif len(rest) > 1:
                at = draw(st.integers(0, len(rest) - 2))
                rest[at : at + 2] = [rest[at] * rest[at + 1]]
            nodes.append(("Reshape", [x, constant([1, *rest])], [fresh([1, *rest])], {}))
    if not nodes:
        nodes.append(("Relu", ["x"], [fresh(shapes["x"])], {}))
    made = list(shapes)[1:]
    outputs = draw(st.lists(st.sampled_from([*made, *made[-2:] * 3]), min_size=1, max_size=3, unique=True))
    return nodes, constants, outputs


@given(networks(), st.permutations(["cancel_transposes", "merge_reshapes", "eliminate_dead"]))
def test_values_stay(network, order):
    nodes, constants, outputs = network
    graph = loaded(model(nodes, {"x": (1, 4, 2, 3)}, constants, outputs)).graph
    x = {"x": np.random.default_rng(0).uniform(-1, 1, (3, 4, 2, 3)).astype(np.float32)}
    want, ctx = run_float(graph, x), PassContext()
    for name in order:
        transposes = sum(n.op == "Transpose" for n in graph.nodes)
        graph = PASSES[name]().run(graph, ctx)
        graph.check()
        assert len({n.name for n in graph.nodes}) == len(graph.nodes)
        assert sum(n.op == "Transpose" for n in graph.nodes) <= transposes
        again = PASSES["infer_shapes"]().run(graph, ctx)
        assert {n: t.shape for n, t in again.tensors.items()} == {n: t.shape for n, t in graph.tensors.items()}
    assert graph.outputs == tuple(outputs)
    for name, array in run_float(graph, x).items():
        np.testing.assert_array_equal(array, want[name])
