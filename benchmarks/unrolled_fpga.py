"""Binary layers of TFC_1W1A with their weights wired in: LUTs per weight bit of Yosys synth_xilinx.

    python benchmarks/unrolled_fpga.py [--shared DIR] [--layers | --whole]

`--layers`: each binary layer by itself, with counters of 3 and 6 inputs, columns in order and clustered. `--whole`: the
whole network, every tensor of 20 images compared with random stalls, the measured cycles between frames, LUTs (distributed
RAM and shift registers included), block RAMs, and LUTs per weight bit beside the plain figure (1.04: each output has 6:3
counters of its own) and FINN's whole designs (4.5 to 11.5 LUTs per XNOR-MAC). The bar for the whole is 0.85, without
block RAM; ends with 1 where it is missed. The whole takes some twenty minutes and 4 GB.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import records
import yosys
from binary_fpga import model_and_images
from yosys import luts_of

from hwcomp import samples
from hwcomp.backends import _verilog_unrolled as printed
from hwcomp.driver import compile_model
from hwcomp.frontend.load import load_model
from hwcomp.options import CompileOptions
from hwcomp.pixels import Pixels
from hwcomp.plan import unrolled
from hwcomp.verify import compare, engines

OUT = records.OUT / "unrolled_fpga"
PLAIN, FINN, BAR = 1.04, (4.5, 11.5), 0.85


def compiled(model: Path, images: np.ndarray, folder: Path):
    shutil.rmtree(folder, ignore_errors=True)
    (entry,) = load_model(model).graph.inputs
    options = CompileOptions(
        ("fpga",), calibration={entry: images}, name="net", unroll=("all",), input_types={entry: Pixels((0.0,), (255.0,))}
    )  # fmt: skip
    return compile_model(model, folder, options)


def layers(model: Path, images: np.ndarray) -> None:
    """One line per layer and way of sharing."""
    share = unrolled.share
    for k, cluster in ((3, True), (6, False), (6, True)):
        unrolled.GROUP = k
        printed.unrolled.share = lambda weight, k=k, cluster=cluster: share(weight, k, cluster=cluster)
        built = compiled(model, images, OUT / f"layers_{k}_{cluster}")
        for index, kernel in enumerate(built.program.kernels):
            if not (built.dir / "rtl" / f"net_k{index}_unrolled.v").exists():
                continue
            luts, bits = luts_of(yosys.layer(built.dir, index)), kernel.constants["weight"].size
            print(
                f"{kernel.name:10} {bits:6} bits, counters of {k}, clustered {cluster!s:5}: {luts:6} LUT, {luts / bits:.3f} per bit"
            )


def whole(model: Path, images: np.ndarray) -> bool:
    built = compiled(model, images, OUT / "whole")
    stored = samples.to_stored(built.program, dict.fromkeys(built.program.inputs, images[:20]), built.pixels)
    outcome = compare.verify(built, stored, [engines.engine("verilator")])[0]
    cells = yosys.synthesized(built.dir, "net_top")
    bits = sum(k.constants["weight"].size for k in built.program.kernels if "weight" in k.constants)
    luts, rams = luts_of(cells), yosys.block_rams_of(cells)
    print(
        f"whole: {bits} bits, tensors {outcome.status}, {outcome.stats['cycles_per_frame']:.1f} cycles per frame, {luts} LUT, "
        f"{rams} RAMB36, {luts / bits:.3f} LUT per bit (plain {PLAIN}, FINN's designs {FINN[0]} to {FINN[1]})"
    )
    return outcome.status == "equal" and rams == 0 and luts <= BAR * bits


def main() -> int:
    parser = records.arguments(__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--layers", action="store_true", help="only the layers by themselves")
    which.add_argument("--whole", action="store_true", help="only the whole network")
    options = parser.parse_args()
    if (found := model_and_images(options.shared)) is None:
        return 0
    good = True if options.layers else whole(*found)
    if not options.whole:
        layers(*found)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
