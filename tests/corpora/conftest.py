"""Small synthetic recordings shared by the corpus tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.corpora.store import Clip, Store, build_store


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Write noise bursts (speech-like: loud, then pause) or given samples to a file."""

    def write(
        name: str,
        samples: np.ndarray | None = None,
        *,
        rate_hz: int = 16_000,
        seconds: float = 1.0,
        seed: int = 0,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if samples is None:
            rng = np.random.default_rng([seed, len(name)])
            samples = 0.1 * rng.standard_normal(round(seconds * rate_hz))
            samples[len(samples) // 3 : len(samples) // 2] *= 0.3
        soundfile.write(path, samples, rate_hz, **options)
        return path

    return write


@pytest.fixture
def make_store(tmp_path: Path, record: Callable[..., Path]) -> Callable[..., Store]:
    """Pack `count` recordings of one role into a store."""

    def make(role: str, *, count: int = 4, seconds: float = 2.0, kind: str | None = None) -> Store:
        kind = kind or ("speech" if role == "speech" else "ambience")
        clips = [
            Clip(
                path=record(f"{role}-{kind}/{n}.wav", seconds=seconds, seed=n),
                name=f"{role}-{kind}/{n}",
                source="synthetic",
                speaker=f"talker{n % 2}",
                licence="none",
                kind=kind,
                role=role,
                split="train",
            )
            for n in range(count)
        ]
        folder = tmp_path / f"store-{role}-{kind}"
        build_store(clips, folder)
        return Store(folder)

    return make
