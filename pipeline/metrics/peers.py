"""Score public enhancers on fixed mixtures: the figures a new model has to beat.

    python -m pipeline.metrics.peers --corpus DIR --mixtures LIST.json --cache DIR --output OUT.json

scores them on a list of mixtures rebuilt from the test split of a prepared corpus, between the
mixture itself and an ideal ratio mask, the bound of any mask on the same bands. Deployed models are
scored beside them by ``--model FILE ...``, and some peers or none by ``--peers NAME ...``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.dsp import ideal_ratio_mask
from pipeline.metrics.dnsmos import Dnsmos
from pipeline.metrics.peer_models import (
    DeepFilterNet3,
    Dtln,
    Gtcrn,
    LoadablePeer,
    Peer,
    Rnnoise,
    Signal,
    UlUnas,
)
from pipeline.metrics.quality import (
    ClipPair,
    ClipScores,
    Statistic,
    Summary,
    scores_as_json,
    scoring,
    summarise,
    summary_as_json,
)
from pipeline.reporting.table import Table, markdown

NOISY = "noisy"
IDEAL_RATIO_MASK = "ideal ratio mask"
BANDS = 128
COLUMNS = ("si_sdr_db", "si_sdri_db", "sdr_db", "sdri_db", "pesq_wb", "stoi", "dnsmos_overall")


class Mixture(Protocol):
    """One test mixture; `clean` and `noisy` are aligned float32 `[samples]` at 16 kHz."""

    @property
    def name(self) -> str:
        """Unique in its list."""

    @property
    def snr_db(self) -> float:
        """Speech to noise, for grouping."""

    @property
    def clean(self) -> Signal:
        """The reference."""

    @property
    def noisy(self) -> Signal:
        """What an enhancer gets."""


Enhancer = Callable[[Mixture], Signal]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PeerResult:
    """The scores of one enhancer on every mixture, in order, and their summary."""

    name: str
    rows: list[ClipScores]
    summary: Summary


PEERS: Mapping[str, type[LoadablePeer]] = {
    "RNNoise": Rnnoise,
    "GTCRN": Gtcrn,
    "DTLN": Dtln,
    "UL-UNAS": UlUnas,
    "DeepFilterNet3": DeepFilterNet3,
}


def load_peers(cache_dir: Path, names: Iterable[str] = PEERS.keys()) -> dict[str, Peer]:
    """Load peers by name, downloading what `cache_dir` does not hold yet.

    Raises:
        PinnedError: if a wheel cannot be fetched or is not the pinned one.
        InputError: if onnxruntime (extra `peers`) is not installed.
    """
    return {name: PEERS[name].load(cache_dir) for name in names}


def enhancers(peers: Mapping[str, Peer], bands: int) -> dict[str, Enhancer]:
    """What to score: the mixture itself, the peers, the ideal ratio mask on `bands` mel bands."""

    def of(peer: Peer) -> Enhancer:
        return lambda mixture: peer.enhance(mixture.noisy)

    table: dict[str, Enhancer] = {NOISY: lambda mixture: mixture.noisy}
    table |= {name: of(peer) for name, peer in peers.items()}
    table[IDEAL_RATIO_MASK] = lambda mixture: ideal_ratio_mask(mixture.noisy, mixture.clean, bands)
    return table


def compare(
    table: Mapping[str, Enhancer],
    mixtures: Sequence[Mixture],
    workers: int = 1,
    progress: Progress | None = None,
    dnsmos_cache: Path | None = None,
) -> Iterator[PeerResult]:
    """Yield each enhancer's result in the table's order; improvements are against the mixtures.

    `progress` gets (enhancer, mixtures scored, mixtures in all). With `dnsmos_cache`, the folder
    its network lies in or is downloaded to, DNSMOS is among the scores.

    Raises:
        ValueError: as `quality.score`, naming enhancer and clip, or if there is no mixture.
    """

    def scored(name: str, enhance: Enhancer) -> Iterator[ClipScores]:
        pairs = (ClipPair(f"{name}: {m.name}", m.snr_db, m.clean, enhance(m)) for m in mixtures)
        rows = score_all(pairs)
        for done, (mixture, row) in enumerate(zip(mixtures, rows, strict=True), start=1):
            if progress:
                progress(name, done, len(mixtures))
            yield ClipScores(mixture.name, mixture.snr_db, row.scores)

    if dnsmos_cache is not None:
        Dnsmos.load(dnsmos_cache)  # fetched before several processes want it at once
    with scoring(workers, dnsmos_cache) as score_all:
        noisy = list(scored(NOISY, lambda mixture: mixture.noisy))
        for name, enhance in table.items():
            rows = noisy if name == NOISY else list(scored(name, enhance))
            yield PeerResult(name, rows, summarise(rows, noisy))


def as_json(results: Iterable[PeerResult]) -> dict[str, Any]:
    """Summary and scores of every clip for each enhancer, as JSON data."""
    return {
        result.name: summary_as_json(result.summary)
        | {"clips": {row.clip: scores_as_json(row.scores) for row in result.rows}}
        for result in results
    }


def as_tables(results: Sequence[PeerResult]) -> list[Table]:
    """All metrics, mean and standard error: over all mixtures, then at each SNR."""
    summaries = {result.name: result.summary for result in results}
    parts = {"overall": {name: summary.overall for name, summary in summaries.items()}}
    for snr_db in results[0].summary.per_snr_db:
        parts[f"{snr_db:g} dB"] = {n: s.per_snr_db[snr_db] for n, s in summaries.items()}
    columns = [name for name in COLUMNS if name in results[0].summary.overall]
    return [
        Table.of(
            "",
            (title, *columns),
            [(name, *(_cell(found[column]) for column in columns)) for name, found in part.items()],
        )
        for title, part in parts.items()
    ]


def _cell(value: Statistic) -> str:
    missing = f" ({value.valid} of {value.total})" if value.valid < value.total else ""
    return f"{value.mean:.3f} ± {value.standard_error:.3f}{missing}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's description."""
    from pipeline.artefacts import write_json
    from pipeline.cli import at_least, command_parser, new_file, reported_errors
    from pipeline.corpora.prepared import open_split
    from pipeline.corpora.testset import load_mixtures
    from pipeline.enhancers import deployed_enhancer
    from pipeline.errors import InputError
    from pipeline.progress import Reporter

    parser = command_parser("pipeline.metrics.peers", __doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="prepared corpus")
    parser.add_argument("--split", default="test", help="split the mixtures are made from")
    parser.add_argument("--mixtures", type=Path, required=True, help="mixture list, JSON")
    parser.add_argument("--cache", type=Path, required=True, help="where downloaded wheels lie")
    parser.add_argument("--output", type=new_file, required=True, help="results, JSON")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--model", type=Path, nargs="+", default=[], help="TFLite files with cards")
    parser.add_argument("--dnsmos", action="store_true", help="score DNSMOS P.835 as well")
    parser.add_argument("--bands", type=int, default=BANDS, help="of the ideal ratio mask")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count(), help="scoring processes"
    )
    options = parser.parse_args(arguments)

    with reported_errors():
        models = {path.stem: deployed_enhancer(path) for path in options.model}
        if len(models) < len(options.model):
            raise InputError(
                "--model: two files have one name, which names their scores; rename one"
            )
        stores = open_split(options.corpus, options.split)
        mixtures = list(load_mixtures(options.mixtures, *stores))
        table = enhancers(load_peers(options.cache, options.peers), options.bands) | models
        dnsmos_cache = options.cache if options.dnsmos else None
        with Reporter() as report:
            results = list(compare(table, mixtures, options.workers, report, dnsmos_cache))
        write_json(options.output, as_json(results))
    print(markdown(as_tables(results)), end="")


if __name__ == "__main__":
    main()
