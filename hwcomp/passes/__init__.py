"""One file per pass: a frozen dataclass with a name; `run(graph, ctx)` is pure."""
