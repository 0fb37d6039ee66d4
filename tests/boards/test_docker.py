"""What the stages of the Dockerfile are made of."""

from __future__ import annotations

import re
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "docker" / "Dockerfile"


def needs() -> dict[str, set[str]]:
    """The other stages that each stage takes something from."""
    stages: dict[str, set[str]] = {}
    for line in DOCKERFILE.read_text().splitlines():
        if found := re.match(r"FROM (\S+) AS (\S+)", line):
            source, stage = found.groups()
            stages[stage] = {source} & stages.keys()
        for source in re.findall(r"--(?:mount=[^ ]*,)?from=([\w-]+)", line):
            stages[stage].add(source)
    return stages


def all_needs(stage: str, stages: dict[str, set[str]]) -> set[str]:
    return stages[stage].union(*(all_needs(other, stages) for other in stages[stage]))


def test_no_image_but_its_own_depends_on_tensorflow_lite_micro() -> None:
    stages = needs()
    assert "tflm" in all_needs("virtual-tflm", stages)
    for stage in ("virtual", "fvp"):
        assert all_needs(stage, stages).isdisjoint({"tflm", "firmware-tflm"})
