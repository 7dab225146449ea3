"""Observers and schemes: which integers stand for which reals."""
