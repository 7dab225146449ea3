"""The options of a compile: from the command line, from TOML, or from Python."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwcomp.errors import UnsupportedError, UsageError, shown
from hwcomp.pixels import Pixels
from hwcomp.quantize.schemes import scheme
from hwcomp.registry import PASSES

KEEP = "keep"
TARGETS = ("mcu", "fpga", "hls")
HLS_DIALECTS = ("vitis", "ac")
C_WEIGHTS = ("packed", "fast", "small")
FPGA_FAMILIES = ("xc7", "ecp5", "ice40")
# What --prune can remove, and the pass that does it in a field of that name.
PRUNE_KINDS = {
    "filter": "prune", "channel": "prune", "branch": "prune",
    "weight": "sparsify", "vector": "sparsify", "kernel": "sparsify", "block": "sparsify", "nm": "sparsify",
}  # fmt: skip
_SCHEMES = re.compile(r"int8|int16|int4|int2|ternary|binary|binary-weights|log2|fixed:Q\d+\.\d+|dfp\d+|auto|keep")


@dataclass(frozen=True)
class CompileOptions:
    """`calibration`: arrays [samples, *shape] by input name: floats are real values, uint8 arrays of an input in
    `input_types` (which holds raw pixels) are pixels. `passes`: {pass: {field: text or value}}.

    `quant`: None is keep for a model that is already quantized, int8 for another. `rest`: the scheme of what such a model
    left in float. `requantize`: drop what it states.
    `requantize_bits`: most bits of a requantize multiplier; 16 fits one DSP block of an FPGA. `golden`: samples stored
    in the product with their outputs. `hls_dialect`: ap_int and hls::stream (vitis), or ac_int and ac_channel (ac).
    `fpga_family`: whose logic target fpga counts bits for.
    `unroll`: layers whose weights are wired in on target fpga, by the name of their node, or ("all",).
    `c_weights`: little flash at few instructions: fields, indices, lists (packed), what is fastest: bytes, lists, Winograd (fast), or
    the fewest bytes, Huffman codes included (small). `xnor_k`: pass few_bits computes K maps.
    `prune`: amount by kind: a fraction, of the multiply-accumulates for filter, channel, branch, of the parameters for weight,
    vector, kernel, block; the text "n:m" for nm.
    `share`: bits of the codes of pass share. `share_vectors`: size and codewords of pass vectors, "4x256". `low_rank`: energy of
    pass low_rank. `float16`: write model.fp16.onnx, too.
    `tune_for`: the target whose cost model lossy passes consult; without it no target changes the Program.
    `least_fifos`: search the least depths of FIFOs however long it takes.
    """

    targets: tuple[str, ...]
    name: str | None = None
    quant: str | None = None
    rest: str = "int8"
    requantize: bool = False
    calibration: dict[str, np.ndarray] | None = None
    input_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    input_types: dict[str, Pixels] = field(default_factory=dict)
    passes: dict[str, dict[str, Any]] = field(default_factory=dict)
    pe_simd_budget: int | None = None
    least_fifos: bool = False
    logits: bool = False
    requantize_bits: int = 31
    golden: int = 4
    hls_dialect: str = "vitis"
    fpga_family: str = "xc7"
    unroll: tuple[str, ...] = ()
    c_weights: str = "packed"
    xnor_k: bool = False
    prune: dict[str, float | str] = field(default_factory=dict)
    share: int | None = None
    share_vectors: str | None = None
    low_rank: float | None = None
    float16: bool = False
    tune_for: str | None = None

    @property
    def pass_options(self) -> dict[str, dict[str, Any]]:
        """`passes`, with what other options say about passes. UsageError, UnsupportedError for a kind of pruning."""
        said: dict[str, dict[str, Any]] = {"few_bits": {"xnor_k": True}} if self.xnor_k else {}
        if self.share is not None:
            said["share"] = {"enabled": True, "bits": self.share}
        if self.share_vectors is not None:
            size, codewords = vector_shape(self.share_vectors)
            said["vectors"] = {"enabled": True, "size": size, "codewords": codewords}
        if self.low_rank is not None:
            said["low_rank"] = {"enabled": True, "energy": self.low_rank}
        elif any(self.passes.get("low_rank", {}).get(field) for field in ("budget", "floor")):
            said["low_rank"] = {"enabled": True}
        for kind, amount in self.prune.items():
            said.setdefault(_pruner(kind), {})[kind] = amount
        return {**self.passes, **{name: {**fields, **self.passes.get(name, {})} for name, fields in said.items()}}

    def check(self) -> None:
        for target in self.targets:
            if target not in TARGETS:
                raise UsageError(f"unknown target '{shown(target)}'", fix=f"targets are {', '.join(TARGETS)}")
        if self.tune_for is not None and self.tune_for not in TARGETS:
            raise UsageError(
                f"unknown target '{shown(self.tune_for)}' of --tune-for", fix=f"targets are {', '.join(TARGETS)}"
            )
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise UsageError("name each target once", fix="for instance --target mcu,fpga")
        for quant in (KEEP if self.quant is None else self.quant, self.rest):
            if not _SCHEMES.fullmatch(quant):
                raise UsageError(f"unknown quantization '{shown(quant)}'", fix="for instance --quant int8")
            if quant != KEEP:
                scheme(quant)
        if self.rest == KEEP:
            raise UsageError(
                "--rest keep", why="it is for layers of which the model says nothing", fix="use int8 or int16"
            )
        if self.pe_simd_budget is not None and self.pe_simd_budget < 1:
            raise UsageError(f"--pe-simd-budget {self.pe_simd_budget}", fix="give a number of multipliers, 1 or more")
        if not 8 <= self.requantize_bits <= 31:
            raise UsageError(f"--requantize-bits {self.requantize_bits}", fix="8 to 31 are possible")
        if self.hls_dialect not in HLS_DIALECTS:
            raise UsageError(
                f"unknown HLS dialect '{shown(self.hls_dialect)}'", fix=f"dialects are {', '.join(HLS_DIALECTS)}"
            )
        if self.fpga_family not in FPGA_FAMILIES:
            raise UsageError(
                f"unknown FPGA family '{shown(self.fpga_family)}'", fix=f"families are {', '.join(FPGA_FAMILIES)}"
            )
        if self.c_weights not in C_WEIGHTS:
            raise UsageError(
                f"unknown form of weights '{shown(self.c_weights)}'", fix=f"--c-weights takes {', '.join(C_WEIGHTS)}"
            )
        if self.share is not None and not 2 <= self.share <= 8:
            raise UsageError(f"--share {self.share}", fix="2 to 8 bits are possible")
        if self.share_vectors is not None:
            vector_shape(self.share_vectors)
        if self.low_rank is not None and not 0 < self.low_rank <= 1:
            raise UsageError(
                f"--low-rank {self.low_rank:g}", fix="a part of the outputs' variance, above 0 and at most 1, is needed"
            )
        if self.golden < 1:
            raise UsageError("a product needs at least one golden sample")
        for name, pixels in self.input_types.items():
            if not isinstance(pixels, Pixels):
                raise UsageError(
                    f"the type of input '{shown(name)}' is {pixels!r}", fix="give hwcomp.Pixels(mean, std)"
                )
            if name in self.input_ranges:
                raise UsageError(f"--input and --input-range for '{shown(name)}'", why="uint8 pixels have their range")
        for name, (lo, hi) in self.input_ranges.items():
            if not (np.isfinite([lo, hi]).all() and lo < hi):
                raise UsageError(
                    f"input range of '{shown(name)}' is [{lo}, {hi}]", fix="give two finite numbers, low < high"
                )

    def idle(self) -> list[str]:
        """What is asked for and changes nothing; a line each. `quant` is filled in."""
        hardware, targets = {"fpga", "hls"}, {*self.targets, *([self.tune_for] if self.tune_for else [])}
        only = (
            ("--pe-simd-budget", self.pe_simd_budget is not None, hardware),
            ("--least-fifos", self.least_fifos, hardware),
            ("--unroll", bool(self.unroll), {"fpga"}),
            ("--fpga-family", self.fpga_family != FPGA_FAMILIES[0], {"fpga"}),
            ("--hls-dialect", self.hls_dialect != HLS_DIALECTS[0], {"hls"}),
            ("--c-weights", self.c_weights != C_WEIGHTS[0], {"mcu"}),
        )
        lines = [
            f"{flag} only matters to target{'s' * (len(useful) > 1)} {' and '.join(sorted(useful))}"
            for flag, given, useful in only
            if given and not useful & targets
        ]
        if self.rest != "int8" and self.quant != KEEP:
            lines.append("--rest only matters to models that are quantized already, and keep their types")
        if self.tune_for is not None and not {"prune", "sparsify"} & self.pass_options.keys():
            lines.append("--tune-for only matters to --prune, whose passes alone consult a target")
        small = self.c_weights == "small" or (self.c_weights == "packed" and (self.share or 0) <= 4)
        if self.share is not None and "mcu" in targets and not small:
            lines.append("--share saves flash on target mcu with --c-weights small, and up to 4 bits with packed")
        if self.share_vectors is not None and "mcu" in targets and self.c_weights != "small":
            lines.append("--share-vectors saves flash on target mcu with --c-weights small only")
        return lines

    def for_model(self, quantized: bool) -> CompileOptions:
        """With `quant` filled in. UsageError where the options do not fit a model that is or is not quantized already."""
        if quantized and not self.requantize and self.quant not in (None, KEEP):
            raise UsageError(
                f"--quant {self.quant} for a model that is already quantized", why="its own types would be lost",
                fix="leave it out to keep them, or add --requantize",
            )  # fmt: skip
        if not quantized and (self.quant == KEEP or self.requantize):
            flag = "--requantize" if self.requantize else "--quant keep"
            raise UsageError(f"{flag} for a float model", why="it states no integer types", fix="leave it out")
        if self.requantize and self.quant == KEEP:
            raise UsageError("--quant keep and --requantize contradict each other", fix="leave one out")
        return replace(self, quant=self.quant or (KEEP if quantized and not self.requantize else "int8"))


def parse_ranges(texts: list[str]) -> dict[str, tuple[float, float]]:
    """`NAME=lo,hi` (the last `=` splits, since a name may hold one)."""
    ranges = {}
    for text in texts:
        name, split, value = text.rpartition("=")
        try:
            lo, hi = (float(v) for v in value.split(","))
        except ValueError:
            split = ""
        if not split or not name:
            raise UsageError(f"'--input-range {shown(text)}' is not NAME=lo,hi")
        ranges[name] = (lo, hi)
    return ranges


def parse_types(texts: list[str]) -> dict[str, Pixels]:
    """`NAME=uint8,mean,std` (the last `=` splits)."""
    types = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name:
            raise UsageError(f"'--input {shown(text)}' is not NAME=uint8,MEAN,STD")
        types[name] = Pixels.parse(value)
    return types


def parse_prune(texts: list[str]) -> dict[str, str]:
    """`KIND=AMOUNT`; the pass checks the amount."""
    found: dict[str, str] = {}
    for text in texts:
        kind, split, amount = text.partition("=")
        if not split or not amount:
            raise UsageError(f"'--prune {shown(text)}' is not KIND=AMOUNT", fix="for instance --prune filter=0.3")
        _pruner(kind)
        if kind in found:
            raise UsageError(f"--prune {kind} is given twice", fix="give one amount for each kind")
        found[kind] = amount
    return found


def vector_shape(text: str) -> tuple[int, int]:
    """`SIZExCODEWORDS`; the pass checks the numbers."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match:
        raise UsageError(f"--share-vectors {shown(text)}", fix="write SIZExCODEWORDS, for instance 4x256")
    return int(match[1]), int(match[2])


