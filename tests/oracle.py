"""What every layer of a Program should compute, from the quantized float graph in double precision, layer by layer.

The engines can agree on a Program that is wrong; this looks at the Program itself. Each layer gets the integers the
interpreter gave to it, as reals, computes in float64 and quantizes: at most one step away, and only next to a tie.
"""

import numpy as np

from hwcomp.registry import OPS
from hwcomp.verify import _cells
from hwcomp.verify.reference import run_program


def real(q, qtype, axis=None):
    """Stored integers -> float64 reals."""
    scale = np.asarray(qtype.scale, np.float64)
    if axis is not None and scale.size > 1:
        scale = scale.reshape(-1, *[1] * (q.ndim - 1))
    return (q.astype(np.float64) - qtype.zero) * scale


def operands(graph, node, given):
    """Arrays for `evaluate`: the layer's inputs as reals (`given`, by name), its constants as float64."""
    for name in node.inputs:
        tensor = graph.tensors.get(name)
        if not name:
            yield None
        elif not tensor.is_constant:
            yield given[name]
        elif tensor.qtype is not None:
            yield real(tensor.data, tensor.qtype, axis=0)
        else:
            yield tensor.data.astype(np.float64) if tensor.data.dtype.kind == "f" else tensor.data


def at(reals, edge):
    """In steps of the edge's type, before rounding."""
    return np.clip(reals / float(edge.scale) + edge.zero, *edge.type_range)


def recurrent(graph, program, node, kernel, taps):
    """The exact output of an LSTM or GRU behind the Program's own hidden states, and what it may be wrong by."""
    a, cell = node.attrs, node.attrs.output == "cell"
    seen = program.edges[kernel.inputs[1] if cell else kernel.outputs[0]]
    count, d = len(taps[seen.name]), len(a.directions)
    stored = _cells.Stored(float(seen.scale), seen.zero, *seen.type_range)
    given = [None if graph.tensors.get(n) is None else graph.tensors[n] for n in node.inputs]
    w, r = (real(t.data, t.qtype, axis=0).reshape(d, -1, t.data.shape[-1]) for t in given[1:3])
    b = np.zeros((d, 2, w.shape[1])) if given[3] is None else given[3].data.astype(np.float64).reshape(d, 2, -1)
    states = []
    for t in (*given[5:], None, None)[:2]:
        if t is None:
            states.append(np.zeros((count, d, a.hidden)))
        elif t.is_constant:
            states.append(np.broadcast_to(t.data.reshape(-1, d, a.hidden), (count, d, a.hidden)))
        else:
            states.append(real(taps[t.name], t.qtype).reshape(count, d, a.hidden))
    layer = _cells.Layer(kernel.kind, a.directions, w, r, b, a.linear_before_reset, stored)
    x = real(taps[kernel.inputs[0]], given[0].qtype).reshape(count, a.length, -1)
    hidden = real(taps[seen.name], graph.tensors[seen.name].qtype).reshape(count, a.length, d, a.hidden)
    return layer.behind(x, hidden, *states)[cell]


def worst_steps(graph, program, stored):
    """[(output, steps)] per kernel: how many steps of its type a layer is away from the rounded real value at most,
    beyond rounding itself (0.0: always the nearest integer), and beyond what tables and states of a recurrent one may be
    wrong by (docs/numerics.md), which is no part of a step."""
    taps = run_program(program, stored, taps=True)
    by_output = {node.outputs[0]: node for node in graph.nodes}
    found = []
    for kernel in program.kernels:
        node = by_output[kernel.outputs[0]]
        have = taps[kernel.outputs[0]].astype(np.float64)
        inputs = {n: real(taps[n], graph.tensors[n].qtype) for n in kernel.inputs}
        edge = program.edges[kernel.outputs[0]]
        if kernel.kind in ("gru", "lstm"):
            exact = recurrent(graph, program, node, kernel, taps)
            away = np.abs(have - at(exact.value.reshape(have.shape), edge)) - exact.error.reshape(have.shape) / float(
                edge.scale
            )
            found.append((kernel.outputs[0], float(np.maximum(away - 0.5, 0).max(initial=0.0))))
            continue
        if graph.batched:
            arrays = OPS[node.op].evaluate(node, list(operands(graph, node, inputs)))[0]
        else:
            rows = [{n: a[i] for n, a in inputs.items()} for i in range(len(have))]
            arrays = np.stack([OPS[node.op].evaluate(node, list(operands(graph, node, row)))[0] for row in rows])
        assert arrays.shape == have.shape
        if kernel.kind == "argmax":
            assert (arrays == have).all()
            found.append((kernel.outputs[0], 0.0))
            continue
        found.append((kernel.outputs[0], float(np.maximum(np.abs(have - at(arrays, edge)) - 0.5, 0).max(initial=0.0))))
    return found
