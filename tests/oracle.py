"""What every layer of a Program should compute, from the quantized float graph in double precision, layer by layer.

The engines can agree on a Program that is wrong; this looks at the Program itself. Each layer gets the integers the
interpreter gave to it, as reals, computes in float64 and quantizes: at most one step away, and only next to a tie.
"""

import numpy as np

from hwcomp.registry import OPS
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


def worst_steps(graph, program, stored):
    """[(output, steps)] per kernel: how many steps of its type a layer is away from the rounded real value at most,
    beyond rounding itself (0.0: always the nearest integer)."""
    taps = run_program(program, stored, taps=True)
    by_output = {node.outputs[0]: node for node in graph.nodes}
    found = []
    for kernel in program.kernels:
        node = by_output[kernel.outputs[0]]
        have = taps[kernel.outputs[0]].astype(np.float64)
        inputs = {n: real(taps[n], graph.tensors[n].qtype) for n in kernel.inputs}
        if kernel.kind in ("gru", "lstm") and not node.inputs[4]:  # one step at a time, each behind the Program's own
            y = node.outputs[0]
            node = node.with_(inputs=(*node.inputs[:4], y, *node.inputs[5:]))
            inputs[y] = real(taps[y], graph.tensors[y].qtype)
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
        edge = program.edges[kernel.outputs[0]]
        exact = np.clip(arrays / float(edge.scale) + edge.zero, *edge.type_range)
        found.append((kernel.outputs[0], float(np.maximum(np.abs(have - exact) - 0.5, 0).max(initial=0.0))))
    return found
