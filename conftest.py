"""What all tests have in common: one thread, no clock, and no skipped test where that must not be.

One thread for arithmetic, in tests and in what they start, so that sums are always in one order;
set before NumPy and TensorFlow load. A run from the command line does the same.
"""

import os
from collections.abc import Generator

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
# Ray's workers are nice to whatever else runs, and would wait for it for as long as it runs.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112

import hypothesis
import pytest

# How long an example takes says something about the machine and its load, nothing about the code.
hypothesis.settings.register_profile(
    "no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no clock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail where the test, or a fixture of it, was skipped."""
    report = yield
    expected_to_fail = hasattr(report, "wasxfail")
    if report.skipped and not expected_to_fail and item.config.getoption("--no-skips"):
        report.outcome, report.longrepr = "failed", _reason(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail where a whole file was skipped."""
    report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        report.outcome, report.longrepr = "failed", _reason(report.longrepr)
    return report


def _reason(skipped: object) -> str:
    reason = skipped[2] if isinstance(skipped, tuple) else skipped
    return f"not run, which --no-skips does not allow: {reason}"
