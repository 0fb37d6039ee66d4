"""Crops made on a GPU are what is asked for."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from pipeline.corpora import audio
from pipeline.corpora.mixing import NOMINAL_DBFS, NONE, PEAK
from pipeline.corpora.store import Store, StoreWriter
from pipeline.pretraining.crops import Bank, CropMaker, active_power, draw

SAMPLES = 16_000


def noise(samples: int, seed: int, scale: float = 0.1) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.fixture
def make_bank(tmp_path) -> Callable[..., Bank]:  # type: ignore[no-untyped-def]
    def make(role: str, clips: dict[str, list[np.ndarray]]) -> Bank:
        writer = StoreWriter(tmp_path / role)
        for group, pieces in clips.items():
            for number, samples in enumerate(pieces):
                writer.append(
                    samples, name=f"{group}/{number}", source="test", speaker=group,
                    licence="CC0", kind=group, weight=1.0,
                )  # fmt: skip
        writer.close()
        of = Bank.of_voices if role == "speech" else Bank.of_noise
        return of(Store(tmp_path / role), seed=1)

    return make


@pytest.fixture
def banks(make_bank: Callable[..., Bank]) -> tuple[Bank, Bank]:
    voices = {
        f"voice{k}": [noise(9000, 10 * k + n, 0.02 * (k + 1)) for n in range(3)] for k in range(2)
    }
    return make_bank("speech", voices), make_bank("noise", {"music": [noise(30_000, 99, 0.3)]})


@pytest.fixture
def rooms() -> jax.Array:
    response = np.zeros((2, 4000), np.float32)
    response[:, 0] = 1
    response[:, 2000] = 0.5
    return jnp.asarray(response)


def test_a_piece_at_plain_speed_is_the_recording_at_nominal_level(
    make_bank: Callable[..., Bank],
) -> None:
    recording = noise(20_000, 5)
    bank = make_bank("noise", {"music": [recording]})
    (piece,) = np.asarray(draw(random.key(0), bank, 1, 8000, (1.0, 1.0)))
    level = audio.active_level_dbfs(recording)
    expected = np.tile(recording, 2) * 10 ** ((NOMINAL_DBFS - level) / 20)
    windows = np.lib.stride_tricks.sliding_window_view(expected, 8000)[:20_000]
    assert np.abs(windows - piece).max(axis=1).min() < 1e-4


def test_a_piece_played_backwards_is_the_recording_turned_round(
    make_bank: Callable[..., Bank],
) -> None:
    bank = make_bank("noise", {"music": [noise(20_000, 5)]})
    forwards, backwards = (
        np.asarray(draw(random.key(0), bank, 1, 8000, (1.0, 1.0), share))[0] for share in (0.0, 1.0)
    )
    stream = np.tile(np.asarray(bank.audio, np.float32) / 32_768, 3)
    (start,) = (
        k for k in range(20_000, 40_000) if np.allclose(stream[k : k + 8000], forwards, atol=1e-4)
    )
    np.testing.assert_allclose(backwards, stream[start : start - 8000 : -1], atol=1e-4)


def test_a_faster_piece_has_higher_tones(make_bank: Callable[..., Bank]) -> None:
    tone = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / audio.RATE_HZ)).astype(np.float32)
    bank = make_bank("noise", {"music": [tone]})
    pieces = np.asarray(draw(random.key(1), bank, 16, 8000, (1.25, 1.25)))
    peaks = np.abs(np.fft.rfft(pieces * np.hanning(8000))).argmax(axis=1) * audio.RATE_HZ / 8000
    assert set(np.round(peaks, -1)) == {1000.0, 1250.0}


def test_crops_depend_on_the_key_alone(banks: tuple[Bank, Bank], rooms: jax.Array) -> None:
    maker = CropMaker(SAMPLES)
    one, again, other = (maker(random.key(k), *banks, rooms, 4) for k in (1, 1, 2))
    np.testing.assert_array_equal(one[0], again[0])
    assert np.abs(one[0] - other[0]).max() > 0.01


def test_levels_and_ratios_are_in_their_ranges(banks: tuple[Bank, Bank], rooms: jax.Array) -> None:
    maker = CropMaker(SAMPLES, snr_db=(3.0, 5.0), level_dbfs=(-40.0, -30.0), augmentation=NONE)
    noisy, clean = (np.asarray(x) for x in maker(random.key(3), *banks, rooms, 32))
    level = 10 * np.log10(audio.active_power(clean))
    assert np.all((level > -40.1) & (level < -29.9))
    assert np.ptp(level) > 3
    ratio = 10 * np.log10(audio.active_power(clean) / np.mean((noisy - clean) ** 2, axis=-1))
    assert np.all((ratio > 2.9) & (ratio < 5.1))


def test_peaks_stay_below_full_scale(banks: tuple[Bank, Bank], rooms: jax.Array) -> None:
    noisy, clean = CropMaker(SAMPLES, level_dbfs=(-3.0, 0.0))(random.key(4), *banks, rooms, 32)
    offsets = np.asarray(noisy).mean(axis=1, keepdims=True)
    assert np.abs(np.asarray(noisy) - offsets).max() <= PEAK + 0.01
    assert np.abs(np.asarray(clean)).max() <= PEAK + 1e-5


def test_a_target_keeps_the_early_part_of_a_room(
    make_bank: Callable[..., Bank], rooms: jax.Array
) -> None:
    """The echo after 125 ms is on the noisy side alone."""
    click = noise(SAMPLES, 7, 1e-4)
    click[::8000] = 0.5
    speech = make_bank("speech", {"voice": [click]})
    silence = make_bank("noise", {"music": [noise(30_000, 8)]})
    maker = CropMaker(
        SAMPLES, snr_db=(60.0, 60.0), augmentation=dataclasses.replace(NONE, room_share=1.0)
    )
    noisy, clean = (np.asarray(x) for x in maker(random.key(5), speech, silence, rooms, 8))
    echo = np.abs(noisy - clean).max(axis=1) / np.abs(clean).max(axis=1)
    np.testing.assert_allclose(echo, 0.5, atol=0.1)


def test_active_power_is_that_of_corpora() -> None:
    signals = np.stack([noise(9000, 1), np.concatenate([noise(4000, 2), np.zeros(5000)])])
    signals = signals.astype(np.float32)
    np.testing.assert_allclose(
        active_power(jnp.asarray(signals)), audio.active_power(signals), rtol=1e-4
    )
