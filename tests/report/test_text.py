"""What a compile prints."""

from hwcomp.report.text import summary

REPORT = {
    "name": "net",
    "layers": [],
    "macs": 0,
    "flops": 0,
    "weights": 0,
    "parameters": 0,
    "targets": {},
    "proof": "exact",
}


def test_the_table_of_auto_is_printed():
    table = ["auto: at most loss 0.1", "layer  weights", "fc1\x1b    10", "auto: loss 0.05 at 2.00 bits per weight"]
    lines = summary(REPORT | {"passes": {"few_bits": table}}).splitlines()
    assert lines[-4:] == [table[0], table[1], "fc1\\x1b    10", table[3]]


def test_other_notes_are_not():
    assert summary(REPORT | {"passes": {"few_bits": ["2.00 bits per weight on average"]}}).endswith("proof: exact")
