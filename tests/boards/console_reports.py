"""Reports of the firmware, and a console that shows them between other lines."""

from __future__ import annotations

import json
from typing import Any

START = {
    "v": 3,
    "type": "start",
    "firmware": "2.0",
    "board": "x",
    "ticks_per_second": 32000000,
}
MODEL = {
    "v": 3, "type": "model", "engine": "npu", "package_bytes": 10, "package_crc32": 1,
    "arena_bytes": 2, "arena_capacity_bytes": 3, "weights_bytes": 4, "weights_placement": "flash",
    "load_ticks": 5,
}  # fmt: skip
SUMMARY = {
    "v": 3, "type": "summary", "hops": 2, "features_ticks": 6, "inference_ticks": 8,
    "synthesis_ticks": 4, "max_ticks": 9, "retried_hops": 0, "failed_hops": 0,
    "late_hops": 0, "npu_total_cycles": 20,
    "npu_active_cycles": 18, "axi0_read_beats": 3, "axi0_write_beats": 2, "axi1_read_beats": 1,
    "compared_bytes": 0, "mismatched_bytes": 0, "stack_used_bytes": 1, "stack_capacity_bytes": 2,
}  # fmt: skip


def end(code: int) -> dict[str, Any]:
    return {"v": 3, "type": "end", "exit_code": code}


def console(*reports: dict[str, Any]) -> str:
    lines = [json.dumps(report, separators=(",", ":")) for report in reports]
    return "\r\n".join(
        ["telnetterminal0: Listening for serial connection", *lines, "\x04 Info: bye"]
    )
