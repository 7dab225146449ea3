"""A jet-tagging network (16-64-32-32-5) with its weights wired in: adders, LUTs and registers per layer and form of weights.

    python benchmarks/unrolled_sums.py [--shared DIR] [--forms NAME,...] [--plain] [--whole]

The weights are the float ones inside models/qonnx/qkeras_jettagging.onnx (fastmachinelearning/qonnx_model_zoo), with biases
and ReLU; they are quantized, pruned and shared here without retraining. For each form of weights every tensor of 64 samples
is compared with random stalls, and each layer synthesized by itself (Yosys synth_xilinx -family xc7), requantizers apart:

    zeros    weights that are 0
    digits   signed digits of all weights that are not 0
    trees    sums of two where each output has a tree of its own; with --plain their LUTs and registers too
    adders   sums of two that the netlist has
    da4ml    the sums of two that da4ml finds for the same matrix (pip install da4ml), without the biases, which are one per
             output here; adders less outputs is what to compare

`--whole`: the whole network with stream adapters, FIFOs and requantizers. Ends with 1 where a tensor differs, or LUTs do not
fall by at least half of the digits.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import records
import yosys
from onnx import helper, numpy_helper
from yosys import luts_of

from hwcomp import samples
from hwcomp.driver import compile_model
from hwcomp.options import CompileOptions
from hwcomp.plan import unrolled_sums
from hwcomp.verify import compare, engines

OUT = records.OUT / "unrolled_sums"
LAYERS = (("Quant_6_param0", "Quant_7_param0"), ("Quant_4_param0", "Quant_5_param0"),
          ("Quant_2_param0", "Quant_3_param0"), ("Quant_0_param0", "Quant_1_param0"))  # fmt: skip
FORMS = {
    "int8": {}, "weight=0.5": {"prune": {"weight": 0.5}}, "weight=0.8": {"prune": {"weight": 0.8}}, "share 3": {"share": 3},
    "int4": {"quant": "int4"}, "ternary": {"quant": "ternary", "passes": {"few_bits": {"ends": "0"}}},
}  # fmt: skip


def network(source: Path) -> onnx.ModelProto:
    """Gemm and ReLU of the float weights behind the Quant nodes."""
    held = {i.name: numpy_helper.to_array(i) for i in onnx.load(source).graph.initializer}
    nodes, constants, last = [], [], "x"
    for n, (weight, bias) in enumerate(LAYERS):
        constants += [numpy_helper.from_array(held[weight], f"w{n}"), numpy_helper.from_array(held[bias], f"b{n}")]
        end = n == len(LAYERS) - 1
        nodes.append(helper.make_node("Gemm", [last, f"w{n}", f"b{n}"], ["y" if end else f"s{n}"], name=f"fc{n}"))
        last = "y" if end else f"r{n}"
        if not end:
            nodes.append(helper.make_node("Relu", [f"s{n}"], [last], name=f"relu{n}"))
    ports = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, (1, size)) for n, size in (("x", 16), ("y", 5))]
    graph = helper.make_graph(nodes, "jet", ports[:1], ports[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def compiled(source: Path, folder: Path, form: str):
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / "jet.onnx"
    onnx.save(network(source), path)
    data = np.random.default_rng(1).normal(size=(512, 16)).astype(np.float32)  # the features are standardised
    return compile_model(
        path, folder, CompileOptions(("fpga",), calibration={"x": data}, name="net", unroll=("all",), **FORMS[form])
    )


def size_of(built, index: int) -> tuple[int, int]:
    """(LUTs, flip-flops) of one unrolled layer."""
    cells = yosys.layer(built.dir, index)
    return luts_of(cells), sum(n for name, n in cells.items() if name.startswith("FD"))


def theirs(kernel, x) -> int | None:
    """Sums of two that da4ml finds; None where it is not installed."""
    try:
        from da4ml.cmvm import solve
    except ImportError:
        return None
    weight, lane = kernel.constants["weight"].astype(np.float32).T.copy(), (float(x.lo), float(x.hi), 1.0)
    return int(min(solve(weight).cost, solve(weight, qintervals=[lane] * len(weight)).cost))


def measure(source: Path, form: str, plain: bool, whole: bool) -> list[dict[str, object]]:
    built = compiled(source, OUT / form.replace(" ", "_"), form)
    stored = samples.random_stored(built.program, 64)
    outcome = compare.verify(built, stored, [engines.engine("verilator")])[0]
    print(f"{form}: tensors {outcome.status}, {outcome.stats['cycles_per_frame']:.2f} cycles per frame", flush=True)
    trees, rows = _trees(source, form) if plain else None, []
    for index, kernel in enumerate(built.program.kernels):
        if kernel.kind != "dense":
            continue
        weight, graph = kernel.constants["weight"], unrolled_sums.of(built.program, kernel)
        x = built.program.edges[kernel.inputs[0]]
        luts, registers = size_of(built, index)
        row = {
            "form": form, "layer": f"{weight.shape[1]} x {weight.shape[0]}", "status": outcome.status,
            "zeros": float((weight == 0).mean()), "digits": unrolled_sums.count_digits(weight),
            "trees": len(unrolled_sums.of(built.program, kernel, share=False).adds),
            "adders": len(graph.adds), "estimate": graph.luts(), "LUT": luts, "FF": registers, "da4ml": theirs(kernel, x),
        }  # fmt: skip
        if plain:
            row["tree LUT"], row["tree FF"] = size_of(trees, index)
        rows.append(row)
        print("  ", row, flush=True)
    if whole:
        cells = yosys.synthesized(built.dir, "net_top")
        print(f"   whole: {luts_of(cells)} LUT, {cells.get('DSP48E1', 0)} DSP48", flush=True)
    return rows


def _trees(source: Path, form: str):
    """The same without sums that outputs share."""
    shared = unrolled_sums.of
    unrolled_sums.of = lambda program, kernel: shared(program, kernel, share=False)
    try:
        return compiled(source, OUT / f"{form.replace(' ', '_')}_trees", form)
    finally:
        unrolled_sums.of = shared


def main() -> int:
    parser = records.arguments(__doc__)
    parser.add_argument("--forms", default=",".join(FORMS), help="forms of the weights")
    parser.add_argument("--plain", action="store_true", help="synthesize trees without shared sums too")
    parser.add_argument("--whole", action="store_true", help="synthesize the whole network too")
    options = parser.parse_args()
    source = options.shared / "models" / "qonnx" / "qkeras_jettagging.onnx"
    if not source.exists():
        print(f"{source} is not there: nothing measured")
        return 0
    rows = [row for form in options.forms.split(",") for row in measure(source, form, options.plain, options.whole)]
    records.keep(OUT / "rows.json", rows)
    return int(any(r["status"] != "equal" for r in rows) or not _falls(rows))


def _falls(rows: list[dict[str, object]]) -> bool:
    """Whether LUTs fall with the digits that pruning leaves."""
    total = {
        f: np.array([[r["digits"], r["LUT"]] for r in rows if r["form"] == f]).sum(0) for f in {r["form"] for r in rows}
    }
    pairs = [total[f] / total["int8"] for f in ("weight=0.5", "weight=0.8") if f in total and "int8" in total]
    return all(1 - luts >= (1 - digits) / 2 for digits, luts in pairs)


if __name__ == "__main__":
    sys.exit(main())
