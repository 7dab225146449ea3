"""Sound models broken on purpose: the registry of such breakages, and nodes to put into a model."""

import numpy as np
from onnx import helper, numpy_helper


def registry():
    """({name: (what breaks a sound model, error, texts)}, the decorator that fills it).

    What breaks a model does so in place, or by returning bytes; the decorator takes the error and what it must say.
    """
    found = {}

    def hostile(error, *texts):
        def add(breaks):
            found[breaks.__name__] = (breaks, error, texts)
            return breaks

        return add

    return found, hostile


def put(model, *nodes, **constants):
    """Put nodes (op, inputs, outputs, attributes) between Gemm and the end, and int64 or float32 constants into the model."""
    last = model.graph.node.pop()
    for i, (op, inputs, outputs, attrs) in enumerate(nodes):
        model.graph.node.append(helper.make_node(op, inputs, outputs, name=f"n{i}", **attrs))
    model.graph.node.append(last)
    for name, values in constants.items():
        array = np.asarray(values)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
