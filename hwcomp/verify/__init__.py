"""Build a product, run it on an engine, compare every tensor with the interpreter."""
