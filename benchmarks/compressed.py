"""Compressed networks on every target and engine: every tensor equal, and what is left of the cost.

    python benchmarks/compressed.py [--only NAME] [--engines LIST] [--tables]

Writes docs/compressed-networks.md. As benchmarks/networks.py, whose measurements these are, with the options of each row.
What was measured is kept in build/bench/compressed.json; rows that are there are not measured again but with --only.
"""

from __future__ import annotations

import sys
from functools import partial

import network_tables
import records
from networks import TARGETS, arguments, good, measure, measured
from records import DOCS

STORE = records.OUT / "compressed.json"
SMALL = {"c_weights": "small"}
# (network, what is given on the command line, the same for hwcomp.compile); the first row of a network is what it is without.
ROWS = (
    ("lenet300_100_mnist", "", {}),
    ("lenet300_100_mnist", "--prune weight=0.9 --c-weights small", {"prune": {"weight": 0.9}, **SMALL}),
    ("lenet300_100_mnist", "--share 3 --pass share.rate=1 --c-weights small", {"share": 3, "passes": {"share": {"rate": 1}}, **SMALL}),
    ("lenet300_100_mnist", "--share-vectors 4x256 --c-weights small", {"share_vectors": "4x256", **SMALL}),
    ("lenet300_100_mnist", "--prune filter=0.5 --quant binary", {"prune": {"filter": 0.5}, "quant": "binary"}),
    ("lenet5_caffe_mnist", "", {}),
    ("lenet5_caffe_mnist", "--prune block=0.5 --share 4 --c-weights small", {"prune": {"block": 0.5}, "share": 4, **SMALL}),
    ("lenet5_caffe_mnist", "--prune filter=0.3 --low-rank 0.95", {"prune": {"filter": 0.3}, "low_rank": 0.95}),
    ("resnet8_bn_fashion", "", {}),
    ("resnet8_bn_fashion", "--prune filter=0.3", {"prune": {"filter": 0.3}}),
    ("resnet8_bn_fashion", "--prune branch=0.1 --prune block=0.5", {"prune": {"branch": 0.1, "block": 0.5}}),
    (
        "resnet8_bn_fashion", "--prune nm=2:4 --pass sparsify.shared=4 --pass sparsify.skip=/stem/stem.0/Conv",
        {"prune": {"nm": "2:4"}, "passes": {"sparsify": {"shared": 4, "skip": "/stem/stem.0/Conv"}}},
    ),
    ("resnet8_bn_fashion", "--share 4 --c-weights small", {"share": 4, **SMALL}),
    ("resnet8_bn_fashion", "--low-rank 0.97 --c-weights fast", {"low_rank": 0.97, "c_weights": "fast"}),
    ("mobilenetv2s_fashion", "", {}),
    ("mobilenetv2s_fashion", "--prune filter=0.3 --low-rank 0.99 --share 5", {"prune": {"filter": 0.3}, "low_rank": 0.99, "share": 5}),
    ("shufflenets_fashion", "", {}),
    ("shufflenets_fashion", "--prune filter=0.3 --prune kernel=0.2", {"prune": {"filter": 0.3, "kernel": 0.2}}),
    ("squeezenets_fashion", "", {}),
    ("squeezenets_fashion", "--prune channel=0.5 --prune vector=0.3", {"prune": {"channel": 0.5, "vector": 0.3}}),
)  # fmt: skip
TITLE = """# Compressed networks, verified

Written by `python benchmarks/compressed.py`: what the options of compression make of real networks, each compiled for every
target and run on every engine; nothing was trained again. int8 unless said, calibrated on at most 256 training images, so
accuracy is not the best there is ([pruning](pruning.md) and [compression](compression.md) look at that). Columns as in
[networks](networks.md): *equal (n)* is every intermediate tensor on n samples, bit by bit.

"""


def key(network: str, given: str) -> str:
    return f"{network} {given}".strip()


def main() -> int:
    options, done = arguments(__doc__), []
    for network, given, compiled in () if options.tables else ROWS:
        name = key(network, given)
        known = set(records.kept(STORE).get(name, {}).get("engines", ()))
        if network not in options.only if options.only else set(options.engines) <= known:
            continue
        made = partial(measure, network, options.engines, folder=records.OUT / "compressed", **compiled)
        done.append(measured(name, STORE, made))
    known = records.kept(STORE)
    rows = {name: known[name] for network, given, _ in ROWS if (name := key(network, given)) in known}
    if rows:
        page = DOCS / "compressed-networks.md"
        page.write_text(TITLE + network_tables.tables(rows, tuple(TARGETS)), encoding="utf-8")
    return int(not all(done) or not all(map(good, rows.values())))


if __name__ == "__main__":
    sys.exit(main())
