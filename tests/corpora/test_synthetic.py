"""Synthetic voices: texts, phonemes, the cache that is filled piece by piece, the clips."""

# ruff: noqa: RUF001  (phonemes look like other letters)

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.audio import RATE_HZ, active_level_dbfs, load_mono
from pipeline.corpora.packages import package_table
from pipeline.corpora.synthetic import clips as synthetic
from pipeline.corpora.synthetic.phonemes import phonemes
from pipeline.corpora.synthetic.render import (
    INDEX_NAME,
    SpeechCacheError,
    minutes_of,
    read_index,
    render,
)
from pipeline.corpora.synthetic.sentences import draw_text

VOICES = ("af_one", "ff_two", "zm_three")
LANGUAGES = ("en", "es", "pt", "hi", "ja", "zh")


class Hummer:
    """Says every text as a hum of its own length: what is tested is the cache, not the voice."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.said: list[tuple[str, str, str, float]] = []
        self._fail_after = fail_after

    def speak(self, text: str, voice: str, locale: str, *, speed: float) -> np.ndarray:
        if len(self.said) == self._fail_after:
            raise KeyboardInterrupt
        self.said.append((text, voice, locale, speed))
        time_s = np.arange(round(len(text) / 15 / speed * RATE_HZ)) / RATE_HZ
        return 2 * np.sin(2 * np.pi * 120 * time_s).astype(np.float32)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_varied_filled_and_repeatable(language: str) -> None:
    texts = [draw_text(language, np.random.default_rng(n)) for n in range(40)]
    assert len(set(texts)) == 40
    assert all(85 <= len(text) < 400 and not set(text) & set("{}") for text in texts)
    assert texts[3] == draw_text(language, np.random.default_rng(3))


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng")
def test_phonemes_are_known_ones_and_follow_the_language() -> None:
    known = "ˈˌ .,abdefhijklmnopstuvwzæðŋɑɔəɛɡɪɹʃʊʌʒθʤʧAIOQWYɜɚɾT↗→↓↘ʨʂɕχʰɯɲ"
    assert phonemes("Change the judge now.", "en-us", known) == "ʧˈAnʤ ðə ʤˈʌʤ nˈW."
    assert "O" in phonemes("go", "en-us", known)
    assert "Q" in phonemes("go", "en-gb", known)
    mandarin = phonemes("ni3 hao3, xie4 xie5", "zh", known)
    assert set(mandarin) & set("↗→↓↘")
    texts = {
        "hi": "नमस्ते",
        "ja": "こんにちは",
        "es": "año nuevo",
        "pt": "amanhã",
    }
    for language, text in texts.items():
        spoken = phonemes(text, language, known)
        assert len(spoken) > 4 and set(spoken) <= set(known)


def test_the_cache_is_filled_in_balance_and_says_what_is_in_it(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    done = render(
        Hummer(), VOICES, tmp_path, minutes=0.5, progress=lambda *part: progress.append(part)
    )
    spoken = [minutes_of(done, voice) for voice in VOICES]
    assert min(spoken) >= 0.5
    assert max(spoken) - min(spoken) < 0.4
    assert {u.voice: u.locale for u in done} == {
        "af_one": "en-us",
        "ff_two": "pt",  # French is heard in tests alone
        "zm_three": "zh",
    }
    assert progress[-1][1] == 2
    levels = []
    for utterance in done:
        samples = load_mono(tmp_path / utterance.file)
        assert samples.size / RATE_HZ == pytest.approx(utterance.duration_s, abs=1e-3)
        assert np.abs(samples).max() <= 0.901
        levels.append(active_level_dbfs(samples))
    assert -33 < min(levels) < -26 < -20 < max(levels) < -3
    assert len({u.speed for u in done}) == len(done)
    assert read_index(tmp_path) == done


def test_a_rendering_that_was_killed_goes_on_with_the_same_words(tmp_path: Path) -> None:
    whole = Hummer()
    render(whole, VOICES, tmp_path / "whole", minutes=0.5)
    with pytest.raises(KeyboardInterrupt):
        render(Hummer(fail_after=4), VOICES, tmp_path / "cut", minutes=0.5)
    assert len(read_index(tmp_path / "cut")) == 4
    rest = Hummer()
    render(rest, VOICES, tmp_path / "cut", minutes=0.5)
    assert rest.said == whole.said[4:]
    texts = [(tmp_path / name / INDEX_NAME).read_text() for name in ("whole", "cut")]
    assert texts[0] == texts[1]
    again = Hummer()
    render(again, VOICES, tmp_path / "cut", minutes=0.4)
    assert again.said == []


@pytest.mark.parametrize(
    "damage",
    [
        b"not json",
        b'{"format": 2, "utterances": []}',
        b'{"format": 1, "utterances": [{"file": "../../etc/passwd"}]}',
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / INDEX_NAME).write_bytes(damage)
    with pytest.raises(SpeechCacheError, match=r"index\.json: is damaged"):
        read_index(tmp_path)


def test_a_path_out_of_the_cache_is_refused(tmp_path: Path) -> None:
    (done, *_) = render(Hummer(), ("af_one",), tmp_path, minutes=0.01)
    for file in ("../0001.flac", "/etc/0001.flac", "af_one/../0001.flac", "af_one/0001.wav"):
        index = {"format": 1, "utterances": [done.model_dump() | {"file": file}]}
        (tmp_path / INDEX_NAME).write_text(json.dumps(index))
        with pytest.raises(SpeechCacheError):
            read_index(tmp_path)


def test_cached_speech_becomes_clips_to_train_with(tmp_path: Path) -> None:
    table = package_table()["kokoro"]
    assert len(table["voices"]) == 54
    assert set(table["babble_voices"]) < set(table["voices"])
    render(Hummer(), table["voices"], tmp_path / synthetic.FOLDER, minutes=0.2)
    # Nothing is fetched or rendered: the cache holds enough.
    clips = synthetic.synthetic_clips(tmp_path, minutes=0.2)
    assert {clip.split for clip in clips} == {"train"}
    assert len({clip.speaker for clip in clips}) == 54
    assert len({clip.name for clip in clips}) == len(clips)
    roles = Counter((clip.role, clip.kind) for clip in clips)
    assert set(roles) == {("speech", "speech"), ("noise", "voice")}
    assert all(clip.path.is_file() and clip.weight == table["weight"] for clip in clips)
