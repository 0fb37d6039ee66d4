"""Score public enhancers on a set of mixtures: the figures a new model has to beat.

`python -m pipeline.metrics.peers --mixtures DIR --cache DIR --output peers.json` scores a folder
laid out as `clean/NAME.wav` and `noisy/NAME.wav`, with `manifest.json` naming each mixture's SNR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.metrics.peer_models import Dtln, Gtcrn, Peer, Rnnoise, Signal
from pipeline.metrics.quality import ClipPair, ClipScores, Summary, score_many, summarise

NOISY = "noisy"
IDEAL_RATIO_MASK = "ideal ratio mask"


@dataclass(frozen=True)
class Mixture:
    """One test mixture: float32 `[samples]` in [-1, 1] at 16 kHz, aligned and equally long."""

    clip: str
    snr_db: float
    clean: Signal
    noisy: Signal


Enhancer = Callable[[Mixture], Signal]
MaskOracle = Callable[[Signal, Signal], Signal]


@dataclass(frozen=True)
class PeerResult:
    """The scores of one enhancer on every mixture, in order, and their summary."""

    name: str
    rows: list[ClipScores]
    summary: Summary


def load_peers(cache_dir: Path) -> dict[str, Peer]:
    """Load RNNoise, GTCRN and DTLN, downloading what `cache_dir` does not hold yet.

    Raises:
        WheelError: if a wheel cannot be fetched or is not the pinned one.
        ImportError: if onnxruntime (extra `peers`) is not installed.
    """
    return {
        "RNNoise": Rnnoise.load(cache_dir),
        "GTCRN": Gtcrn.load(cache_dir),
        "DTLN": Dtln.load(cache_dir),
    }


def enhancers(peers: Mapping[str, Peer], mask_oracle: MaskOracle | None) -> dict[str, Enhancer]:
    """What to score: the mixture itself, the peers, and the oracle `(noisy, clean) -> enhanced`."""

    def of(peer: Peer) -> Enhancer:
        return lambda mixture: peer.enhance(mixture.noisy)

    table: dict[str, Enhancer] = {NOISY: lambda mixture: mixture.noisy}
    table |= {name: of(peer) for name, peer in peers.items()}
    if mask_oracle is not None:
        table[IDEAL_RATIO_MASK] = lambda mixture: mask_oracle(mixture.noisy, mixture.clean)
    return table


def compare(
    table: Mapping[str, Enhancer], mixtures: Sequence[Mixture], workers: int = 1
) -> Iterator[PeerResult]:
    """Yield each enhancer's result in the table's order; improvements are against the mixtures.

    Raises:
        ValueError: as `quality.score`, naming enhancer and clip, or if there is no mixture.
    """

    def scored(name: str, enhance: Enhancer) -> list[ClipScores]:
        pairs = (ClipPair(f"{name}: {m.clip}", m.snr_db, m.clean, enhance(m)) for m in mixtures)
        rows = score_many(pairs, workers)
        return [
            ClipScores(m.clip, m.snr_db, row.scores) for m, row in zip(mixtures, rows, strict=True)
        ]

    noisy = scored(NOISY, lambda mixture: mixture.noisy)
    for name, enhance in table.items():
        rows = noisy if name == NOISY else scored(name, enhance)
        yield PeerResult(name, rows, summarise(rows, noisy))
