"""LeNet-300-100 with shared weights (`--share BITS`) or vectors (`--share-vectors SIZExCODEWORDS`) in Verilog: bits of ROM of the
network, and block RAMs and LUTs of Yosys synth_xilinx of one layer's dot products, with weights in ROM and with indices and tables.

    python benchmarks/codebook_fpga.py [--shared DIR] [--codes 2,3,4,4x256] [--lanes N] [--layer N]

Every tensor of 20 images is compared on the Verilated design with random stalls. Ends with 1 where one differs.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import records
import yosys
from binary_fpga import mnist

from hwcomp import product, samples
from hwcomp.backends.base import Product
from hwcomp.backends.verilog import Verilog
from hwcomp.driver import compile_model
from hwcomp.frontend.load import load_model
from hwcomp.options import CompileOptions
from hwcomp.plan.codebooks import FAMILIES
from hwcomp.plan.dataflow import plan_dataflow
from hwcomp.verify import compare, engines
from sw_ref import interp

WRAPPER = """module engine (input clk, rst, v, output r, input [{x}:0] d, output mv, input mr, output [{y}:0] m);
hwc_mvu #({params}) u (.clk_i(clk), .rst_ni(rst), .s_valid_i(v), .s_ready_o(r), .s_data_i(d), .m_valid_o(mv), .m_ready_i(mr), .m_data_o(m));
endmodule
"""
OUT = records.OUT / "codebook_fpga"


def engine(folder: Path, kernel: int) -> dict[str, int]:
    """Cells of a layer's hwc_mvu on its own, by type."""
    rtl = folder / "rtl"
    (text,) = re.findall(rf"hwc_mvu #\(([^;]*?)\) u_k{kernel}_mvu", (rtl / "net_top.v").read_text())
    params = re.sub(r'\{MEM_DIR, "/([^"]+)"\}', rf'"{rtl}/mem/\1"', text)
    pe, simd, acc = (int(re.search(rf"\.{name}\((\d+)\)", params)[1]) for name in ("PE", "SIMD", "ACC_W"))
    wrapper = WRAPPER.format(params=params, x=simd * 8 - 1, y=pe * acc - 1)
    (folder / "engine.v").write_text(wrapper)
    return yosys.cells_of([*rtl.glob("hwc_*.v"), folder / "engine.v"], "engine", folder, options="-noiopad")


def measure(built: product.Built, stored: dict, lanes: int, layer: int, family: str | None) -> tuple[str, str]:
    """(whether all tensors are equal, a row of the table) of a product whose Verilog is planned again; `family` None: no tables.
    `layer`: whose cells are counted, from 1."""
    back_end, program = Verilog(), built.program
    plan = plan_dataflow(program, lanes, logic=FAMILIES[family] if family else None)
    facts = Product("net", ("a benchmark",), stored, interp.run(program, stored))
    shutil.rmtree(built.dir / "rtl")
    records.write(built.dir, back_end.emit(program, plan, facts))
    (outcome,) = (o for o in compare.verify(built, stored, [engines.engine("verilator")]) if o.engine != "reference")
    report = back_end.report(program, plan)
    cells = engine(built.dir, [s.kernel for s in plan.stages if s.fold][layer - 1])
    rams = f"{cells.get('RAMB36E1', 0)} | {cells.get('RAMB18E1', 0)}"
    return outcome.status, (
        f"{'indices' if family else 'weights'} | {outcome.stats['cycles_per_frame']:,.0f} | {report['rom_bits']:,} | {rams} | "
        f"{yosys.luts_of(cells):,} | {cells.get('DSP48E1', 0)}"
    )


def main() -> int:
    parser = records.arguments(__doc__)
    parser.add_argument(
        "--codes", default="2,3,4,4x256", help="BITS of --share or SIZExCODEWORDS of --share-vectors, with commas"
    )
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--layer", type=int, default=2, help="whose cells are counted")
    options = parser.parse_args()
    model = options.shared / "models" / "float" / "lenet300_100_mnist.onnx"
    if not model.exists():
        print(f"{model} is not there: nothing measured")
        return 0
    (entry,) = load_model(model).graph.inputs
    images = mnist(options.shared, 1024)
    bad = 0
    print(
        "| codes | ROM holds | cycles | ROM bits | RAMB36 | RAMB18 | LUTs | DSPs | tensors |\n|---|---|---|---|---|---|---|---|---|"
    )
    for codes in options.codes.split(","):
        folder = OUT / codes
        shutil.rmtree(folder, ignore_errors=True)
        how = {"share_vectors": codes} if "x" in codes else {"share": int(codes)}
        chosen = CompileOptions(("fpga",), calibration={entry: images}, name="net", pe_simd_budget=options.lanes, **how)
        built = compile_model(model, folder, chosen)
        stored = samples.to_stored(built.program, {entry: images[:20]})
        for family in (None, "xc7"):
            status, row = measure(built, stored, options.lanes, options.layer, family)
            bad += status != "equal"
            print(f"| {codes} | {row} | {status} |", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
