"""Rendered extras: speed copies, babble, synthesized noise, rooms."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora import augment
from pipeline.corpora.audio import RATE_HZ, active_level_dbfs
from pipeline.corpora.augment import (
    Extras,
    babble,
    change_speed,
    render_noise,
    render_rooms,
    render_speech,
    without_rumble,
)
from pipeline.corpora.procedural import GENERATORS, synthesize
from pipeline.corpora.rooms import early_part, room_response
from pipeline.corpora.store import AUDIO_NAME, Store


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_moves_tempo_and_pitch_together(speed: float) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(32_000) / RATE_HZ)
    faster = change_speed(tone, speed)
    assert faster.size == pytest.approx(32_000 / speed, abs=2)
    middle = faster[4000:20_000] * np.hanning(16_000)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(1000 * speed, abs=1)


def test_offset_and_rumble_are_taken_out_and_voices_are_not() -> None:
    time_s = np.arange(32_000) / RATE_HZ
    voice = 0.1 * np.sin(2 * np.pi * 100 * time_s)
    disturbed = voice + 0.3 + 0.2 * np.sin(2 * np.pi * 10 * time_s)
    kept = without_rumble(disturbed)[8000:-8000]
    np.testing.assert_allclose(kept, voice[8000:-8000], atol=0.006)


def test_speed_copies_are_other_speakers_at_one_speed_each(
    make_store: Callable[..., Store], tmp_path: Path
) -> None:
    recorded = make_store("speech", count=4)
    summary = render_speech(
        recorded, recorded.clips, tmp_path / "out", Extras(speech_speed_copies=3), seed=1
    )
    rendered = Store(tmp_path / "out")
    assert summary.clips == 16
    speeds: dict[str, set[str]] = {}
    for clip in rendered.clips:
        base, _, speed = clip.speaker.partition("@")
        assert clip.name.partition("@")[2] == speed
        speeds.setdefault(base, set()).add(speed)
        if speed:
            original = next(c for c in recorded.clips if c.name == clip.name.partition("@")[0])
            assert clip.length == pytest.approx(original.length / float(speed), rel=1e-3)
            assert 0.85 <= float(speed) <= 1.18
    assert {base: len(found) for base, found in speeds.items()} == {"talker0": 4, "talker1": 4}


def test_voices_turn_into_babble_and_are_not_used_alone(
    make_store: Callable[..., Store], record: Callable[..., Path], tmp_path: Path
) -> None:
    voices = make_store("noise", kind="voice", count=4)
    extras = Extras(noise_speed_copies=2, babble_minutes=0.5, procedural_minutes=0.5)
    render_noise(voices, voices.clips, tmp_path / "out", extras, seed=1)
    kinds = [clip.kind for clip in Store(tmp_path / "out").clips]
    assert kinds == ["babble"] * 3 + ["procedural"] * 3
    plain = make_store("noise")
    render_noise(plain, plain.clips, tmp_path / "plain", extras, seed=1)
    kinds = [clip.kind for clip in Store(tmp_path / "plain").clips]
    assert kinds == ["ambience"] * 12 + ["procedural"] * 3


def test_the_more_there_is_of_a_noise_the_fewer_copies_are_made(
    make_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = make_store("noise", count=4, seconds=2.0)
    for limit_s, copies in ((40.0, 5), (39.0, 4), (7.9, 0)):
        monkeypatch.setattr(augment, "_MAX_NOISE_COPIES_S", limit_s)
        render_noise(noise, noise.clips, tmp_path / "out", Extras(noise_speed_copies=5), seed=1)
        assert len(Store(tmp_path / "out").clips) == 4 * (1 + copies)


def test_every_kind_of_noise_has_copies_of_its_own(
    make_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "_MAX_NOISE_COPIES_S", 10.0)
    noise = make_store("noise", count=4, seconds=2.0)
    clips = [replace(clip, kind="keys") if n == 0 else clip for n, clip in enumerate(noise.clips)]
    render_noise(noise, clips, tmp_path / "out", Extras(noise_speed_copies=3), seed=1)
    kinds = Counter(clip.kind for clip in Store(tmp_path / "out").clips)
    assert kinds == {"keys": 4, "ambience": 6}


def test_rendering_repeats_from_its_seed(make_store: Callable[..., Store], tmp_path: Path) -> None:
    voices = make_store("noise", kind="voice", count=4)
    extras = Extras(babble_minutes=0.4, procedural_minutes=0.4)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        render_noise(voices, voices.clips, tmp_path / name, extras, seed=seed)
    a, b, c = ((tmp_path / name / AUDIO_NAME).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_babble_is_full_of_voices(make_store: Callable[..., Store]) -> None:
    store = make_store("noise", kind="voice", count=4, seconds=1.0)
    mixed = babble(store, store.clips, np.random.default_rng(0))
    assert mixed.shape == (160_000,)
    assert 10 * np.log10(np.mean(mixed**2)) == pytest.approx(-26, abs=0.01)


@pytest.mark.parametrize("name", list(GENERATORS))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_generators_make_sound_of_any_length(name: str, seed: int) -> None:
    for samples in (16_000, 40_001):
        noise = GENERATORS[name](np.random.default_rng(seed), samples)
        assert noise.shape == (samples,)
        assert np.all(np.isfinite(noise))
        assert np.std(noise) > 0.1


def test_synthesis_is_leveled_varied_and_repeatable() -> None:
    drawn = [synthesize(np.random.default_rng(seed), 32_000) for seed in range(40)]
    for _, noise in drawn:
        assert noise.dtype == np.float32
        assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(-26, abs=0.01)
        assert abs(np.mean(noise)) < 0.01
    assert {name for name, _ in drawn} == set(GENERATORS)
    np.testing.assert_array_equal(drawn[3][1], synthesize(np.random.default_rng(3), 32_000)[1])


def test_rooms_start_with_the_direct_path_and_decay(tmp_path: Path) -> None:
    rooms = render_rooms(tmp_path / "rooms.npy", 20, seed=1)
    np.testing.assert_array_equal(np.load(tmp_path / "rooms.npy", allow_pickle=False), rooms)
    assert [p.name for p in tmp_path.iterdir()] == ["rooms.npy"]
    assert rooms.shape == (20, 9600)
    assert rooms.dtype == np.float32
    np.testing.assert_allclose(rooms[:, 0], 1.0)
    assert np.all(np.abs(rooms).argmax(axis=1) == 0)
    early, late = rooms[:, :4800], rooms[:, 4800:]
    assert np.all(np.sum(early**2, axis=1) > 2 * np.sum(late**2, axis=1))


def test_the_early_part_ends_after_50_ms() -> None:
    response = room_response(np.random.default_rng(0))
    early = early_part(response)
    np.testing.assert_array_equal(early[:800], response[:800])
    assert not early[800:].any()
    assert response[800:].any()
    assert active_level_dbfs(response) > -60
