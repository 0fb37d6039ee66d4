"""One row an NPU: the names that settings allow are the rows there are."""

from typing import get_args

from pipeline.ethosu.npu import NPUS, NpuName


def test_every_name_has_its_row() -> None:
    assert tuple(NPUS) == get_args(NpuName)
    for name, npu in NPUS.items():
        assert npu.name == name == f"{npu.family}-{npu.macs}"
        height, width, depth = npu.ofm_ublock
        assert npu.macs == height * width * depth * 8
