"""Who is heard in a recording, as the file names of known corpora tell."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath

# Of each: what of the file name (without suffix) is the speaker.
_NAMES = (
    r".*(?:^|_)(reader_\d+)(?:_|$)",  # DNS Challenge: book_00001_chp_0013_reader_06701_13_seg_0
    r"(\d+)-\d+-\d{4}(?:[_-]|$)",  # LibriSpeech, LibriMix: 1988-24833-0000
    r"([ps]\d{1,3})_\d+",  # VoiceBank, VCTK: p225_001, s5_001
    r"([FM]\d{2})_\d{3}[0-9A-Za-z]{5}_",  # CHiME-3: F01_050C0101_BUS
)
_NAME = re.compile("|".join(f"(?:{name})" for name in _NAMES))
_TIMIT_REGION = re.compile(r"dr\d", re.IGNORECASE)
_TIMIT_SPEAKER = re.compile(r"[fm][a-z]{2}[a-z0-9]\d", re.IGNORECASE)
_ANONYMOUS = re.compile(r"common_voice_[a-z-]+_\d+", re.IGNORECASE)  # the name tells a clip only


def known_speaker(path: PurePath) -> str | None:
    """The speaker of a recording whose relative path follows a known corpus, else None.

    For Common Voice, whose names tell no speaker, each file is its own.
    """
    match = _NAME.match(path.stem)
    if match:
        return next(group for group in match.groups() if group)
    if _ANONYMOUS.fullmatch(path.stem):
        return str(path)
    folders = path.parts[:-1]
    for region, speaker in pairwise(folders):
        if _TIMIT_REGION.fullmatch(region) and _TIMIT_SPEAKER.fullmatch(speaker):
            return speaker.upper()
    number, chapter = (*folders[-2:], "", "")[:2]  # LibriTTS, MLS: 19/198/19_198_000000_000002
    if path.stem.startswith(f"{number}_{chapter}_") and number.isdigit() and chapter.isdigit():
        return number
    return None
