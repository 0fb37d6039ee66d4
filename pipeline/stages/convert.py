"""Convert: one-hop integer TFLite models, each with proof that it is what was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.corpora.testset import Mixture
from pipeline.deployed import Card, Deployed, FrontEndRecord
from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.lowering.unit_order import narrow_windows
from pipeline.networks.trained import Trained
from pipeline.progress import Reporter
from pipeline.stages.compress import weights_path
from pipeline.stages.prepare import prepared_corpus

PROOF_FRAMES = 2_000


@stage("convert", needs=("prepare", "compress"), sections=("data", "mixing", "model", "compress"))
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Write one-hop integer TFLite models, each with proof that it is what was trained."""
    mixtures = list(prepared_corpus(run_dir).mixtures("valid"))
    results = {}
    with Reporter() as report:
        for done, variant in enumerate(config.compress.variants, start=1):
            trained = Trained.load(weights_path(run_dir, variant.name))
            path = work_dir / f"{variant.name}.tflite"
            results[variant.name] = write_model(trained, path, mixtures)
            report("convert", done, len(config.compress.variants))
    return results


def write_model(trained: Trained, path: Path, mixtures: Sequence[Mixture]) -> dict[str, Any]:
    """Write a network as a deployed model: one hop in integers, proven.

    Args:
        trained: a compressed network.
        path: the file to write; its stem is the model's name.
        mixtures: real audio to compare on.

    Returns:
        Size, share of zeros and the proof.
    """
    from pipeline.lowering.proof import prove

    trained = narrow_windows(trained)
    model = to_tflite(trained, path.stem)
    proof = prove(trained, model, mixtures, PROOF_FRAMES)
    front_end = FrontEndRecord.of(trained.front_end)
    Deployed.write(path, model, Card(producer="lowering", front_end=front_end, proof=proof))
    return {
        "tflite_bytes": len(model),
        "scheme": trained.scheme.name,
        "zero_weights": _zero_share(trained),
    } | proof.model_dump()


def model_path(run_dir: RunDir, name: str) -> Path:
    """Where a variant's TFLite model lies."""
    return run_dir.path("convert") / f"{name}.tflite"


def _zero_share(trained: Trained) -> float:
    """Share of zeros among the stored int8 weights (rounding adds some to the pruned ones)."""
    names = trained.graph.matrices()
    stored = np.concatenate([integer_matrix(trained, name).weights.ravel() for name in names])
    return float(np.mean(stored == 0))


if __name__ == "__main__":
    stage_main(run)
