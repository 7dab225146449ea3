"""Decisions of networks of few bits on whole test sets: the C product beside the model in somebody else's float arithmetic.

    python benchmarks/decisions.py [--only NAME]

Files of plain ONNX run in onnxruntime, those with operators of QONNX in qonnx 1.0.0. Two classes of exactly the same float
value are a tie, which either decides as it likes. Of each image on which the decisions differ: how far the two classes are
apart in float, and the sign that flipped first, with the float value in front of it. Ends with 1 where fewer decisions agree
than should.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import m4
import numpy as np
import onnx
import onnxruntime
import peer_qonnx
import records

import hwcomp
from hwcomp.samples import to_stored
from hwcomp.verify.c_host import CHost
from tests.zoo import QONNX, member

OUT = records.OUT / "decisions"
# Networks, and the least percentage of decisions that agree.
NETWORKS = {
    "bnn_mlp_mnist": 100, "TFC_1W1A": 100, "TFC_1W2A": 100, "TFC_2W2A": 100, "bnn_cnn_fashion": 99.95, "kwsmlp_w3a3": 100,
}  # fmt: skip


def in_float(name: str, path: Path, x: np.ndarray) -> np.ndarray:
    """What the model says of each sample, float32 [samples, classes]."""
    if name in QONNX:
        python = peer_qonnx.install(OUT / "qonnx-venv")
        np.savez(OUT / "x.npz", x=x)
        m4.call([python, peer_qonnx.__file__, path, OUT / "x.npz", OUT / "y.npz"])
        return np.load(OUT / "y.npz")["y"].reshape(len(x), -1)
    return values(path, x)[0].reshape(len(x), -1)


def values(path: Path, x: np.ndarray, names: tuple[str, ...] = ()) -> list[np.ndarray]:
    """Outputs of the model and the tensors `names`, in onnxruntime, a sample at a time: [samples, *shape] each."""
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    found = [session.run(None, {source.name: sample[None]}) for sample in x]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def flipped(path: Path, built, x: np.ndarray) -> str:
    """The first signs that differ on the one image `x`, and the float values in front of them."""
    model, program = onnx.load(path), built.program
    have = CHost().run(built, to_stored(program, {program.inputs[0]: x}), True).values
    for node in (n for n in model.graph.node if n.op_type == "Sign"):
        (name,) = node.output
        if name not in have:
            continue
        before, after = values(path, x, (node.input[0], name))[1:]
        other = np.flatnonzero((program.edges[name].to_real(have[name]).reshape(after.shape) > 0) != (after > 0))
        if other.size:
            near = ", ".join(f"{v:.2g}" for v in before.ravel()[other])
            return f"{other.size} of {after.size} signs of {name} differ; float values there {near} (deviation {before.std():.2g})"
    return "no sign differs"


def measure(name: str) -> tuple[str, list[str]]:
    """(row of the table, a line for each image that differs)."""
    m = member(name)
    built = hwcomp.compile(m.path, OUT / name, target="mcu", calibration={m.input: m.calibration[:256]})
    program = built.program
    (output,) = program.outputs
    found = CHost().run(built, to_stored(program, {m.input: m.images}), False).values[output]
    ours, theirs = program.edges[output].to_real(found).reshape(len(m.images), -1), in_float(name, m.path, m.images)
    best = theirs.max(1, keepdims=True)
    tied = (theirs == best).sum(1) > 1
    same = theirs[np.arange(len(theirs)), ours.argmax(1)] == best[:, 0]  # any of the tied classes will do
    lines = []
    for i in np.flatnonzero(~same):
        a, b = theirs[i].argmax(), ours[i].argmax()
        cause = "" if name in QONNX else "; " + flipped(m.path, built, m.images[i : i + 1])
        lines.append(f"  image {i}: {b}, model {a}, {theirs[i, a] - theirs[i, b]:.2g} apart in float{cause}")
    percent = 100 * same.mean()
    rates = [] if m.labels is None else [100 * (y.argmax(1) == m.labels).mean() for y in (ours, theirs)]
    row = f"{name:16} {len(same):7,} {int((~same).sum()):7} {int(tied.sum()):6} {percent:8.2f}  {' / '.join(f'{r:.2f}' for r in rates)}"
    return row + ("" if percent >= NETWORKS[name] else f"  below {NETWORKS[name]}"), lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=NETWORKS, help="only this network (repeatable)"
    )
    names = parser.parse_args().only or NETWORKS
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{'network':16} {'images':>7} {'differ':>7} {'ties':>6} {'same, %':>8}  accuracy: product / model")
    bad = False
    for name in names:
        row, lines = measure(name)
        print("\n".join([row, *lines]), flush=True)
        bad |= "below" in row
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
