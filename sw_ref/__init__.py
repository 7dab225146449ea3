"""The numeric truth of hwcomp: primitives, the integer Program, and the interpreter that every product must equal.

This package imports NumPy and the standard library only, so that it can be read, audited and reused on its own.
"""
