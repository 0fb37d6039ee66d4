"""What the packer writes, read back field by field as docs/firmware-reference.md lays it out."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from compiled_enhancer import Compiled

from pipeline.boards.memory_timing import HIGH_END_EMBEDDED
from pipeline.boards.package import GoldenHops, pack_npu_model, pack_tflite_model
from pipeline.boards.package_layout import Section, WeightsPlacement
from pipeline.dsp import FrontEnd
from pipeline.runners import TargetError
from pipeline.runners.tflm import TflmRunner


def read_sections(package: bytes) -> dict[int, bytes]:
    magic, crc, version, count, size = struct.unpack_from("<4sIHHI", package)
    assert (magic, version, size) == (b"SEMP", 1, len(package))
    assert crc == zlib.crc32(package[8:])
    sections = {}
    for index in range(count):
        kind, offset, length, reserved = struct.unpack_from("<IIII", package, 16 + 16 * index)
        assert offset % 16 == 0
        assert reserved == 0
        sections[kind] = package[offset : offset + length]
    return sections


def test_npu_package_holds_the_compiled_model(compiled: Compiled) -> None:
    golden = compiled.golden(3)
    package = pack_npu_model(
        compiled.vela,
        compiled.front_end,
        placement=WeightsPlacement.SRAM_AT_BOOT,
        golden=golden,
        memory_timing=HIGH_END_EMBEDDED,
    )
    sections = read_sections(package.content)
    assert sections.keys() == set(Section) - {
        Section.TFLITE,
        Section.DELAYS,
        Section.PACKED_WEIGHTS,
    }
    assert sections[Section.NPU_WEIGHTS] == compiled.vela.read_only
    stream = np.frombuffer(sections[Section.NPU_STREAM], "<u4")
    assert tuple(stream) == compiled.vela.command_words
    architecture, config, arena, placement = struct.unpack("<IIII", sections[Section.NPU_JOB])
    assert (architecture >> 28, config & 0xF, config >> 8 & 0xFF) == (1, 7, 24)
    assert (arena, placement) == (compiled.vela.scratch_bytes, 1)
    assert sections[Section.GOLDEN][16:] == golden.features.tobytes() + golden.mask.tobytes()
    assert struct.unpack("<16I", sections[Section.MEMORY_TIMING])[8:12] == (2, 0, 0, 64)


def test_delays_name_source_and_place_of_every_earlier_frame(compiled_delaying: Compiled) -> None:
    front_end = compiled_delaying.front_end
    model = compiled_delaying.vela
    package = pack_npu_model(model, front_end, placement=WeightsPlacement.FLASH)
    sections = read_sections(package.content)
    delays = list(struct.iter_unpack("<HHIII", sections[Section.DELAYS]))
    assert delays == [(0, 0, 2, 0, 128), (0, 0, 1, 128, 128), (1, 1, 3, 0, 32)]
    records = list(struct.iter_unpack("<BBHIfiIIII", sections[Section.TENSORS]))
    assert [(r[0], r[2], r[3]) for r in records] == [
        (0, 0, 128), (1, 0, 128), (5, 0, 256), (5, 1, 32), (6, 0, 32)
    ]  # fmt: skip
    assert [spec.name for spec in package.outputs] == ["mask"]


def test_tensor_records_follow_the_compiled_model(compiled: Compiled) -> None:
    package = pack_npu_model(compiled.vela, compiled.front_end, placement=WeightsPlacement.FLASH)
    records = list(
        struct.iter_unpack("<BBHIfiIIII", read_sections(package.content)[Section.TENSORS])
    )
    specs = {spec.name: spec for spec in (*compiled.vela.inputs, *compiled.vela.outputs)}
    names = ["features", "mask", "h", "c", "h_next", "c_next"]
    assert [record[0] for record in records] == [0, 1, 2, 2, 3, 3]
    assert [record[2] for record in records] == [0, 0, 0, 1, 0, 1]
    for name, record in zip(names, records, strict=True):
        spec = specs[name]
        assert record[1] == {"int8": 9, "int16": 7}[spec.dtype.name]
        assert record[3] == spec.size_bytes
        assert record[4] == pytest.approx(spec.scale)
        assert record[5:7] == (spec.zero_point, spec.offset)


@pytest.mark.parametrize("conditioned", [False, True])
def test_front_end_constants_compute_the_features(compiled: Compiled, conditioned: bool) -> None:
    """The firmware's recipe on the packed constants, in numpy, against pipeline.dsp."""
    front_end = dataclasses.replace(compiled.front_end, conditioned=conditioned)
    package = pack_npu_model(compiled.vela, front_end, placement=WeightsPlacement.FLASH)
    section = read_sections(package.content)[Section.FRONT_END]
    rate, frame, hop, bands, count, exponent, limit, flag = struct.unpack_from("<IIIIIffI", section)
    assert (rate, frame, hop, bands, flag) == (16000, 512, 256, 128, conditioned)
    floats = np.frombuffer(section, "<f4", 3 * bands + count, 32)
    mean, scale, inverse_sum, weights = np.split(floats, [bands, 2 * bands, 3 * bands])
    first, length = np.frombuffer(section, "<u2", offset=32 + floats.nbytes).reshape(2, bands)
    assert length.sum() == count

    magnitude = np.random.default_rng(0).exponential(3, 257).astype(np.float32)
    starts = np.cumsum(length) - length
    averaged = np.array(
        [
            magnitude[f : f + n] @ weights[s : s + n]
            for f, n, s in zip(first, length, starts, strict=True)
        ]
    )
    features = np.clip(((averaged * inverse_sum) ** exponent - mean) * scale, -limit, limit)
    np.testing.assert_allclose(features, front_end.features(magnitude), atol=1e-5)


def test_tflite_package_numbers_tensors_in_file_order(compiled: Compiled) -> None:
    runner = TflmRunner(compiled.tflite)
    package = pack_tflite_model(compiled.tflite, runner, compiled.front_end)
    sections = read_sections(package.content)
    assert sections.keys() == {Section.FRONT_END, Section.TENSORS, Section.TFLITE}
    assert sections[Section.TFLITE] == compiled.tflite
    records = list(struct.iter_unpack("<BBHIfiIIII", sections[Section.TENSORS]))
    names = ["features", "mask", "h", "c", "h_next", "c_next"]
    inputs, outputs = list(runner.inputs), list(runner.outputs)
    sides = [inputs, outputs, inputs, inputs, outputs, outputs]
    assert [r[7] for r in records] == [s.index(n) for n, s in zip(names, sides, strict=True)]


def test_models_that_do_not_fit_are_refused(compiled: Compiled) -> None:
    few_bands = FrontEnd(np.zeros(64, np.float32), np.ones(64, np.float32))
    with pytest.raises(TargetError, match="front end has 64 bands"):
        pack_npu_model(compiled.vela, few_bands, placement=WeightsPlacement.FLASH)
    spilled = dataclasses.replace(compiled.vela, scratch_fast_bytes=64)
    with pytest.raises(TargetError, match="separate fast scratch"):
        pack_npu_model(spilled, compiled.front_end, placement=WeightsPlacement.FLASH)
    golden = GoldenHops(np.zeros((2, 128), np.int8), np.zeros((1, 128), np.int8))
    with pytest.raises(TargetError, match="golden mask"):
        pack_npu_model(
            compiled.vela,
            compiled.front_end,
            placement=WeightsPlacement.FLASH,
            golden=golden,
        )
