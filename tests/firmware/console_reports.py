"""Reports of the firmware, and a console that shows them between other lines."""

from __future__ import annotations

import json
from typing import Any

START = {
    "v": 1,
    "type": "start",
    "firmware": "1.0",
    "board": "x",
    "ticks_per_second": 32000000,
}
MODEL = {
    "v": 1, "type": "model", "engine": "npu", "package_bytes": 10, "package_crc32": 1,
    "arena_bytes": 2, "arena_capacity_bytes": 3, "weights_bytes": 4, "weights_placement": "flash",
    "load_ticks": 5,
}  # fmt: skip
SUMMARY = {
    "v": 1, "type": "summary", "hops": 2, "mean_ticks": 9, "max_ticks": 9,
    "real_time_factor_ppm": 100, "compared_bytes": 0, "mismatched_bytes": 0,
    "stack_used_bytes": 1, "stack_capacity_bytes": 2,
}  # fmt: skip


def hop(index: int) -> dict[str, Any]:
    counters = dict.fromkeys(
        (
            "features_ticks", "inference_ticks", "synthesis_ticks", "npu_total_cycles",
            "npu_active_cycles", "npu_idle_cycles", "axi0_read_beats", "axi0_write_beats",
            "axi1_read_beats",
        ),
        index + 1,
    )  # fmt: skip
    return {"v": 1, "type": "hop", "index": index, **counters}


def end(code: int) -> dict[str, Any]:
    return {"v": 1, "type": "end", "exit_code": code}


def console(*reports: dict[str, Any]) -> str:
    lines = [json.dumps(report, separators=(",", ":")) for report in reports]
    return "\r\n".join(
        ["telnetterminal0: Listening for serial connection", *lines, "\x04 Info: bye"]
    )
