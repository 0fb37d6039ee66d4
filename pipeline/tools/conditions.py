"""Scores a model at other levels, with offsets, on a stream that goes on, and on speech alone.

python -m pipeline.conditions --model dense --corpus RUN/prepare/corpus

The mixtures are those of `evaluate`, scaled and rounded to 16 bits, so that loud ones are clipped.
Scores are against the clean speech at the same level.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.cli import at_least, command_parser, reported_errors
from pipeline.corpora.audio import active_level_dbfs
from pipeline.corpora.prepared import Corpus
from pipeline.corpora.testset import Mixture
from pipeline.metrics.peers import Enhancer, PeerResult, as_json, as_tables, compare
from pipeline.metrics.peers import Mixture as Scored
from pipeline.progress import Reporter
from pipeline.tools.enhance import ChannelEnhancer, Through, open_model

LEVELS_DBFS = (-46.0, -36.0, -26.0, -16.0, -10.0, -6.0)
OFFSETS = (0.01, 0.1, -0.3)
NOMINAL_DBFS = -26.0
_FULL_SCALE = 32768

Signal = NDArray[np.float32]


@dataclass(frozen=True)
class Condition:
    """What is done to a mixture before it is enhanced.

    Attributes:
        name: for people.
        level_dbfs: active level of the speech.
        offset: constant added to what the enhancer gets, of full scale.
        with_noise: whether the noise is there.
        one_stream: whether the mixtures come one after another, as scenes of a stream that goes on,
            and not each as the start of one.
    """

    name: str
    level_dbfs: float = NOMINAL_DBFS
    offset: float = 0.0
    with_noise: bool = True
    one_stream: bool = False

    def apply(self, mixture: Mixture) -> Mixture:
        """The mixture under this condition, what is noisy of it rounded to 16 bits."""
        gain_db = self.level_dbfs - active_level_dbfs(mixture.clean)
        gain = np.float32(10 ** (gain_db / 20))
        heard = (mixture.noisy if self.with_noise else mixture.clean) * gain
        return replace(
            mixture, clean=mixture.clean * gain, noisy=_recorded(heard + np.float32(self.offset))
        )


CONDITIONS = (
    *(Condition(f"{level:g} dBFS", level_dbfs=level) for level in LEVELS_DBFS),
    *(Condition(f"offset {offset:g}", offset=offset) for offset in OFFSETS),
    Condition("one stream", one_stream=True),
    Condition("speech alone", with_noise=False),
)


def scores(
    start_channel: Callable[[], ChannelEnhancer],
    mixtures: Sequence[Mixture],
    conditions: Iterable[Condition] = CONDITIONS,
    *,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[PeerResult]:
    """Scores under each condition; improvements are against the mixture under that condition.

    Args:
        start_channel: makes an enhancer for a stream.
        mixtures: to be changed.
        conditions: how.
        workers: processes that score.
        progress: gets the condition, mixtures done and mixtures in all.
    """

    def enhance(signal: Signal) -> Signal:
        channel = start_channel()
        return np.concatenate([channel.process(signal), channel.finish()])

    def alone(mixture: Scored) -> Signal:
        return enhance(mixture.noisy)

    for condition in conditions:
        changed = [condition.apply(mixture) for mixture in mixtures]
        enhancer = scenes(enhance, changed) if condition.one_stream else alone
        table = {condition.name: enhancer}
        yield from compare(table, changed, workers, progress)


def scenes(enhance: Callable[[Signal], Signal], mixtures: Sequence[Mixture]) -> Enhancer:
    """All mixtures enhanced as one stream, in their order; gives each one's part of it."""
    enhanced = enhance(np.concatenate([mixture.noisy for mixture in mixtures]))
    ends = np.cumsum([mixture.noisy.size for mixture in mixtures])[:-1]
    names = (mixture.name for mixture in mixtures)
    parts = dict(zip(names, np.split(enhanced, ends), strict=True))
    return lambda mixture: parts[mixture.name]


def _recorded(signal: Signal) -> Signal:
    steps = np.rint(signal * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    return np.asarray(steps / _FULL_SCALE, np.float32)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = _parse(arguments)
    with reported_errors(), tempfile.TemporaryDirectory() as scratch:
        _, start_channel = open_model(options.model, options.through, options, Path(scratch))
        mixtures = list(Corpus(options.corpus).mixtures("test"))
        with Reporter() as report:
            chosen = [c for c in CONDITIONS if c.name in options.condition]
            results = list(
                scores(start_channel, mixtures, chosen, workers=options.workers, progress=report)
            )
    if options.json:
        print(json.dumps(as_json(results), indent=1))
    else:
        print(as_tables(results)[0].markdown(), end="")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    from pipeline.boards import FIRMWARE, PLUGIN

    parser = command_parser("pipeline.conditions", __doc__)
    parser.add_argument("--model", required=True, help="as of pipeline.enhance")
    parser.add_argument("--corpus", type=Path, required=True, help="a prepared corpus")
    names = [condition.name for condition in CONDITIONS]
    parser.add_argument("--condition", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--through", choices=get_args(Through), default="tflite")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count(), help="scoring processes"
    )
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, help=argparse.SUPPRESS)
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help=argparse.SUPPRESS)
    parser.set_defaults(board="virtual")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
