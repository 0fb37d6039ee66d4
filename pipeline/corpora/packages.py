"""The table of packages that audio comes from."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any


@functools.cache
def package_table() -> dict[str, Any]:
    """What packages.toml holds: "debian", a list of packages with their rules, and "kokoro"."""
    return tomllib.loads(Path(__file__).with_name("packages.toml").read_text(encoding="utf-8"))
