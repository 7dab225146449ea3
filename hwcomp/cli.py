"""The commands. Nothing heavy is imported before a command runs, so that --help answers at once."""

from __future__ import annotations

import argparse
import errno
import os
import sys

from hwcomp.errors import HwcompError, UsageError, shown

EPILOG = "Exit codes: 0 done; 1 the work ran and failed (a bit differs, a budget is missed, the disk is full); 2 bad usage or input."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(message, fix=f"see {self.prog} --help")

    def _print_message(self, message: str, file=None) -> None:
        """As argparse does, but a full disk is not passed over."""
        (file or sys.stderr).write(message)


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="hwcomp",
        description="Compile ONNX networks to C, Verilog and HLS C++, proven bit-identical.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    top.add_argument("--print-passes", action="store_true", help="list the passes, in order, with their options")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    p = _command(commands, "compile", "compile a model into a product folder")
    p.add_argument("model", metavar="MODEL.onnx")
    p.add_argument("--target", required=True, metavar="mcu|fpga|hls[,...]")
    p.add_argument("-o", "--output", required=True, metavar="DIR")
    p.add_argument("--name", help="name of the network in the generated code (default: the file's)")
    p.add_argument(
        "--quant",
        help="int8 (default), int16, dfp<bits>, fixed:Q<m>.<n>; int4, int2, ternary, binary-weights, binary, log2, "
        "auto; keep (default) if already quantized",
    )
    p.add_argument("--rest", metavar="QUANT", help="for what a quantized model left in float (int8)")
    p.add_argument("--requantize", action="store_true", help="drop the types that a quantized model states")
    p.add_argument("--calibration", metavar="DATA.npz", help="real input samples under the names of the model's inputs")
    p.add_argument("--input-range", action="append", default=[], metavar="NAME=lo,hi", help="real range of an input")
    p.add_argument("--input", action="append", default=[], metavar="NAME=uint8,MEAN,STD",
                   help="the input holds raw pixels p, 0 to 255, and the model's x is (p - MEAN) / STD; MEAN and STD are "
                   "in these units (127.5, not 0.5), one for all channels or one per channel as 1:2:3")  # fmt: skip
    p.add_argument("--config", metavar="FILE.toml", help="options as TOML; the command line wins")
    p.add_argument("--pass", action="append", default=[], dest="passes", metavar="PASS.field=VALUE")
    p.add_argument(
        "--xnor-k", action="store_true", help="--quant binary: compute XNOR-Net's K map (pass few_bits, field xnor_k)"
    )
    p.add_argument(
        "--c-weights",
        metavar="packed|fast|small",
        help="mcu: weights in little flash at few instructions (packed), what takes the fewest "
        "instructions, in Winograd's form too (fast), or the fewest bytes, Huffman codes included (small)",
    )
    p.add_argument("--pe-simd-budget", type=int, metavar="N", help="fpga, hls: most multiply-accumulate lanes in all")
    p.add_argument(
        "--least-fifos", action="store_true", help="fpga, hls: the least FIFOs of large networks too; minutes"
    )
    p.add_argument(
        "--hls-dialect", metavar="vitis|ac", help="hls: ap_int and hls::stream (vitis), or ac_int and ac_channel"
    )
    p.add_argument(
        "--unroll",
        action="append",
        metavar="NODE|all",
        help="fpga: wire the weights of this layer in, as counters or adders; may be repeated",
    )
    p.add_argument(
        "--fpga-family", metavar="xc7|ecp5|ice40", help="fpga: count bits with what takes the fewest LUTs there (xc7)"
    )
    p.add_argument("--requantize-bits", type=int, metavar="N", help="most bits of a requantize multiplier (31)")
    p.add_argument("--golden", type=int, metavar="N", help="samples stored in the product for its self-tests (4)")
    p.add_argument("--logits", action="store_true", help="leave out a final Softmax")
    p.add_argument(
        "--float16", action="store_true", help="write model.fp16.onnx, too: the model with weights in float16"
    )
    p.add_argument("--check-passes", action="store_true", help="probe the numbers after every pass")
    p.add_argument("--print-passes", action="store_true", help="list what every pass did")
    p.add_argument(
        "--prune",
        action="append",
        default=[],
        metavar="KIND=AMOUNT",
        help="remove a part of the network; may be repeated: filter, "
        "channel, branch=FRACTION of the MACs; weight, vector, kernel, block=FRACTION of the parameters; nm=N:M",
    )
    p.add_argument(
        "--tune-for",
        metavar="mcu|fpga|hls",
        help="let --prune consult this target: what stays fills its lanes, what goes is what saves most there (else no "
        "target changes the network)",
    )
    p.add_argument(
        "--share", type=int, metavar="BITS", help="weights of a layer from a codebook of 2^BITS values (pass share)"
    )
    p.add_argument(
        "--share-vectors",
        metavar="SIZExCODEWORDS",
        help="2, 4 or 8 weights at a time from a codebook, for instance 4x256 (pass vectors)",
    )
    p.add_argument(
        "--low-rank",
        type=float,
        metavar="ENERGY",
        help="layers as chains of smaller ones that keep so much of their variance (pass low_rank)",
    )

    p = _command(commands, "run", "run samples on one engine")
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--engine", required=True, help="float, reference, c, c:m4, verilator, hls")
    p.add_argument("-i", "--input", required=True, metavar="IN.npz")
    p.add_argument("-o", "--output", required=True, metavar="OUT.npz")
    p.add_argument("--tap", choices=["all"], help="store every tensor, not only the outputs")
    p.add_argument("--json", action="store_true", help="print the run's exact counts as JSON")

    p = _command(commands, "verify", "compare every tensor on every engine with the NumPy reference")
    p.add_argument("dir", metavar="DIR")
    p.add_argument("-i", "--input", metavar="IN.npz", help="default: the golden vectors of the product")
    p.add_argument("--samples", type=int, metavar="N", help="N random samples instead")
    p.add_argument("--engines", metavar="NAME[,...]", help="default: all that the product was compiled for")
    p.add_argument("--limit", action="append", default=[], metavar="ENGINE=N", help="most samples on an engine")
    p.add_argument("--l4", action="store_true", help="instead: model.qdq.onnx in onnxruntime, layer by layer")
    p.add_argument("--json", action="store_true")

    p = _command(commands, "eval", "accuracy, loss against float, noise per layer")
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--data", required=True, metavar="DATA.npz", help="inputs and `labels`")
    p.add_argument("--engine", default="reference")
    p.add_argument("--json", action="store_true")

    p = _command(commands, "inspect", "what a model holds and what each target can do with it")
    p.add_argument("model", metavar="MODEL.onnx")
    p.add_argument("--logits", action="store_true", help="as in compile")
    p.add_argument("--json", action="store_true")

    p = _command(commands, "report", "what was built: cycles, latency, flash, RAM, ROM, lanes, proof")
    p.add_argument("dir", metavar="DIR")
    p.add_argument("--json", action="store_true")
    p.add_argument("--html", action="store_true", help="print where the report with plots is")

    p = _command(commands, "ops", "operator x target matrix")
    p.add_argument("--json", action="store_true")
    p.add_argument("--markdown", action="store_true", help="as docs/operators.md holds it")
    return top


