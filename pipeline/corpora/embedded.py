"""The small corpus that ships with the package; its licences are in `embedded/ATTRIBUTION.md`."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.corpora.store import Clip

FOLDER = Path(__file__).parent / "embedded"
MANIFEST = "manifest.json"


def clips() -> list[Clip]:
    """Every shipped recording, in the order of the manifest."""
    manifest = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    return [
        Clip(
            path=FOLDER / entry["path"],
            name=entry["path"],
            source=entry["package"],
            speaker=entry["speaker"],
            licence=entry["licence"],
            kind=entry["kind"],
            role=entry["role"],
            split=entry["split"],
        )
        for entry in manifest["files"]
    ]
