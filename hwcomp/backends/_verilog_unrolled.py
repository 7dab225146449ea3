"""Unrolled layers: the modules that a netlist of shared counters, or of adders, is printed as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwcomp.backends import _verilog_bits as few
from hwcomp.backends import _verilog_rom as rom
from hwcomp.plan import unrolled, unrolled_sums
from hwcomp.plan.adders import Adders
from hwcomp.plan.bits import decides
from hwcomp.plan.lanes import row_sequence, weight_words
from hwcomp.plan.stages import Stage
from sw_ref.program import Edge, Kernel, Program


def module(name: str, program: Program, kernel: Kernel, stage: Stage) -> tuple[str, dict[str, object]]:
    """(template, what it takes) of the module `name`."""
    x, y = (program.edges[n] for n in (kernel.inputs[0], kernel.outputs[0]))
    if unrolled.binary(program, kernel):
        lat = unrolled.latency(program, kernel, stage.fold.steps) - 2
        return "unrolled.v.j2", _counted(name, kernel, stage, x, y, lat)
    return "adders.v.j2", _adders(name, unrolled_sums.of(program, kernel), kernel, stage, x, y)


def counters(kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> unrolled.Counters:
    """Of the engine's lanes and outputs, in their order."""
    words = weight_words(kernel, stage, x, y)
    return unrolled.share(words.reshape(stage.fold.pe, -1))


def _counted(name: str, kernel: Kernel, stage: Stage, x: Edge, y: Edge, lat: int) -> dict[str, object]:
    """What the template of the module `name` takes."""
    c, start = counters(kernel, stage, x, y), few.starts(kernel, x, y)
    begin = rom.start_words(start.values, kernel, stage, y)[0] + c.start * (2 if start.double else 1)
    sign, bits, lanes = decides(kernel, y), c.bits, stage.fold.taps * stage.fold.simd
    outputs = [
        {
            "start": int(first),
            "flip": f"{len(flips)}'b{''.join(str(int(f)) for f in flips[::-1])}",
            "reads": [f"c_q[{r * bits}+:{bits}]" for r in reads[::-1]],
        }
        for first, flips, reads in zip(begin, c.flips, c.reads, strict=True)
    ]  # fmt: skip
    return {
        "name": name, "lanes": lanes, "bits": bits, "acc": start.width, "sign": int(sign), "double": int(start.double),
        "width": 1 if sign else start.width, "lat": lat,
        "steps": min(unrolled.STEPS, stage.fold.steps),
        "reg": unrolled.REGISTER, "outputs": outputs,
        "counters": [_inputs(c.inputs[g], int(p)) for g, p in zip(c.group, c.pattern, strict=True)],
        "idle": _idle(~np.isin(np.arange(lanes), c.inputs)),
    }  # fmt: skip


def _idle(unread: np.ndarray) -> list[str]:
    """The bits of a word that nothing reads, those side by side together: tools limit the tokens of a line."""
    ends = np.flatnonzero(np.diff(unread, prepend=False, append=False)).reshape(-1, 2)
    return [f"x_q[{end - 1}:{start}]" if end - start > 1 else f"x_q[{start}]" for start, end in ends]


def _inputs(lanes: np.ndarray, pattern: int) -> list[str]:
    """What a counter counts, the top bit first."""
    texts = [f"{'' if pattern >> j & 1 else '~'}x_q[{lane}]" if lane >= 0 else "1'b0" for j, lane in enumerate(lanes)]
    return texts[::-1]


def _adders(name: str, graph: Adders, kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> dict[str, object]:
    """Value v is the net v<number>, v<number>_<n> n stages later."""
    order, rows = _lanes(graph, kernel, stage, x, y), row_sequence(kernel, stage, y)[0]
    delays, last = graph.delays(), graph.stages - 1

    def net(value: int, at: int) -> str:
        if graph.inputs <= value < graph.first:
            return f"{graph.width(value)}'d{graph.constants[value - graph.inputs]}"
        late = at - graph.stage[value]
        return f"v{value}_{late}" if late else f"v{value}"

    adds = [
        {
            "name": f"v{v}", "width": graph.width(v), "shift": add.shift, "op": add.op,
            **{s: {"net": net(at, graph.stage[v]), "width": graph.width(at), "signed": int(graph.signed(at))}
               for s, at in (("a", add.a), ("b", add.b))},
        }
        for v, add in enumerate(graph.adds, graph.first)
    ]  # fmt: skip
    outputs = []
    for r in (graph.reads[row] for row in rows):
        width, signed = (graph.width(r.of) + r.shift, graph.signed(r.of)) if r.of >= 0 else (1, False)
        text = [net(r.of, last)] if r.of >= 0 else ["1'b0"]
        if r.shift:
            text.append(f"{r.shift}'b0")
        outputs.append({"net": ", ".join(text), "width": width, "signed": int(signed)})
    read = {v for add in graph.adds for v in add[:2]} | {r.of for r in graph.reads}
    wires = [
        {"name": f"v{i}", "width": graph.width(i), "at": int(lane) * x.bits}
        for i, lane in enumerate(order) if i in read
    ]  # fmt: skip
    held = np.zeros(stage.fold.taps * stage.fold.simd * x.bits, bool)
    for w in wires:
        held[w["at"] : w["at"] + w["width"]] = True
    return {
        "name": name, "bits": len(held), "lat": last, "sign": int(decides(kernel, y)),
        "acc": 1 if decides(kernel, y) else kernel.params["acc_bits"], "wires": wires, "adds": adds, "outputs": outputs,
        "delays": [
            {"name": f"v{v}_{n}", "width": graph.width(v), "of": f"v{v}_{n - 1}" if n > 1 else f"v{v}"}
            for v, most in delays.items() for n in range(1, most + 1)
        ],
        "idle": _idle(~held),
    }  # fmt: skip


def _lanes(graph: Adders, kernel: Kernel, stage: Stage, x: Edge, y: Edge) -> np.ndarray:
    """int64 [inputs]: the lane of the word on which each input of the graph comes."""
    weight = kernel.constants["weight"]
    marks = np.broadcast_to(np.arange(1, graph.inputs + 1).reshape(weight.shape[1:]), weight.shape)
    words = weight_words(replace(kernel, constants=kernel.constants | {"weight": marks}), stage, x, y)
    first = words.reshape(stage.fold.pe, -1)[0]
    lanes = np.zeros(graph.inputs, np.int64)
    lanes[first[first > 0] - 1] = np.flatnonzero(first)
    return lanes
