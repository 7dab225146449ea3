"""A generated top as AXI4-Stream device, driven by an independent bus model: framing, stalls, pace, reset, errors."""

import json
import os
import random
import shutil

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from tests.backends.verilog_designs import design

PERIOD = 10  # ns


@pytest.fixture(scope="module")
def config(request, tmp_path_factory):
    """What the bench must know about a design: frames of bytes in and out, per port."""
    from hwcomp import npz
    from hwcomp.plan.streams import Stream
    from hwcomp.verify.verilated import pack

    built = design(request.param, tmp_path_factory.mktemp("stream"))
    interface = built.manifest["targets"]["fpga"]
    ports = {}
    for side, file in (("inputs", "inputs.npz"), ("outputs", "outputs.npz")):
        golden = npz.load(built.dir / "vectors" / file)
        for port in interface[side]:
            edge = built.program.edges[port["name"]]
            outer = Stream(port["lanes"], port["channels"], port["pixels"], edge.bits, edge.signed)
            beats = pack(outer, edge, golden[port["name"]])
            assert beats.shape[1] * 8 == port["tdata_bits"]
            frames = beats.reshape(len(golden[port["name"]]), -1)
            ports[port["prefix"]] = {
                "frames": [f.tobytes().hex() for f in frames],
                "beats": port["beats"],
                "width": outer.width,
            }
    return {"rtl": str(built.dir / "rtl"), "ports": ports, "interval": interface["interval"]}


@pytest.mark.parametrize(
    "config",
    ["padding and stride", "unsigned, wide", "argmax", "two ports", "residual", "branches", "rearranged"],
    indirect=True,
)
def test_axi_stream(config, tmp_path):
    from pathlib import Path

    from cocotb_tools.runner import get_runner

    if shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed")
    rtl = Path(config["rtl"])
    runner = get_runner("icarus")
    runner.build(
        sources=[rtl / n for n in (rtl / "net.f").read_text().split()], hdl_toplevel="net_top", build_dir=tmp_path,
        always=True,
        parameters={"MEM_DIR": f'"{rtl / "mem"}"'}, build_args=["-g2005"], timescale=("1ns", "1ps"),
        log_file=tmp_path / "build.log",
    )  # fmt: skip
    log = tmp_path / "run.log"
    try:
        runner.test(
            test_module=__name__, hdl_toplevel="net_top", build_dir=tmp_path, test_dir=tmp_path, log_file=log, seed=1,
            extra_env={"STREAM": json.dumps(config), "COCOTB_LOG_LEVEL": "WARNING"}, hdl_toplevel_lang="verilog",
            results_xml=str(tmp_path / "results.xml"),
        )  # fmt: skip
    except SystemExit as error:
        raise AssertionError(log.read_text() if log.exists() else "the simulator did not start") from error
    text = (tmp_path / "results.xml").read_text()
    assert text.count("<testcase") == 6
    assert "<failure" not in text
    assert "<error" not in text


# --- inside the simulator ---------------------------------------------------------------------------------------------


