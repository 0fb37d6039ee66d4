"""What stages read of a prepared run, missing or damaged."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.artefacts import ArtefactError, RunDir
from pipeline.inputs import prepared_front_end

ONES = np.ones(8, np.float32)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"\xff" * 100, "header too large"),
        ({"mean": ONES}, "'deviation'"),
        ({"mean": ONES, "deviation": -ONES}, "deviation positive"),
    ],
    ids=["missing", "garbage", "incomplete", "unsound"],
)
def test_a_front_end_that_cannot_be_read_is_named_with_a_way_out(
    content: bytes | dict[str, np.ndarray] | None, problem: str, tmp_path: Path
) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.front_end.parent.mkdir()
    if isinstance(content, bytes):
        run_dir.front_end.write_bytes(content)
    elif content is not None:
        save_file(content, run_dir.front_end)
    with pytest.raises(ArtefactError, match=r"front_end\.safetensors: not a front end") as error:
        prepared_front_end(run_dir)
    assert problem in str(error.value) and "python -m pipeline.prepare" in str(error.value)
