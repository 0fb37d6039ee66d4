"""Mixing: a pure function of seed and step, at the SNR and level that were asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.audio import active_level_dbfs, active_power
from pipeline.corpora.mixing import NONE, Augmentation, Mixer, snr_db
from pipeline.corpora.rooms import early_part, room_response
from pipeline.corpora.store import Store

CROP_SAMPLES = 24_000


@pytest.fixture
def stores(make_store: Callable[..., Store]) -> tuple[Store, Store]:
    return make_store("speech", seconds=0.8, count=6), make_store("noise", seconds=3.0)


def mixer(stores: tuple[Store, Store], **options: object) -> Mixer:
    settings: dict[str, object] = {"crop_samples": CROP_SAMPLES, "seed": 5, **options}
    return Mixer(*stores, **settings)  # type: ignore[arg-type]


def rooms(count: int = 3) -> np.ndarray:
    return np.stack([room_response(np.random.default_rng(n)) for n in range(count)])


def test_a_batch_depends_on_seed_and_step_alone(stores: tuple[Store, Store]) -> None:
    first = mixer(stores, rooms=rooms())
    wanted = first.batch(7, 8)
    reopened = (Store(stores[0].folder), Store(stores[1].folder))
    for again in (first.batch(7, 8), mixer(reopened, rooms=rooms()).batch(7, 8)):
        for one, other in zip(wanted, again, strict=True):
            np.testing.assert_array_equal(one, other)
    for step in (0, 6, 8):
        assert not np.array_equal(wanted[0], first.batch(step, 8)[0])
    assert not np.array_equal(wanted[0], mixer(stores, rooms=rooms(), seed=6).batch(7, 8)[0])


@pytest.mark.parametrize("augmentation", [Augmentation(room_share=0, offset_share=0), NONE])
@pytest.mark.parametrize("wanted_db", [-5.0, 15.0])
def test_snr_is_what_was_asked_for(
    stores: tuple[Store, Store], wanted_db: float, augmentation: Augmentation
) -> None:
    mixing = mixer(stores, snr_db=(wanted_db, wanted_db), augmentation=augmentation)
    noisy, clean = mixing.batch(0, 16)
    np.testing.assert_allclose(snr_db(clean, noisy - clean), wanted_db, atol=0.1)


def test_snr_covers_the_range_evenly(stores: tuple[Store, Store]) -> None:
    noisy, clean = mixer(stores, augmentation=NONE).batch(0, 200)
    measured = np.array(snr_db(clean, noisy - clean))
    assert measured.min() >= -5.1
    assert measured.max() <= 15.1
    assert np.histogram(measured, 4, (-5, 15))[0].min() > 25


def test_level_and_peak(stores: tuple[Store, Store]) -> None:
    noisy, clean = mixer(stores, level_dbfs=(-30.0, -30.0), augmentation=NONE).batch(0, 16)
    for row in clean:
        assert active_level_dbfs(row) == pytest.approx(-30, abs=0.1)
    loud = {"level_dbfs": (0.0, 0.0), "snr_db": (-5.0, -5.0)}
    noisy, clean = mixer(stores, augmentation=Augmentation(offset_share=0), **loud).batch(0, 16)
    assert noisy.dtype == clean.dtype == np.float32
    assert noisy.shape == clean.shape == (16, CROP_SAMPLES)
    np.testing.assert_allclose(np.abs(noisy).max(axis=1), 0.98, rtol=1e-4)
    np.testing.assert_allclose(snr_db(clean, noisy - clean), -5, atol=0.1)


def test_without_augmentation_the_clean_side_is_the_recording(
    make_store: Callable[..., Store],
) -> None:
    speech = make_store("speech", seconds=2.0, count=1)
    mixing = mixer((speech, make_store("noise")), augmentation=NONE, crop_samples=16_000)
    recording = speech.read_clip(speech.clips[0])
    for row in mixing.batch(0, 4)[1]:
        lag = int(np.argmax(np.correlate(recording, row, "valid")))
        cut = recording[lag : lag + row.size]
        gain = float(row @ cut / (cut @ cut))
        np.testing.assert_allclose(row, gain * cut, atol=1e-6)


def test_rooms_leave_only_direct_sound_and_early_reflections_in_the_target(
    stores: tuple[Store, Store],
) -> None:
    response = rooms(1)
    settings = dict(NONE.__dict__, room_share=1.0)
    options = {"augmentation": Augmentation(**settings), "level_dbfs": (-30.0, -30.0)}
    quiet = {"snr_db": (200.0, 200.0)}
    wet, target = mixer(stores, rooms=response, **options, **quiet).batch(3, 4)
    only_early, same_target = mixer(stores, rooms=early_part(response), **options, **quiet).batch(
        3, 4
    )
    np.testing.assert_allclose(target, same_target, atol=1e-7)
    np.testing.assert_allclose(only_early, target, atol=1e-6)
    assert np.mean((wet - target) ** 2) > 1e-3 * np.mean(target**2)


def test_late_starts_are_silent_before_the_speech(stores: tuple[Store, Store]) -> None:
    settings = Augmentation(**dict(NONE.__dict__, late_start_share=1.0))
    clean = mixer(stores, augmentation=settings).batch(0, 8)[1]
    assert np.all(clean[:, : CROP_SAMPLES // 10] == 0)
    assert np.all(active_power(clean) > 0)


def test_another_scene_takes_over_at_another_level(make_store: Callable[..., Store]) -> None:
    speech = make_store("speech", seconds=2.0)
    settings = Augmentation(**dict(NONE.__dict__, scene_change_share=1.0, scene_gain_db=40.0))
    mixing = mixer((speech, make_store("noise", seconds=3.0)), augmentation=settings)
    noisy, clean = mixing.batch(0, 32)
    quarter = CROP_SAMPLES // 4
    for signal in (clean, noisy - clean):
        before = np.sqrt(np.mean(signal[:, :quarter] ** 2, axis=1))
        after = np.sqrt(np.mean(signal[:, -quarter:] ** 2, axis=1))
        assert np.std(20 * np.log10(after / before)) > 10
    steady = mixer((speech, make_store("noise", seconds=3.0)), augmentation=NONE).batch(0, 32)[1]
    before, after = steady[:, :quarter], steady[:, -quarter:]
    assert np.std(20 * np.log10(after.std(axis=1) / before.std(axis=1))) < 6


def test_narrow_channels_limit_speech_and_sometimes_noise(stores: tuple[Store, Store]) -> None:
    settings = Augmentation(**dict(NONE.__dict__, band_limit_share=1.0))
    noisy, clean = mixer(stores, augmentation=settings).batch(0, 40)

    def outside(signal: np.ndarray) -> np.ndarray:
        """Share of the energy below 50 Hz and above 7.5 kHz."""
        power = np.abs(np.fft.rfft(signal)) ** 2
        hz = np.fft.rfftfreq(CROP_SAMPLES, 1 / 16_000)
        beyond = (hz < 50) | (hz > 7500)
        return np.asarray(power[:, beyond].sum(axis=1) / power.sum(axis=1))

    assert outside(clean).max() < 0.01, "white noise would have 7 %"
    limited = outside(noisy - clean) < 0.01
    assert 8 < limited.sum() < 32


def test_offsets_are_on_the_noisy_side_alone(stores: tuple[Store, Store]) -> None:
    settings = Augmentation(**dict(NONE.__dict__, offset_share=0.5))
    noisy, clean = mixer(stores, augmentation=settings).batch(0, 40)
    plain = mixer(stores, augmentation=NONE).batch(0, 40)
    np.testing.assert_allclose(clean, plain[1])
    added = noisy - plain[0]
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1], added.shape), atol=1e-6)
    assert 10 < np.count_nonzero(added[:, 0]) < 30
    assert np.abs(added).max() <= 0.3


def test_a_pause_is_not_blown_up_to_speech_level(
    tmp_path: Path, make_store: Callable[..., Store]
) -> None:
    from pipeline.corpora.store import StoreWriter

    rng = np.random.default_rng(0)
    talk, hiss = 0.1 * rng.standard_normal(16_000), 1e-5 * rng.standard_normal(1_600_000)
    writer = StoreWriter(tmp_path / "pausing")
    writer.append(
        np.concatenate([talk, hiss, talk]),
        name="long",
        source="s",
        speaker="t",
        licence="none",
        kind="speech",
    )
    writer.close()
    stores = (Store(tmp_path / "pausing"), make_store("noise"))
    clean = mixer(stores, augmentation=NONE, level_dbfs=(-20.0, -20.0)).batch(0, 8)[1]
    assert np.median([active_level_dbfs(row) for row in clean]) < -60


def test_pieces_without_any_sound_are_drawn_again(
    tmp_path: Path, make_store: Callable[..., Store]
) -> None:
    from pipeline.corpora.store import StoreWriter

    # A second of sound in eight of silence: nine draws of ten fall into silence.
    samples = np.zeros(9 * 16_000)
    samples[4 * 16_000 : 5 * 16_000] = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    writer = StoreWriter(tmp_path / "sparse")
    labels = {"source": "s", "speaker": "t", "licence": "none", "kind": "ambience"}
    writer.append(samples, name="door", **labels)
    writer.close()
    stores = (make_store("speech", seconds=2.0), Store(tmp_path / "sparse"))
    noisy, clean = mixer(stores, augmentation=NONE, crop_samples=4000).batch(0, 64)
    with_noise = np.abs(noisy - clean).max(axis=1) > 0
    assert with_noise.mean() > 0.6


def test_speakers_are_never_joined_in_one_crop(make_store: Callable[..., Store]) -> None:
    speech = make_store("speech", seconds=0.5, count=8)
    by_speaker = {
        speaker: [speech.read_clip(c) for c in speech.clips if c.speaker == speaker]
        for speaker in ("talker0", "talker1")
    }
    mixing = mixer((speech, make_store("noise")), augmentation=NONE, crop_samples=32_000)
    for row in mixing.batch(0, 8)[1]:
        heard = {
            speaker
            for speaker, clips in by_speaker.items()
            for clip in clips
            if np.abs(np.correlate(row, clip[:4000], "valid")).max()
            > 0.7 * np.linalg.norm(clip[:4000]) * np.sqrt(4000 * np.mean(row**2))
        }
        assert len(heard) == 1
