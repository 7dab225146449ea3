"""What keeps dot products and signs of a few-bit network from being of few bits, as lines of the report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwcomp.graph import Graph
from hwcomp.passes.base import DOT
from hwcomp.quantize.few_bits import recognized
from hwcomp.registry import OPS


def reasons(graph: Graph, few: set[str]) -> Iterator[str]:
    """A line for each dot product that is not of few bits. `few`: tensors that hold a quantizer's values, moved or not."""
    for node in graph.nodes:
        if node.op not in DOT:
            continue
        found = []
        if (source := node.inputs[0]) not in few:
            maker = graph.producer(source)
            what = "is an input of the network" if maker is None else f"comes from {maker.op} '{maker.name}'"
            found.append(f"its input '{source}' {what}, no quantizer of few bits")
        weight = graph.tensors[node.inputs[1]].data
        if (why := unlike(weight.reshape(len(weight), -1))) is not None:
            found.append(why)
        if found:
            yield f"{node.op} '{node.name}' is not of few bits: {'; '.join(found)}"


def unlike(rows: np.ndarray) -> str | None:
    """Where weights [M, K] are no integers of 8 bits times a scale per row; None if they are."""
    for i, row in enumerate(rows):
        if recognized(row[None]) is not None:
            continue
        size = np.abs(row)
        values, counts = np.unique(size[size > 0], return_counts=True)
        usual = values[counts.argmax()]
        other = int(np.argmax((size > 0) & (size != usual)))
        at = int(np.argmax(size == usual))
        return f"channel {i} of its weights has {row[at]:.6g} and {row[other]:.6g}, no multiples of one number"
    return None


def kept_signs(graph: Graph) -> Iterator[str]:
    """A line for each Sign that stays a function with the values -1, 0 and 1."""
    for node in graph.nodes:
        if node.op == "Sign":
            name = node.outputs[0]
            while len(readers := graph.consumers(name)) == 1 and OPS[readers[0].op].keeps_type:
                name = readers[0].outputs[0]
            other = next((f"{r.op} '{r.name}'" for r in readers if r.op not in DOT), "the output of the network")
            yield f"Sign '{node.name}' stays a function, with a 0: {other} reads it"
