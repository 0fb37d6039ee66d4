"""Errors of the Ethos-U55 tools; each names what was wrong, where, and what was expected."""

from __future__ import annotations


class EthosUError(Exception):
    """Base of every error of this package."""


class OptionError(EthosUError, ValueError):
    """No such accelerator, system, memory mode or strategy; or its description is wrong."""


class ModelError(EthosUError):
    """The file is not a Vela-compiled model this package can load."""


class CpuOperatorError(ModelError):
    """The compiled model still holds operators that run on the CPU."""


class GoldenError(EthosUError):
    """The reference kernels refuse the uncompiled model, or their runtime ended."""


class StimulusError(EthosUError):
    """Inputs or fed back tensors that do not fit the model."""


class StreamError(EthosUError):
    """A command of the stream is unknown, malformed, or asks for something the NPU cannot do."""

    def __init__(self, message: str, command_index: int, command: str) -> None:
        super().__init__(f"command {command_index} ({command}): {message}")
        self.command_index = command_index
        self.command = command


class WeightDecoderError(StreamError):
    """The weight stream of a command does not decode to what its operation consumes."""


class AddressError(StreamError):
    """A command touches bytes outside its memory region."""

    def __init__(
        self, region: str, start: int, end: int, size: int, command_index: int, command: str
    ) -> None:
        super().__init__(
            f"bytes [{start:#x}, {end:#x}) lie outside {region} of {size:#x} bytes",
            command_index,
            command,
        )
        self.address = start
