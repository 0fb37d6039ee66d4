"""The firmware's report protocol: one JSON object on each line of its console.

Schema in docs/firmware-reference.md; writer in firmware/report. Whatever else a simulator prints
between the lines is ignored; a line that claims to be a report but is not one is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import InputError, PipelineError

VERSION = 3
END_OF_TRANSMISSION = "\x04"
_MAX_LINE_CHARACTERS = 4096
_PREFIX = '{"v":'

Count = Annotated[int, Field(ge=0, lt=1 << 64)]


class ProtocolError(InputError):
    """The console does not hold a sound sequence of reports; the text names the line."""


class _Report(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    v: Literal[3]


class Start(_Report):
    """First report: which firmware runs where. `ticks` are CPU clock cycles."""

    type: Literal["start"]
    firmware: str
    board: str
    ticks_per_second: Annotated[int, Field(gt=0)]


class Model(_Report):
    """The model is loaded; `load_ticks` include copying the weights when they go to SRAM."""

    type: Literal["model"]
    engine: str
    package_bytes: Count
    package_crc32: Count
    arena_bytes: Count
    arena_capacity_bytes: Count
    weights_bytes: Count
    weights_placement: Literal["flash", "sram"]
    load_ticks: Count


class Summary(_Report):
    """Sums over all hops: CPU ticks of the three parts, and the NPU's performance counters.

    `max_ticks` is the longest hop's. `retried_hops` were run again after a fault; `failed_hops` and
    `late_hops` were passed through, these since the NPU was not done by the deadline.
    """

    type: Literal["summary"]
    hops: Count
    features_ticks: Count
    inference_ticks: Count
    synthesis_ticks: Count
    max_ticks: Count
    retried_hops: Count
    failed_hops: Count
    late_hops: Count
    npu_total_cycles: Count
    npu_active_cycles: Count
    axi0_read_beats: Count
    axi0_write_beats: Count
    axi1_read_beats: Count
    compared_bytes: Count
    mismatched_bytes: Count
    stack_used_bytes: Count
    stack_capacity_bytes: Count


class Message(_Report):
    """Words of TensorFlow Lite Micro, any number of times."""

    type: Literal["message"]
    text: str


class CpuFault(_Report):
    """Registers at a processor exception that should not happen."""

    type: Literal["cpu_fault"]
    exception: Count
    pc: Count
    lr: Count
    cfsr: Count
    hfsr: Count
    bfar: Count


class Error(_Report):
    """Why the run failed; what `expected` and `actual` count depends on the error."""

    type: Literal["error"]
    code: Count
    name: str
    expected: Count
    actual: Count


class End(_Report):
    """Last report."""

    type: Literal["end"]
    exit_code: Count


Report = Start | Model | Summary | Message | CpuFault | Error | End
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="type")])

_ADVICE = {
    "usage": "the command line was not understood",
    "package_missing": "no model package lies at the model address",
    "package_version": "the package is of version {actual}, the firmware reads {expected}",
    "package_truncated": "the package is {expected} bytes long but memory ends at {actual}",
    "package_checksum": "the package is damaged: checksum {actual:#010x}, not {expected:#010x}",
    "package_malformed": "section {expected} of the package is not sound (detail {actual})",
    "package_no_engine": "the firmware was built without an engine for this form of model",
    "package_no_front_end": "the model has no front end: it can be run, but not enhance audio",
    "npu_absent": "no NPU answers",
    "npu_architecture": "compiled for NPU {expected:#010x}, running on {actual:#010x}",
    "npu_configuration": "compiled for NPU configuration {expected:#x}, running on {actual:#x}: "
    "compile for the accelerator that is there",
    "npu_reset": "the NPU did not leave reset (status {actual:#x})",
    "npu_bus_fault": "the NPU reached outside memory (status {actual:#x})",
    "npu_command": "the NPU rejected the command stream (status {actual:#x})",
    "npu_timeout": "the NPU did not finish in time (status {actual:#x})",
    "npu_weights": "the NPU could not decode the weights (status {actual:#x})",
    "arena_too_small": "the model needs {expected} bytes of SRAM, {actual} are there",
    "memory_misaligned": "memory begins {actual} bytes beyond an address on {expected} bytes",
    "file_open": "a file cannot be opened",
    "file_read": "a file ends early: {actual} of {expected} samples or bytes",
    "file_write": "a file cannot be written",
    "wav_malformed": "the input is not a sound WAV file",
    "wav_encoding": "the WAV file has format tag {actual}; 1 (PCM) or 3 (float) is needed",
    "wav_bits": "the WAV file has samples of {actual} bits; 16, 24 or 32 are needed, 32 for float",
    "wav_channels": "the WAV file has {actual} channels; mono is needed",
    "wav_rate": "the WAV file has {actual} samples a second; {expected} are needed",
    "file_same": "input and output are the same file",
    "golden_missing": "the package holds no golden hops to replay",
    "golden_mismatch": "{actual} bytes differ from the golden ones",
    "tflm_schema": "TFLite schema version {actual}, expected {expected}",
    "tflm_operator": "TFLite Micro lacks an operator of the model or memory for its tensors",
    "tflm_tensors": "tensor {actual} of the TFLite file does not fit the package",
    "tflm_invoke": "TFLite Micro failed to run the model",
    "cpu_fault": "processor exception at {actual:#010x}",
}


class FirmwareError(PipelineError, RuntimeError):
    """The firmware reported an error."""

    def __init__(self, error: Error, messages: Sequence[str] = ()) -> None:
        advice = _ADVICE.get(error.name, "unknown error")
        detail = advice.format(expected=error.expected, actual=error.actual)
        words = "".join(f"; {message.strip()}" for message in messages)
        super().__init__(f"firmware error {error.code} ({error.name}): {detail}{words}")
        self.error = error


@dataclass(frozen=True)
class FirmwareLog:
    """All reports of one run, by type; `model` and `summary` are absent after an early error."""

    start: Start
    end: End
    model: Model | None
    summary: Summary | None
    error: Error | None
    cpu_fault: CpuFault | None
    messages: tuple[str, ...] = ()

    @classmethod
    def parse(cls, console: str) -> FirmwareLog:
        """Read what the console showed, up to the end-of-transmission character.

        Raises:
            ProtocolError: a malformed report, one of another protocol version, reports missing,
                repeated or out of order.
        """
        transmission = console.split(END_OF_TRANSMISSION)[0]
        found: dict[type[_Report], list[Any]] = {}
        for report in _reports(transmission.splitlines()):
            found.setdefault(type(report), []).append(report)
        messages: list[Message] = found.pop(Message, [])
        for reports in found.values():
            if len(reports) > 1:
                raise ProtocolError(
                    f"{len(reports)} reports of type {reports[0].type!r}; expected 1"
                )
        for kind in (Start, End):
            if kind not in found:
                tail = transmission.strip()[-400:] or "nothing"
                raise ProtocolError(
                    f"no {kind.__name__.lower()!r} report; the console ended with: {tail}"
                )

        def only(kind: type[_Report]) -> Any:
            return found.get(kind, [None])[0]

        log = cls(
            only(Start), only(End), only(Model), only(Summary), only(Error), only(CpuFault),
            tuple(message.text for message in messages),
        )  # fmt: skip
        if (log.end.exit_code != 0) != (log.error is not None):
            raise ProtocolError(f"exit code {log.end.exit_code} does not fit error {log.error}")
        return log

    def raise_for_error(self) -> None:
        """Raise `FirmwareError` if the run failed."""
        if self.error is not None:
            raise FirmwareError(self.error, self.messages)


def _reports(lines: Iterable[str]) -> Iterable[Report]:
    for number, line in enumerate(lines, start=1):
        if not line.startswith(_PREFIX):
            continue
        if len(line) > _MAX_LINE_CHARACTERS:
            raise ProtocolError(f"line {number} has {len(line)} characters")
        try:
            fields = json.loads(line)
            if fields["v"] != VERSION:
                raise ProtocolError(
                    f"line {number} is of protocol version {fields['v']}, expected {VERSION}"
                )
            yield _REPORT.validate_python(fields)
        except (json.JSONDecodeError, ValidationError, RecursionError) as error:
            raise ProtocolError(
                f"line {number} is not a report: {line[:200]!r}: {error}"
            ) from error
