"""Holds the emulator's outputs against reference kernels, on many inputs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .emulator import Emulator
from .errors import GoldenError
from .golden import GOLDENS, Arrays, Golden
from .golden_process import GoldenProcess
from .stimuli import edge_inputs, random_inputs

RANDOM, GIVEN = "random", "given"


@dataclass
class Tally:
    """Elements compared and how they differ, in quantized steps."""

    elements: int = 0
    mismatches: int = 0
    largest_steps: int = 0

    def add(self, actual: Arrays, expected: Arrays) -> None:
        """Count one inference."""
        for name, values in expected.items():
            steps = values.astype(np.int64) - actual[name].reshape(values.shape)
            self.elements += steps.size
            self.mismatches += int(np.count_nonzero(steps))
            self.largest_steps = max(self.largest_steps, int(np.abs(steps).max(initial=0)))

    def __str__(self) -> str:
        text = f"{self.mismatches} of {self.elements} elements differ"
        return f"{text}, by up to {self.largest_steps} steps" if self.mismatches else text


@dataclass(frozen=True)
class Stimulus:
    """One inference: where its inputs are from, and whether state starts anew before it."""

    kind: str
    inputs: Arrays
    resets: bool


@dataclass
class Verification:
    """The outcome against one reference: a tally for each kind of input, or why there is none.

    A reference that ends on some input says nothing about the model; it is no mismatch.
    """

    reference: str
    tallies: dict[str, Tally] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Random inputs were compared, and nothing differs in those or any others."""
        random = self.tallies.get(RANDOM, Tally())
        return bool(random.elements) and not any(t.mismatches for t in self.tallies.values())


def stimuli(emulator: Emulator, random: int, seed: int, given: list[Arrays]) -> list[Stimulus]:
    """Random inputs in one sequence, each edge of the types by itself, then those given."""
    rng = np.random.default_rng(seed)
    specs = emulator.model.inputs
    chosen = [Stimulus(RANDOM, random_inputs(specs, rng), n == 0) for n in range(random)]
    chosen += [Stimulus(name, inputs, True) for name, inputs in edge_inputs(specs)]
    chosen += [Stimulus(GIVEN, inputs, n == 0) for n, inputs in enumerate(given)]
    return chosen


def verify(
    emulator: Emulator,
    golden: Path,
    chosen: Iterable[Stimulus],
    progress: Callable[[], None] = lambda: None,
) -> tuple[Verification, ...]:
    """Runs every stimulus on the emulator and on each of `GOLDENS`.

    A reference that refuses the model or ends on some input is left out from there on for that
    kind of input, and says why in its `failures`.
    """
    results = {kind: Verification(kind) for kind in GOLDENS}
    with ExitStack() as stack:
        running: dict[str, Golden] = {}
        for stimulus in chosen:
            if stimulus.resets:
                emulator.reset()
            actual = emulator.invoke(stimulus.inputs)
            for kind, result in results.items():
                if stimulus.kind in result.failures or "all" in result.failures:
                    continue
                try:
                    if kind not in running:
                        running[kind] = stack.enter_context(GoldenProcess(kind, golden))
                except GoldenError as error:
                    result.failures["all"] = str(error)
                    continue
                try:
                    if stimulus.resets:
                        running[kind].reset()
                    expected = running[kind].invoke(stimulus.inputs)
                except GoldenError as error:
                    result.failures[stimulus.kind] = str(error)
                    del running[kind]
                    continue
                result.tallies.setdefault(stimulus.kind, Tally()).add(actual, expected)
            progress()
    return tuple(results.values())