class Bench:
    """Sources and sinks of cocotbext-axi on every port; no TKEEP, so a frame is whole beats."""

    def __init__(self, dut):
        import logging

        from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

        self.dut, self.config = dut, json.loads(os.environ["STREAM"])
        self.ports = self.config["ports"]
        self.random = random.Random(5)
        self.source, self.sink = {}, {}
        for prefix in self.ports:
            kind, table = (AxiStreamSource, self.source) if prefix[0] == "s" else (AxiStreamSink, self.sink)
            bus = AxiStreamBus.from_prefix(dut, prefix)
            table[prefix] = kind(bus, dut.clk_i, dut.rst_ni, reset_active_level=False)
            table[prefix].log.setLevel(logging.WARNING)
        self.count = len(next(iter(self.ports.values()))["frames"])

    async def start(self):
        cocotb.start_soon(Clock(self.dut.clk_i, PERIOD, unit="ns").start())
        await self.reset()

    async def reset(self):
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_ni.value = 1
        await RisingEdge(self.dut.clk_i)
        for port in (*self.source.values(), *self.sink.values()):
            port.clear()

    def data(self, prefix, index):
        """The bytes of a frame; the bits of the input that pad TDATA to bytes are noise."""
        port = self.ports[prefix]
        raw = bytes.fromhex(port["frames"][index])
        size = len(raw) // port["beats"]
        if prefix[0] == "m" or size * 8 == port["width"]:
            return raw
        words = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
        noise = [self.random.getrandbits(size * 8 - port["width"]) << port["width"] for _ in words]
        return b"".join((w | n).to_bytes(size, "little") for w, n in zip(words, noise, strict=True))

    async def send(self, indices):
        for prefix, source in self.source.items():
            for i in indices:
                await source.send(self.data(prefix, i))

    async def expect(self, indices):
        """Exactly these frames come out, in order, each ended by TLAST; -> end times per port."""
        times = {}
        for prefix, sink in self.sink.items():
            times[prefix] = []
            for i in indices:
                frame = await sink.recv()
                assert bytes(frame.tdata) == self.data(prefix, i), f"{prefix}, frame {i}"
                times[prefix].append(frame.sim_time_end)
        return times

    def error(self):
        value = self.dut.frame_err_o.value
        assert value.is_resolvable
        return int(value)

    def stall(self, source, sink):
        def pauses(share):
            while True:
                yield self.random.random() < share

        for port in self.source.values():
            port.set_pause_generator(pauses(source)) if source else port.clear_pause_generator()
        for port in self.sink.values():
            port.set_pause_generator(pauses(sink)) if sink else port.clear_pause_generator()
        for port in (*self.source.values(), *self.sink.values()):
            port.pause = False


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def frames_back_to_back_keep_the_pace(dut):
    """Twelve frames and more without a gap: the interval of the manifest, within 2 %, and not a frame error."""
    from cocotb.utils import get_sim_time

    bench = Bench(dut)
    await bench.start()
    order = [i % bench.count for i in range(14)]
    await bench.send(order)
    times = await bench.expect(order)
    step = get_sim_time("step") / get_sim_time("ns")
    for ends in times.values():
        cycles = (ends[-1] - ends[4]) / step / PERIOD / (len(ends) - 5)
        assert cycles <= 1.02 * bench.config["interval"], f"{cycles} cycles per frame"
    assert bench.error() == 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def any_stall_pattern_changes_no_bit(dut):
    bench = Bench(dut)
    await bench.start()
    for source, sink in ((0.6, 0), (0, 0.6), (0.3, 0.3), (0.9, 0.5), (0.1, 0.9), (0, 0)):
        bench.stall(source, sink)
        order = [bench.random.randrange(bench.count) for _ in range(4)]
        await bench.send(order)
        await bench.expect(order)
    await ClockCycles(dut.clk_i, 60)
    assert all(sink.empty() for sink in bench.sink.values())
    assert bench.error() == 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def an_early_tlast_is_reported_until_reset(dut):
    bench = Bench(dut)
    await bench.start()
    await bench.send([0])
    await bench.expect([0])
    assert bench.error() == 0
    prefix, source = max(bench.source.items(), key=lambda item: bench.ports[item[0]]["beats"])
    assert bench.ports[prefix]["beats"] > 1
    data = bench.data(prefix, 1)
    await source.send(data[: -(len(data) // bench.ports[prefix]["beats"])])  # a beat short
    await source.wait()
    await ClockCycles(dut.clk_i, 5)
    assert bench.error() == 1
    await bench.send([2])
    await ClockCycles(dut.clk_i, 50)
    assert bench.error() == 1
    await bench.reset()
    assert bench.error() == 0
    await bench.send([3, 1])
    await bench.expect([3, 1])
    assert bench.error() == 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_missing_tlast_is_reported_and_the_data_goes_on(dut):
    """Two frames sent as one: the data is counted, so both come out whole; the error stays."""
    bench = Bench(dut)
    await bench.start()
    first = next(iter(bench.source))
    for prefix, source in bench.source.items():
        if prefix == first:
            await source.send(bench.data(prefix, 2) + bench.data(prefix, 3))
        else:
            await source.send(bench.data(prefix, 2))
            await source.send(bench.data(prefix, 3))
    await bench.expect([2, 3])
    assert bench.error() == 1
    await bench.send([0])
    await bench.expect([0])
    assert bench.error() == 1
    await bench.reset()
    assert bench.error() == 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_reset_in_mid_frame_forgets_everything(dut):
    bench = Bench(dut)
    await bench.start()
    for cut in (1, 7, 23, 61, 150, 333):
        await bench.send([0, 1, 2])
        await ClockCycles(dut.clk_i, cut)
        await bench.reset()
        await bench.send([1, 4])
        await bench.expect([1, 4])
        assert bench.error() == 0
        assert all(sink.empty() for sink in bench.sink.values())


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def outputs_hold_still_while_they_wait(dut):
    """AXI: what is offered stays until it is taken; padding bits of TDATA are zero; nothing is offered in reset."""
    bench = Bench(dut)
    await bench.start()
    await bench.reset()
    for prefix in bench.sink:
        assert getattr(dut, f"{prefix}_tvalid").value == 0
    for prefix, sink in bench.sink.items():  # one at a time: an output that waits may hold up another
        sink.pause = True
        await ClockCycles(dut.clk_i, 3)  # padding may have been on its way
        await bench.send([0])
        valid, data, last = (getattr(dut, f"{prefix}_{n}") for n in ("tvalid", "tdata", "tlast"))
        while valid.value != 1:
            await RisingEdge(dut.clk_i)
        held = (data.value, last.value)
        for _ in range(40):
            await RisingEdge(dut.clk_i)
            assert (valid.value == 1, (data.value, last.value)) == (True, held)
        assert int(data.value) >> bench.ports[prefix]["width"] == 0
        sink.pause = False
        await bench.expect([0])
