"""Networks with branches and joins: Programs whose FIFOs must be deeper than two words somewhere."""

import numpy as np

from sw_ref.program import Program
from tests.program_factory import Builder

HOW = {"mb": 24, "form": "affine"}


def start(*shape: int) -> Builder:
    return Builder(np.random.default_rng(1)).input(shape, name="x")


def conv3(b: Builder, outputs: int, strides=(1, 1), groups: int = 1) -> Builder:
    return b.conv2d(outputs, (3, 3), strides, pads=(1, 1, 1, 1), groups=groups, **HOW)


def identity() -> Program:
    """A residual block with an identity shortcut."""
    b = conv3(start(4, 8, 8), 4)
    fork = b.last
    return conv3(conv3(b, 4), 4).plus(fork).program()


def strided() -> Program:
    """A residual block with a strided 1x1 shortcut."""
    b = conv3(start(4, 8, 8), 4)
    fork = b.last
    main = conv3(conv3(b, 6, (2, 2)), 6).last
    return b.at(fork).conv2d(6, (1, 1), (2, 2), **HOW).plus(main).program()


def fire() -> Program:
    """SqueezeNet: squeeze, expand by 1x1 and by 3x3, concatenated."""
    b = start(3, 9, 9).conv2d(4, (1, 1), **HOW)
    fork = b.last
    small = b.conv2d(4, (1, 1), **HOW).last
    large = conv3(b.at(fork), 4).last
    return b.at(small).concat([large]).conv2d(5, (1, 1), **HOW).program()


def split() -> Program:
    """ShuffleNet V2: half of the channels through a depthwise branch, then shuffled."""
    b = conv3(start(3, 8, 8), 8)
    fork = b.last
    left = b.slice(0, 4).last
    right = conv3(b.at(fork).slice(4, 8).conv2d(4, (1, 1), **HOW), 4, groups=4).conv2d(4, (1, 1), **HOW).last
    return b.at(left).concat([right]).shuffle(groups=2).program()


def nested() -> Program:
    """A fork inside a branch of a fork."""
    b = conv3(start(3, 7, 7), 4)
    outer = b.last
    inner = b.conv2d(4, (1, 1), **HOW).last
    return conv3(conv3(b, 4).plus(inner), 4).plus(outer).program()


def straight() -> Program:
    """A fork straight into a join."""
    b = conv3(start(4, 6, 6), 4)
    return b.plus(b.last).program()


def sliced() -> Program:
    """A fork right behind a slice, which has no registers: beats wait in the slice until both readers have them."""
    b = conv3(start(3, 8, 8), 4).slice(1, 3)
    fork = b.last
    return conv3(b, 2).plus(fork).program()


def resnet8(channels=(2, 4, 6), size: int = 10) -> Program:
    """The shape of ResNet-8: three residual blocks, two with strided 1x1 shortcuts, a global average and a dense layer."""
    b = conv3(start(3, size, size), channels[0])
    for i, m in enumerate(channels):
        fork, strides = b.last, (2, 2) if i else (1, 1)
        main = conv3(conv3(b, m, strides), m).last
        b = b.at(fork).conv2d(m, (1, 1), strides, **HOW).plus(main) if i else b.plus(fork)
    return b.global_average(**HOW).flatten().dense(10, **HOW).program()


NETWORKS = {f.__name__: f for f in (identity, strided, fire, split, nested, straight, sliced)}
