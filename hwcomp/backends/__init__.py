"""One file per backend: (program, plan) -> files. No backend touches the disk or decides anything numeric."""