def _pruner(kind: str) -> str:
    """The pass that removes what this kind says."""
    if kind not in PRUNE_KINDS:
        raise UsageError(f"nothing of kind '{shown(kind)}' can be pruned", fix=f"kinds are {', '.join(PRUNE_KINDS)}")
    if PRUNE_KINDS[kind] not in PASSES:
        raise UnsupportedError(f"--prune {kind} is not available in this version")
    return PRUNE_KINDS[kind]


def parse_pass_options(texts: list[str]) -> dict[str, dict[str, str]]:
    """`PASS.field=value`."""
    options: dict[str, dict[str, str]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", text, re.DOTALL)
        if not match:
            raise UsageError(f"'--pass {shown(text)}' is not PASS.field=value")
        options.setdefault(match[1], {})[match[2]] = match[3]
    return options


def from_toml(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Fields of CompileOptions from a TOML file below those `given`, which win; keys are the long options with `_`.

    Options of passes stand under [pass.NAME], input ranges under [input_range] as NAME = [lo, hi], types of inputs under
    [input] as NAME = "uint8,mean,std", amounts of pruning under [prune] as KIND = AMOUNT.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read '{path}'", why=error.strerror or str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"'{Path(path).name}' is not valid TOML", why=str(error)) from None
    kinds = {
        "quant": str, "rest": str, "requantize": bool, "name": str, "logits": bool, "pe_simd_budget": int,
        "least_fifos": bool, "requantize_bits": int, "golden": int, "hls_dialect": str, "c_weights": str, "xnor_k": bool,
        "fpga_family": str, "tune_for": str, "share": int, "share_vectors": str, "low_rank": float, "float16": bool,
    }  # fmt: skip
    merged = dict(given)
    for key, value in data.items():
        if key == "pass" and isinstance(value, dict) and all(isinstance(v, dict) for v in value.values()):
            mine = given.get("passes", {})
            merged["passes"] = {n: {**value.get(n, {}), **mine.get(n, {})} for n in sorted({*value, *mine})}
        elif key == "input_range" and isinstance(value, dict):
            try:
                ranges = {n: (float(v[0]), float(v[1])) for n, v in value.items()}
            except (TypeError, ValueError, IndexError, KeyError):
                raise UsageError(f"'input_range' in '{Path(path).name}'", fix="write NAME = [lo, hi]") from None
            merged["input_ranges"] = {**ranges, **given.get("input_ranges", {})}
        elif key == "input" and isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
            types = {n: Pixels.parse(v) for n, v in value.items()}
            merged["input_types"] = {**types, **given.get("input_types", {})}
        elif key == "prune" and isinstance(value, dict) and all(type(v) in (int, float, str) for v in value.values()):
            merged["prune"] = {**value, **given.get("prune", {})}
        elif key == "unroll" and isinstance(value, list) and all(isinstance(v, str) for v in value):
            merged.setdefault(key, tuple(value))
        elif key in kinds and (type(value) is kinds[key] or (kinds[key] is float and type(value) is int)):
            merged.setdefault(key, kinds[key](value))
        else:
            raise UsageError(f"'{shown(key)}' in '{Path(path).name}' is not an option or has the wrong type")
    return merged
