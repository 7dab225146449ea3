"""Random chains for the Verilog back end: feature maps, then rows, with every width, sign and form."""

import numpy as np

from sw_ref.program import Program
from tests.program_factory import Builder
from tests.strategies import Seeded, window


def types(dice):
    bits, signed = dice.pick(
        [(8, True), (8, True), (8, False), (4, True), (5, False), (12, True), (16, False), (20, True)]
    )
    return {"bits": bits, "signed": signed}


def numbers(dice):
    """How a dot product requantizes."""
    how = {
        "form": dice.pick(["rne", "affine"]),
        "mb": dice.pick([8, 16, 24, 31]),
        "per_channel": dice.integer(0, 3) > 0,
    }
    return {**types(dice), **how, "bias_bits": dice.pick([1, 12, 20]), "weight_bits": dice.pick([8, 8, 8, 5, 12])}


def map_kernel(dice, b: Builder) -> None:
    kind = dice.pick(["conv2d", "conv2d", "conv2d", "maxpool2d", "avgpool2d", "requantize", "clamp"])
    if kind == "conv2d":
        kernel, attrs, _ = window(dice, b.x.shape[1:])
        groups = dice.pick([1, 1, *(g for g in range(1, b.x.shape[0] + 1) if b.x.shape[0] % g == 0)])
        outputs = dice.integer(1, 9) if groups == 1 else groups * dice.integer(1, 3)
        where = attrs["strides"], attrs["dilations"], attrs["pads"]
        b.conv2d(outputs, kernel, *where, groups=groups, **numbers(dice))
    elif kind == "maxpool2d":
        kernel, attrs, _ = window(dice, b.x.shape[1:])
        b.maxpool2d(kernel, attrs["strides"], attrs["dilations"], attrs["pads"])
    elif kind == "avgpool2d":
        kernel, attrs, _ = window(dice, b.x.shape[1:])
        where = attrs["strides"], attrs["dilations"], attrs["pads"]
        b.avgpool2d(kernel, *where, classes=dice.pick([1, 3, None]), **types(dice))
    elif kind == "requantize":
        b.requantize(**types(dice), per_channel=dice.flag())
    else:
        b.clamp(*sorted((dice.integer(b.x.lo, b.x.hi), dice.integer(b.x.lo, b.x.hi))))


def streaming_program(seed: int) -> tuple[Program, int | None]:
    """The Program, and a budget of lanes (None: the default)."""
    dice = Seeded(seed)
    b = Builder(np.random.default_rng(seed)).input([dice.integer(1, n) for n in (7, 10, 10)], **types(dice))
    for _ in range(dice.integer(1, 4)):
        map_kernel(dice, b)
    if dice.integer(0, 2):
        b.flatten()
        for _ in range(dice.integer(1, 2)):
            b.dense(dice.integer(1, 12), **numbers(dice))
        if dice.flag():
            b.argmax(keepdims=dice.flag())
    return b.program(), dice.pick([None, dice.integer(6, 200)])
