"""hwcomp compile --config: options from TOML."""

import pytest

from tests.cli.conftest import manifest


def test_toml_holds_options(compiled, toml):
    text = """
        name = "From TOML"
        quant = "int8"
        logits = true
        pe_simd_budget = 11
        least_fifos = true
        requantize_bits = 20
        golden = 3
        hls_dialect = "ac"
        c_weights = "fast"
        fpga_family = "ice40"
        [input_range]
        x = [-2, 2.5]
        [pass.calibrate]
        samples = 5
        [pass.fuse_bias]
        enabled = false
    """
    _, folder = compiled("--config", toml(text), target="fpga")
    options = manifest(folder)["options"]
    del options["calibration"]
    assert options == {
        "targets": ["fpga"], "fpga_family": "ice40", "name": "From TOML", "quant": "int8", "input_ranges": {"x": [-2.0, 2.5]},
        "input_types": {},
        "passes": {"calibrate": {"samples": 5}, "fuse_bias": {"enabled": False}}, "pe_simd_budget": 11, "logits": True,
        "least_fifos": True, "requantize_bits": 20, "golden": 3, "hls_dialect": "ac", "c_weights": "fast", "xnor_k": False,
    }  # fmt: skip


@pytest.mark.parametrize(("text", "arguments", "key", "want"), [
    ("golden = 8", ["--golden", 2], "golden", 2), ("golden = 8", ["--golden", 4], "golden", 4),
    ("requantize_bits = 9", ["--requantize-bits", 31], "requantize_bits", 31),
    ('quant = "int4"', ["--quant", "int8"], "quant", "int8"),
    ("pe_simd_budget = 9", ["--pe-simd-budget", 12], "pe_simd_budget", 12),
    ('name = "a"', ["--name", "b"], "name", "b"), ('hls_dialect = "ac"', ["--hls-dialect", "vitis"], "hls_dialect", "vitis"),
    ("[pass.calibrate]\nsamples = 5", ["--pass", "calibrate.samples=2"], "passes", {"calibrate": {"samples": 2}}),
    ("[pass.calibrate]\nsamples = 5", ["--pass", "calibrate.seed=2"], "passes",
    {"calibrate": {"samples": 5, "seed": 2}}),
    ("float16 = true", [], "float16", True),
    ("[input_range]\nx = [0, 1]", ["--input-range", "x=0,2"], "input_ranges", {"x": [0.0, 2.0]}),
])  # fmt: skip
def test_the_command_line_wins_over_toml(compiled, toml, text, arguments, key, want):
    _, folder = compiled("--config", toml(text), *arguments)
    assert manifest(folder)["options"][key] == want


@pytest.mark.parametrize(("text", "texts"), [
    ("golden = ", ["'options.toml' is not valid TOML"]), ("nothing = 1", ["'nothing' in 'options.toml'"]),
    ('golden = "4"', ["'golden' in 'options.toml'", "wrong type"]), ("golden = true", ["'golden'"]),
    ("golden = 0", ["at least one"]),
    ("unroll = true", ["'unroll'"]), ("unroll = [1]", ["'unroll'"]),
    ("logits = 1", ["'logits'"]), ("float16 = 1", ["'float16'"]), ("least_fifos = 1", ["'least_fifos'"]),
    ("pe_simd_budget = 1.5", ["'pe_simd_budget'"]), ("pass = 3", ["'pass'"]),
    ("[pass]\na = 1", ["'pass'"]),
    ("[pass.nothing]\na = 1", ["no pass 'nothing'"]), ("[pass.calibrate]\nsamples = 1.5", ["'1.5' is not a int"]),
    ("[pass.calibrate]\nsamples = true", ["'True' is not a int"]),
    ("[pass.fuse_bias]\nenabled = 0", ["'0' is not a bool"]),
    ("[input_range]\nx = 3", ["'input_range'", "NAME = [lo, hi]"]), ("[input_range]\nx = [1]", ["'input_range'"]),
    ("[input_range]\nx = [2, 1]", ["low < high"]), ("[input_range]\nz = [0, 1]", ["names 'z'"]),
    ('quant = "int5"', ["'int5'"]), ('hls_dialect = "c"', ["unknown HLS dialect 'c'"]), ("hls_dialect = 1", ["'hls_dialect'"]),
    ('c_weights = "c"', ["unknown form of weights 'c'"]), ("xnor_k = 1", ["'xnor_k'"]),
    ("targets = 1", ["'targets'"]), ("'a\nb' = 1", ["not valid TOML"]), ('"a\\nb" = 1', ["'a\\nb' in"]),
], ids=lambda v: "")  # fmt: skip
def test_bad_toml_is_refused(rejected, toml, text, texts):
    rejected("--config", toml(text), texts=texts)


def test_toml_that_is_no_text_or_no_file(rejected, refused, net, tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    rejected("--config", path, texts=["'bytes.toml' is not valid TOML"])
    refused("compile", net.model, "--target", "mcu", "-o", tmp_path / "o", "--config", tmp_path, texts=["can't read"])


def test_a_whole_number_is_a_number(compiled, toml):
    _, folder = compiled("--config", toml("low_rank = 1"))
    assert manifest(folder)["options"]["low_rank"] == 1.0


def test_a_product_does_not_know_how_its_options_were_given(compiled, toml, tmp_path):
    """The same bytes, hash of the options included, from TOML and from the command line in another order and spelling."""
    text = """
        share = 3
        [prune]
        filter = 0.2
        nm = "1:2"
        [pass.prune]
        multiple = 1
        scope = "layer"
        [pass.sparsify]
        skip = "conv"
    """

    def files(*options):
        _, folder = compiled(*options, target="mcu,fpga")
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    words = ["--pass", "sparsify.skip=conv", "--pass", "prune.scope=layer", "--pass", "prune.multiple=01"]
    assert files("--config", toml(text)) == files("--prune", "nm=1:2", "--share", 3, *words, "--prune", "filter=.20")
