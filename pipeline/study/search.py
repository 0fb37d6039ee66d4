"""Optuna looks for combinations: SI-SDR loss against flash bytes against cycles.

Trials are chains of variants, scored on validation mixtures, so that the test mixtures stay unseen
until a chosen combination is added to the configuration. Chains with the same beginning share its
models.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.config import DENSE, Config, Variant
from pipeline.models import Model
from pipeline.progress import Reporter
from pipeline.study.farm import Farm, next_done, ray_cluster
from pipeline.study.points import Bench
from pipeline.study.records import Point, StudyError

if TYPE_CHECKING:
    import optuna

STORAGE = "trials.db"
STUDY = "search"
# SI-SDR loss in dB, bytes in flash, total cycles with the weights there.
DIRECTIONS = ("minimize",) * 3
UNIT_SPARSITIES = (0.0, 0.25, 0.375, 0.5, 0.625, 0.75)
RANKS = (0, 32, 64, 96)
BLOCKS = ("none", "8x8", "16x8", "32x8", "8x16", "1x8")
BLOCK_SPARSITIES = (0.25, 0.5, 0.75)
WEIGHT_SPARSITIES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# Optimizer steps of each step of a chain, in `compress.steps`.
EFFORTS = (0.5, 1.0, 2.0)
POINT, REASON = "point", "reason"


class Chooser(Protocol):
    """What decides a chain: an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


def search(bench: Bench, trials: int) -> list[Point]:
    """Continue until so many trials are finished; a killed search goes on where it was.

    Args:
        bench: scores on "valid".
        trials: finished ones in all, those of earlier calls included.

    Returns:
        The points that no other trial beats in every objective.

    Raises:
        StudyError: Optuna or Ray is not installed.
    """
    study = _open_study(bench)
    with ray_cluster(bench.config) as cpus, Reporter() as report:
        farm = Farm(bench)
        while (left := trials - _finished(study)) > 0:
            report("trials", trials - left, trials)
            asked = [study.ask() for _ in range(min(cpus, left))]
            pending = {}
            for trial in asked:
                model = Model(STUDY, bench.config.seed, chain(trial, bench.config))
                trial.set_user_attr(POINT, model.name)
                pending[farm.make(bench.need(model))] = model.name
            problems = dict(next_done(pending) for _ in range(len(pending)))
            for trial in asked:
                _tell(study, trial, bench, problems[trial.user_attrs[POINT]])
        report("trials", trials, trials)
    return [bench.point(trial.user_attrs[POINT]) for trial in study.best_trials]


def chain(choose: Chooser, config: Config) -> tuple[Variant, ...]:
    """Units, low-rank pairs, blocks, weights; names say what was done, so equal chains are one."""
    units = choose.suggest_categorical("unit_sparsity", UNIT_SPARSITIES)
    in_two_steps = choose.suggest_categorical("units_in_two_steps", (False, True))
    rank = choose.suggest_categorical("rank", RANKS)
    block = choose.suggest_categorical("block", BLOCKS)
    blocks = choose.suggest_categorical("block_sparsity", BLOCK_SPARSITIES)
    weights = choose.suggest_categorical("weight_sparsity", WEIGHT_SPARSITIES)
    steps = round(config.compress.steps * choose.suggest_categorical("effort", EFFORTS))
    parts: list[tuple[str, dict[str, Any]]] = []
    if units:
        cuts = [1 - math.sqrt(1 - units)] * 2 if in_two_steps else [units]
        parts += [
            (f"u{cut:.2f}", {"do": "prune", "structure": "unit", "sparsity": cut}) for cut in cuts
        ]
    if rank:
        parts.append((f"r{rank}", {"do": "low_rank", "rank": rank}))
    if block != "none":
        shape = tuple(int(size) for size in block.split("x"))
        cut = {"do": "prune", "structure": "block", "block": shape, "sparsity": blocks}
        parts.append((f"b{block}_{blocks:.2f}", cut))
    # Weight sparsity counts the blocks that are gone; without any, a model is still trained.
    if not parts or weights > (0 if block == "none" else blocks):
        parts.append((f"w{weights:.2f}", {"do": "prune", "sparsity": weights} if weights else {}))
    variants: list[Variant] = []
    parent, name = DENSE, f"s{steps}"
    for label, settings in parts:
        name = f"{name}-{label.replace('0.', '')}"
        methods = [settings] if settings else []
        chosen = {"name": name, "parent": parent, "steps": steps, "methods": methods}
        variants.append(Variant.model_validate(chosen))
        parent = name
    return tuple(variants)


def _open_study(bench: Bench) -> "optuna.Study":
    try:
        import optuna
    except ImportError as error:
        raise StudyError(
            f"the search needs Optuna ({error}): install it with `pip install -e .[study]`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=STUDY,
        storage=f"sqlite:///{bench.run_dir.root / STORAGE}",
        directions=DIRECTIONS,
        load_if_exists=True,
    )
    # The same seed again would repeat the choices of an earlier call.
    seed = bench.config.seed + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    states = optuna.trial.TrialState
    for cut_short in study.get_trials(states=(states.RUNNING,)):
        study.tell(cut_short.number, state=states.FAIL)
        study.enqueue_trial(cut_short.params)
    return study


def _finished(study: "optuna.Study") -> int:
    """Trials with a point or with a reason why there is none."""
    return sum(trial.values is not None or REASON in trial.user_attrs for trial in study.trials)


def _tell(study: "optuna.Study", trial: "optuna.Trial", bench: Bench, problem: str | None) -> None:
    import optuna

    if problem is not None:
        trial.set_user_attr(REASON, problem)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    point = bench.point(trial.user_attrs[POINT])
    flash = point.cost("flash")
    assert flash is not None and point.change.si_sdr_db.mean is not None
    study.tell(trial, (-point.change.si_sdr_db.mean, flash.flash.total, flash.total_cycles))
