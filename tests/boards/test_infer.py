"""Inputs of inferences from files, and the comparison with references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.boards.infer import count_differences, random_inputs, read_inputs, run_reference
from pipeline.runners import TargetError, TensorSpec

A = TensorSpec("a", (1, 3), np.dtype(np.int8), 0.1, 0)
B = TensorSpec("b", (2,), np.dtype(np.int16), 0.1, 0)


def ones(*shape: int, dtype: Any = np.int8) -> NDArray[Any]:
    return np.ones(shape, dtype)


def test_inferences_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    a = np.arange(12, dtype=np.int8).reshape(4, 1, 3)
    np.savez(path, a=a, b=ones(4, 2, dtype=np.int16))
    inputs = read_inputs(path, [A, B])
    assert len(inputs) == 4
    np.testing.assert_array_equal(inputs[2]["a"], a[2])
    np.save(tmp_path / "one.npy", a[0])
    (single,) = read_inputs(tmp_path / "one.npy", [A])
    np.testing.assert_array_equal(single["a"], a[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": ones(4, 1, 3)}, "the model takes"),
        ({"a": ones(4, 1, 3), "b": ones(4, 2, dtype=np.int16), "c": ones(1)}, "the model takes"),
        ({"a": ones(4, 1, 3), "b": ones(4, 2)}, "'b' is int8"),
        ({"a": ones(4, 1, 4), "b": ones(4, 2, dtype=np.int16)}, r"'a' is int8\[4, 1, 4\]"),
        ({"a": ones(4, 1, 3), "b": ones(3, 2, dtype=np.int16)}, r"holds \[3, 4\] inferences"),
        ({"a": ones(0, 1, 3), "b": ones(0, 2, dtype=np.int16)}, r"holds \[0\] inferences"),
    ],
)
def test_inputs_that_are_not_the_models_are_named(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match=rf"inputs\.npz.*{message}"):
        read_inputs(path, [A, B])


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inputs.npz"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=r"inputs\.npz"):
        read_inputs(path, [A])
    with pytest.raises(TargetError, match=r"absent\.npz.*No such file"):
        read_inputs(tmp_path / "absent.npz", [A])
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(TargetError, match=r"objects\.npy"):
        read_inputs(tmp_path / "objects.npy", [A])


def test_random_inputs_repeat_and_reach_both_ends() -> None:
    wide = TensorSpec("wide", (5000,), np.dtype(np.int8), 1.0, 0)
    first, again = random_inputs([wide]), random_inputs([wide])
    assert first[0]["wide"].min() == -128 and first[0]["wide"].max() == 127
    np.testing.assert_array_equal(first[1]["wide"], again[1]["wide"])


def test_references_carry_states_over() -> None:
    def counter(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        following = tensors["n"] + tensors["x"]
        return {"n_next": following, "y": following}

    inputs = [{"x": np.int8([2])}, {"x": np.int8([3])}]
    outputs = run_reference(counter, {"n": np.int8([10])}, inputs)
    assert [int(values["y"][0]) for values in outputs] == [12, 15]
    assert outputs[0].keys() == {"y"}


def test_differences_are_counted_in_bytes() -> None:
    ours = [{"y": np.int16([1, 256])}, {"y": np.int16([0, 0])}]
    theirs = [{"y": np.int16([1, 257])}, {"y": np.int16([257, 0])}]
    assert count_differences(ours, theirs) == (8, 3)
    with pytest.raises(TargetError, match="outputs are"):
        count_differences(ours[:1], [{"z": np.int16([1, 1])}])
