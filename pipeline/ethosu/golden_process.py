"""Reference kernels in a process of their own, so that their abort is an error and not our end.

Some models abort both runtimes: int8 SOFTMAX over 512 or more equal inputs fails an assertion in
TFLite and in TFLite Micro alike, and damaged files crash them. Messages are NumPy archives without
pickles behind their length in 8 bytes, over the child's standard input and output; tensors go by
their position, since names may hold what an archive cannot.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from .errors import GoldenError
from .golden import GOLDENS, Arrays
from .uncompiled import read_uncompiled

_RUNTIMES = {"tflite": "TFLite", "tflm": "TFLite Micro"}
_LENGTH_BYTES = 8
_NAMES, _ERROR, _RESET, _INVOKE = "names", "error", "reset", "invoke"
_CHATTER = ("I0000", "W0000", "INFO:", "WARNING:", "To enable")


class GoldenProcess:
    """`Golden` that runs `kind` (a key of `GOLDENS`) on an uncompiled `.tflite` in a child process.

    Use it in a `with` statement; it ends the child.

    Raises:
        ModelError: the file is not an uncompiled TFLite model.
        GoldenError: the runtime refuses the model, aborts or crashes; its last words are given.
    """

    def __init__(self, kind: str, path: Path) -> None:
        read_uncompiled(path)
        self._name = f"{_RUNTIMES[kind]}'s reference kernels"
        self._path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        self._child = subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as golden; golden.serve()", kind, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        try:
            names = json.loads(str(self._receive()[_NAMES]))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.inputs, self.outputs = (tuple(names[side]) for side in ("inputs", "outputs"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Golden.invoke`."""
        message = {str(place): inputs[name] for place, name in enumerate(self.inputs)}
        answer = self._ask(message | {_INVOKE: np.array(True)})
        return {name: answer[str(place)] for place, name in enumerate(self.outputs)}

    def reset(self) -> None:
        """See `Golden.reset`."""
        self._ask({_RESET: np.array(True)})

    def _ask(self, message: Mapping[str, NDArray[Any]]) -> Arrays:
        assert self._child.stdin is not None
        try:
            _send(self._child.stdin, message)
        except BrokenPipeError:
            raise self._death() from None
        return self._receive()

    def _receive(self) -> Arrays:
        assert self._child.stdout is not None
        message = _receive(self._child.stdout)
        if message is None:
            raise self._death()
        if _ERROR in message:
            words = f"{message[_ERROR]}{self._last_words()}"
            raise GoldenError(f"{self._path}: {self._name} refuse it: {words}")
        return message

    def _death(self) -> GoldenError:
        code = self._child.wait()
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return GoldenError(
            f"{self._path}: {self._name} ended ({how}){self._last_words()}; that says nothing "
            "about the compiled model: give other inputs, or the other --golden-interpreter"
        )

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        told = [line.strip() for line in lines if line.strip() and not line.startswith(_CHATTER)]
        return f": {told[-1]}" if told else ""


def _send(stream: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> Arrays | None:
    """The next message, None at the end of the stream."""
    header = stream.read(_LENGTH_BYTES)
    content = stream.read(int.from_bytes(header, "little"))
    if len(header) < _LENGTH_BYTES or len(content) < int.from_bytes(header, "little"):
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def serve() -> None:
    """The child: runs what it is sent until its input ends; kind and path are its arguments."""
    kind, path = sys.argv[1], Path(sys.argv[2])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Runtimes print; nothing of that may get between the messages.
    try:
        golden = GOLDENS[kind](path.read_bytes())
        names = json.dumps({"inputs": golden.inputs, "outputs": golden.outputs})
        _send(answers, {_NAMES: np.array(names)})
        while (request := _receive(requests)) is not None:
            outputs: Arrays = {}
            if _RESET in request:
                golden.reset()
            else:
                inputs = {name: request[str(place)] for place, name in enumerate(golden.inputs)}
                outputs = golden.invoke(inputs)
            _send(answers, {str(i): outputs[name] for i, name in enumerate(outputs)})
    except (ValueError, RuntimeError) as error:
        _send(answers, {_ERROR: np.array(" ".join(str(error).split()))})
