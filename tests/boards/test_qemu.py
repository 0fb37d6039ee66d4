"""How the end of a simulator is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.boards.board import BoardError
from pipeline.boards.qemu import run


def script(text: str) -> list[str]:
    return ["sh", "-c", text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo lost power >&2; kill -SEGV $$", r"signal 11 \(Segmentation fault\).*lost power"),
        ("echo no such machine >&2; exit 1", "exit code 1 before .* no such machine"),
        ("echo half a report", "exit code 0 before .* half a report"),
        ("exit 3", "exit code 3 before .* nothing"),
    ],
)
def test_the_death_of_qemu_is_named_with_its_last_words(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(BoardError, match=words):
        run(script(text), tmp_path, None)


def test_a_console_that_was_closed_is_returned(tmp_path: Path) -> None:
    assert run(script(r"printf 'report\n\004'; exit 5"), tmp_path, None) == "report\n\x04"
