"""Graph to Program: folded biases, requantize constants, bounds, the staircase proof."""
