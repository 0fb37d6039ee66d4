"""A job on foreign memory gives what the emulator gives, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from ethosu_graphs import generate
from ethosu_reference import vela_compile
from fake_machine import FakeMachine

from pipeline.ethosu import (
    AddressError,
    Emulator,
    NpuConfig,
    StreamError,
    execute_stream,
    load_vela_model,
)
from pipeline.ethosu.stimuli import random_inputs

READ_ONLY, SCRATCH = 0x2000_0000, 0x3000_0040
FAMILIES = ("chain_int8", "chain_int16", "softmax_int8", "concatenation_int8", "logistic_int8")


@pytest.mark.parametrize("family", FAMILIES)
def test_job_equals_emulator_over_changing_memory(family: str) -> None:
    model = load_vela_model(vela_compile(generate(family, 3), 128))
    emulator = Emulator(model)
    machine = FakeMachine({READ_ONLY: model.read_only, SCRATCH: bytes(model.scratch_bytes)})
    words = np.array(model.command_words, "<u4").tobytes()
    rng = np.random.default_rng(0)
    for _ in range(3):
        inputs = random_inputs(model.inputs, rng)
        for spec in model.inputs:
            machine.write(SCRATCH + spec.offset, inputs[spec.name].tobytes())
        counters = execute_stream(words, machine, [READ_ONLY, SCRATCH, SCRATCH], NpuConfig())
        for name, expected in emulator.invoke(inputs).items():
            spec = next(s for s in model.outputs if s.name == name)
            actual = machine.read(SCRATCH + spec.offset, spec.size_bytes)
            assert actual == expected.tobytes()
        assert counters.npu_active > 0
        assert counters == emulator.cost().counters


def test_changed_weights_are_noticed() -> None:
    model = load_vela_model(vela_compile(generate("conv_int8", 1)))
    machine = FakeMachine({READ_ONLY: model.read_only, SCRATCH: bytes(model.scratch_bytes)})
    words = np.array(model.command_words, "<u4").tobytes()
    inputs = random_inputs(model.inputs, np.random.default_rng(0))
    spec, output = model.inputs[0], model.outputs[0]
    machine.write(SCRATCH + spec.offset, inputs[spec.name].tobytes())
    execute_stream(words, machine, [READ_ONLY, SCRATCH])
    before = machine.read(SCRATCH + output.offset, output.size_bytes)
    machine.areas[READ_ONLY][1] ^= 0x7F  # the first bias
    machine.write(SCRATCH + spec.offset, inputs[spec.name].tobytes())
    execute_stream(words, machine, [READ_ONLY, SCRATCH])
    assert machine.read(SCRATCH + output.offset, output.size_bytes) != before


def test_only_output_ranges_are_written() -> None:
    model = load_vela_model(vela_compile(generate("conv_int8", 2)))
    machine = FakeMachine({READ_ONLY: model.read_only, SCRATCH: bytes(model.scratch_bytes)})
    words = np.array(model.command_words, "<u4").tobytes()
    execute_stream(words, machine, [READ_ONLY, SCRATCH])
    output = model.outputs[0]
    start = SCRATCH + output.offset
    assert machine.written == [(start, start + output.size_bytes)]


def test_bad_jobs_end_in_named_errors() -> None:
    model = load_vela_model(vela_compile(generate("conv_int8", 1)))
    machine = FakeMachine({READ_ONLY: model.read_only, SCRATCH: bytes(model.scratch_bytes)})
    words = np.array(model.command_words, "<u4")
    with pytest.raises(AddressError, match="region 1"):
        execute_stream(words.tobytes(), machine, [READ_ONLY])
    broken = words.copy()
    broken[0] = 0x0000_03FF
    with pytest.raises(StreamError, match="command 0 .*unknown command word"):
        execute_stream(broken.tobytes(), machine, [READ_ONLY, SCRATCH])
    with pytest.raises(StreamError, match="without NPU_OP_STOP"):
        execute_stream(words[:-1].tobytes(), machine, [READ_ONLY, SCRATCH])
