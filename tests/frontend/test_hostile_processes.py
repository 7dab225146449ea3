"""Every hostile model through the command itself: exit code 2, one line, under 10 seconds and 1 GB, nothing written."""

import subprocess
import sys

import pytest

from tests.frontend import test_hostile_graphs, test_hostile_shapes, test_hostile_tensors

HOSTILE = {
    name: breaks
    for module in (test_hostile_graphs, test_hostile_shapes, test_hostile_tensors)
    for name, (breaks, *_) in module.HOSTILE.items()
}
SECONDS, KILOBYTES = 10, 1_000_000
MEASURED = """
import os, sys, time
start = time.monotonic()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], dict(os.environ))
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_maxrss)
"""  # a process of its own: the peak of a child counts that of its parent at the start


def test_there_are_enough():
    assert len(HOSTILE) >= 80


@pytest.mark.slow
def test_refused_at_once(hostile_name, good, tmp_path):
    model = good()
    data = HOSTILE[hostile_name](model)
    path, said = tmp_path / "net.onnx", tmp_path / "stderr"
    path.write_bytes(model.SerializeToString() if data is None else data)
    command = [sys.executable, "-m", "hwcomp.cli", "compile", path, "--target", "mcu,fpga", "-o", tmp_path / "out"]
    with said.open("wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-S", "-c", MEASURED, *command], check=False, stdout=subprocess.PIPE, stderr=stderr
        )
    code, seconds, kilobytes = done.stdout.split()[-3:]
    assert int(code) == 2
    assert float(seconds) < SECONDS
    assert int(kilobytes) < KILOBYTES
    text = said.read_text()
    assert text.startswith("hwcomp: ") and text.count("\n") == 1, text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "stderr"]
