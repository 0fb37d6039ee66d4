"""A sample of the fuzzing that `python tests/ethosu/fuzz_emulator.py` does at length."""

from __future__ import annotations

from fuzz_emulator import fuzz_constants, fuzz_file, fuzz_stream, run_cases


def test_damage_ends_in_results_or_named_errors() -> None:
    ends = run_cases(cases=2000, seed=1)
    assert sum(ends.values()) == 2000
    for target in (fuzz_file, fuzz_stream, fuzz_constants):
        assert ends[f"{target.__name__}: ran"] > 0, "damage so heavy that nothing runs tests little"
        errors = ("StreamError", "WeightDecoderError")
        assert sum(ends[f"{target.__name__}: {error}"] for error in errors) > 0
