"""Every hostile model through the command itself: exit code 2, one line, under 10 seconds and 1 GB, nothing written."""

import os
import sys
import time

import pytest

from tests.frontend import test_hostile_graphs, test_hostile_shapes, test_hostile_tensors

HOSTILE = {
    name: breaks
    for module in (test_hostile_graphs, test_hostile_shapes, test_hostile_tensors)
    for name, (breaks, *_) in module.HOSTILE.items()
}
SECONDS, KILOBYTES = 10, 1_000_000


def test_there_are_enough():
    assert len(HOSTILE) >= 80


@pytest.mark.slow
def test_refused_at_once(hostile_name, good, tmp_path):
    model = good()
    data = HOSTILE[hostile_name](model)
    path, said = tmp_path / "net.onnx", tmp_path / "stderr"
    path.write_bytes(model.SerializeToString() if data is None else data)
    command = [
        sys.executable,
        "-m",
        "hwcomp.cli",
        "compile",
        str(path),
        "--target",
        "mcu,fpga",
        "-o",
        str(tmp_path / "out"),
    ]
    start = time.monotonic()
    child = os.posix_spawn(
        sys.executable, command, dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, said, os.O_WRONLY | os.O_CREAT, 0o600)],
    )  # fmt: skip
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert time.monotonic() - start < SECONDS
    assert usage.ru_maxrss < KILOBYTES
    text = said.read_text()
    assert text.startswith("hwcomp: ") and text.count("\n") == 1, text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "stderr"]