def _command(commands, name: str, text: str) -> argparse.ArgumentParser:
    p = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
    p.add_argument("--quiet", action="store_true", help="no progress, no warnings")
    return p


def _run(argv: list[str] | None) -> int:
    try:
        top = parser()
        args = top.parse_args(argv)
        if args.command is None and not (args.version or args.print_passes):
            top.print_help()
            return 2
    except SystemExit as stop:  # --help
        return stop.code or 0
    from hwcomp import commands

    if args.version:
        return commands.show_version()
    if args.command is None:
        return commands.show_passes()
    return getattr(commands, f"run_{args.command}")(args)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code. HWCOMP_DEBUG=1 shows the traceback of an internal error."""
    for stream in (sys.stdout, sys.stderr):  # a terminal may not know every character of a name
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk behind it shows here, not at the exit of the interpreter
        return code
    except HwcompError as error:
        _say(f"hwcomp: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("hwcomp: interrupted")
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except OSError as error:
        _silence_stdout()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else f"{error.strerror or error}: '{shown(error.filename or '')}'"
        _say(f"hwcomp: {what}.")
        return 1 if full else 2
    except MemoryError:
        _say("hwcomp: out of memory. The model or the data is too large for this machine.")
        return 1
    except Exception as error:
        if os.environ.get("HWCOMP_DEBUG"):
            raise
        text = (str(error).splitlines() or [""])[0][:200]
        _say(f"hwcomp: internal error: {type(error).__name__}: {text}. Set HWCOMP_DEBUG=1 and report it.")
        return 2


def _say(text: str) -> None:
    if sys.stderr is not None:  # a daemon may have none; print would take stdout then
        print(text, file=sys.stderr)


def _silence_stdout() -> None:
    """What is still buffered can't be written: keep the interpreter from trying again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
