"""The complete generated suite: every graph compiled for all four U55 configurations.

    python tests/ethosu/run_suite.py --graphs 20

Prints one line per family and a total, against TFLite's reference kernels or, for the families of
known_differences.py, what is named there; exits with status 1 on any mismatch beyond those.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from ethosu_graphs import FAMILIES, generate
from ethosu_reference import ACCELERATOR_MACS, compare, vela_compile
from known_differences import references_of

from pipeline.ethosu import CpuOperatorError, Emulator, EthosUError, load_vela_model
from pipeline.ethosu.stimuli import random_inputs


def run_family(family: str, graphs: int) -> tuple[Counter[str], list[str]]:
    """Counts of exact, known and failed comparisons, and a line for each failure."""
    counts: Counter[str] = Counter()
    failures = []
    for seed in range(graphs):
        model = generate(family, seed)
        references = {golden(model): bound for golden, bound in references_of(family).items()}
        for macs in ACCELERATOR_MACS:
            try:
                emulator = Emulator(load_vela_model(vela_compile(model, macs)))
                inputs = random_inputs(emulator.model.inputs, np.random.default_rng(seed))
                results = [(compare(emulator, r, inputs), r, b) for r, b in references.items()]
            except CpuOperatorError:
                counts["left to the CPU by Vela"] += 1
                continue
            except EthosUError as error:
                counts["failed"] += 1
                failures.append(f"{family} seed {seed} U55-{macs}: {error}")
                continue
            for result, reference, bound in results:
                name = type(reference).__name__
                if result.mismatches == 0:
                    counts[f"exact with {name}"] += 1
                elif result.largest_difference <= bound:
                    counts[f"known difference from {name}"] += 1
                else:
                    counts["failed"] += 1
                    failures.append(f"{family} seed {seed} U55-{macs} {name}: {result}")
                counts[f"elements compared with {name}"] += result.elements
                counts[f"elements different from {name}"] += result.mismatches
    return counts, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=int, default=20, help="graphs per family")
    parser.add_argument("families", nargs="*", help="families whose name contains one of these")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    failures: list[str] = []
    for family in FAMILIES:
        if arguments.families and not any(part in family for part in arguments.families):
            continue
        with _silenced_output():
            counts, failed = run_family(family, arguments.graphs)
        print(f"{family:24s} {dict(counts)}")
        total += counts
        failures += failed
    print(f"{'total':24s} {dict(total)}")
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


@contextlib.contextmanager
def _silenced_output():  # type: ignore[no-untyped-def]
    """Vela's core writes its warnings to the process's own descriptors."""
    sys.stdout.flush()
    saved = os.dup(1), os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


if __name__ == "__main__":
    main()
