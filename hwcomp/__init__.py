"""hwcomp: trained ONNX networks to C for microcontrollers and Verilog for FPGAs, bit-identical to a NumPy reference.

The Python API; the commands are thin over it. Everything heavy is imported on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

# The folder verify/ and the function verify() share a name. Importing the folder first lets the function have it.
import hwcomp.verify  # noqa: F401

if TYPE_CHECKING:
    import numpy as np

    from hwcomp.pixels import Pixels
    from hwcomp.verify.compare import Outcome
    from hwcomp.verify.engine import Built
    from hwcomp.verify.teacher import TeacherReport

__version__ = "0.1.0"

__all__ = ["Pixels", "compile", "evaluate", "load", "run", "verify", "verify_l4"]


def __getattr__(name: str):
    if name == "Pixels":
        from hwcomp.pixels import Pixels

        return Pixels
    raise AttributeError(f"module 'hwcomp' has no attribute '{name}'")


def compile(  # noqa: A001 (the API's name for it)
    model: str | Path, folder: str | Path, *, target: str | tuple[str, ...] = "mcu,fpga", **options
) -> Built:
    """Compile an ONNX file into a product folder. `options`: the fields of hwcomp.options.CompileOptions.

    An input of raw uint8 pixels: input_types={"image": hwcomp.Pixels(mean=(127.5,), std=(127.5,))}.

    Raises hwcomp.errors.HwcompError; the folder is then as it was before.
    """
    from hwcomp.driver import compile_model
    from hwcomp.options import CompileOptions

    targets = tuple(target.split(",")) if isinstance(target, str) else tuple(target)
    return compile_model(model, folder, CompileOptions(targets=targets, **options))


def load(folder: str | Path) -> Built:
    """Open a product folder: its manifest and its Program."""
    from hwcomp.product import load as load_product

    return load_product(folder)


def run(
    folder: str | Path, inputs: dict[str, np.ndarray], engine: str = "reference", taps: bool = False
) -> dict[str, np.ndarray]:
    """Run samples (real floats, or stored integers) and return stored integers by tensor name."""
    from hwcomp.samples import to_stored
    from hwcomp.verify.engines import engine as get_engine

    built = load(folder)
    return get_engine(engine).run(built, to_stored(built.program, inputs, built.pixels), taps).values


def verify(
    folder: str | Path, inputs: dict[str, np.ndarray] | None = None, engines: tuple[str, ...] = ()
) -> list[Outcome]:
    """Compare every tensor on every engine (default: all that the product has) with the interpreter.

    Without `inputs`: the golden vectors of the product.
    """
    from hwcomp import npz, samples
    from hwcomp.verify import compare
    from hwcomp.verify import engines as all_engines

    built = load(folder)
    stored = samples.to_stored(built.program, inputs or npz.load(built.dir / "vectors" / "inputs.npz"), built.pixels)
    chosen = [all_engines.engine(n) for n in engines] or all_engines.for_product(built)
    return compare.verify(built, stored, chosen)


def verify_l4(folder: str | Path, inputs: dict[str, np.ndarray] | None = None) -> TeacherReport:
    """Compare every layer with onnxruntime on the exported QDQ model, each given the interpreter's integers.

    Without `inputs`: the golden vectors of the product.
    """
    from hwcomp import npz, samples
    from hwcomp.verify.teacher import teacher_forced

    built = load(folder)
    stored = samples.to_stored(built.program, inputs or npz.load(built.dir / "vectors" / "inputs.npz"), built.pixels)
    return teacher_forced(built, stored)


def evaluate(
    folder: str | Path, inputs: dict[str, np.ndarray], labels: np.ndarray | None = None, engine: str = "reference"
):
    """Accuracy, loss against the float model, and signal-to-quantization-noise per layer: hwcomp.verify.evaluate.Evaluation."""
    from hwcomp.verify.evaluate import evaluate as run_evaluation

    return run_evaluation(load(folder), inputs, labels, engine)
