"""Fuzzes every parser and the executor with damaged streams, files and weights.

    python tests/ethosu/fuzz_emulator.py --cases 100000

Whatever goes in must end in a result or in an error of this package, and bytes outside the memory
handed to the emulator must stay untouched. Prints how the cases ended.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from ethosu import mlw_codec
from ethosu_graphs import generate
from ethosu_reference import vela_compile
from fake_machine import BusFault, FakeMachine

from pipeline.ethosu import Emulator, EthosUError, execute_stream, load_vela_model
from pipeline.ethosu.weight_codec import WeightStreamError, decode_stream

Rng = np.random.Generator
_SEEDS = (
    ("conv_int8", 0, 128), ("conv_int16", 1, 256), ("depthwise_int8", 2, 32),
    ("fully_connected_int8", 1, 64), ("softmax_int8", 0, 128), ("tanh_int8", 0, 128),
    ("add_int8", 2, 128), ("average_pool_int8", 1, 128), ("concatenation_int16", 0, 128),
    ("resize_bilinear_int8", 1, 128), ("transpose_conv_int8", 0, 128), ("chain_int8", 1, 128),
)  # fmt: skip

_READ_ONLY, _SCRATCH = 0x1000_0000, 0x2000_0000


def seeds() -> list[bytes]:
    """Compiled models that damage starts from."""
    return [vela_compile(generate(family, seed), macs) for family, seed, macs in _SEEDS]


def _damage(rng: Rng, data: bytes, edits: int) -> bytes:
    damaged = bytearray(data)
    if not damaged:
        return data
    for _ in range(edits):
        at = int(rng.integers(len(damaged)))
        kind = rng.integers(4)
        if kind == 0:
            damaged[at] = int(rng.integers(256))
        elif kind == 1:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            damaged[at : at + 4] = (
                rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]).astype("<u4").tobytes()
            )
        else:
            other = int(rng.integers(len(damaged)))
            damaged[at : at + 4] = damaged[other : other + 4]
    if rng.random() < 0.1:
        del damaged[int(rng.integers(len(damaged))) :]
    return bytes(damaged)


def fuzz_file(rng: Rng, model: bytes) -> None:
    """A damaged `.tflite`, loaded and run."""
    loaded = load_vela_model(_damage(rng, model, int(rng.integers(1, 6))))
    _run(Emulator(loaded))


def fuzz_stream(rng: Rng, model: bytes) -> None:
    """Damaged commands in an intact file, run on guarded memory as a board would."""
    loaded = load_vela_model(model)
    words = np.array(loaded.command_words, "<u4")
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(words)))
        words[at] = (
            rng.integers(1 << 32, dtype=np.uint64)
            if rng.random() < 0.3
            else words[at] ^ np.uint32(1 << int(rng.integers(32)))
        )
    areas = {_READ_ONLY: loaded.read_only, _SCRATCH: bytes(loaded.scratch_bytes)}
    execute_stream(words.tobytes(), FakeMachine(areas), [_READ_ONLY, _SCRATCH, _SCRATCH])


def fuzz_constants(rng: Rng, model: bytes) -> None:
    """Damaged weights, scales and tables under an intact stream."""
    loaded = load_vela_model(model)
    at = model.find(loaded.read_only)
    constants = _damage(rng, loaded.read_only, 3)[: len(loaded.read_only)]
    damaged = model[:at] + constants + model[at + len(constants) :]
    _run(Emulator(load_vela_model(damaged)))


def fuzz_weights(rng: Rng, model: bytes) -> None:
    """A damaged weight stream."""
    weights = np.rint(rng.normal(0, 20, int(rng.integers(1, 500)))).astype(int)
    stream = _damage(rng, bytes(mlw_codec.encode(weights.tolist())), int(rng.integers(1, 4)))
    decode_stream(np.frombuffer(stream, np.uint8), len(weights))


def _run(emulator: Emulator) -> None:
    inputs = {s.name: np.zeros(s.shape, s.dtype) for s in emulator.model.inputs}
    emulator.invoke(inputs)
    emulator.cost()


TARGETS: tuple[Callable[[Rng, bytes], None], ...] = (
    fuzz_stream,
    fuzz_file,
    fuzz_constants,
    fuzz_weights,
)


def run_cases(cases: int, seed: int) -> Counter[str]:
    """Runs `cases` cases and counts how they ended; any other exception propagates."""
    models = seeds()
    ends: Counter[str] = Counter()
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        target = TARGETS[case % len(TARGETS)]
        try:
            target(rng, models[int(rng.integers(len(models)))])
            end = "ran"
        except (EthosUError, WeightStreamError, BusFault) as error:
            end = type(error).__name__
        except Exception as error:
            raise AssertionError(f"case {case} of seed {seed} ({target.__name__})") from error
        ends[f"{target.__name__}: {end}"] += 1
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    for end, count in sorted(run_cases(arguments.cases, arguments.seed).items()):
        print(f"{count:8d} {end}")
    print(f"{arguments.cases} cases in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
