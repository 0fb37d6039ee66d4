"""Sweep: every variant of a configuration as a point of the study, on Ray.

``python -m pipeline.sweep --config configs/study.toml`` makes what is missing, on this machine or,
with RAY_ADDRESS set and the run directory on a shared disk, on a cluster. What is finished is never
made again, and a killed sweep continues where it was.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.artefacts import RunDir
from pipeline.cli import parse, reported_errors
from pipeline.config import DENSE, Config
from pipeline.models import Model, with_repetitions
from pipeline.progress import Reporter
from pipeline.stages import evaluate, prepare, train
from pipeline.study.farm import Farm, import_ray, next_done, ray_cluster
from pipeline.study.points import Bench, adopt_model
from pipeline.study.records import Point, Split, StudyError, points_in
from pipeline.study.summary import flash_bytes, flash_cost, sram_cost

DESCRIPTION = f"""{__doc__}
--adopt DIR takes over models of the same names from the `compress` folder of another run;
--finished leaves out the models that would have to be trained;
--export DIR copies the finished points to DIR, for `python -m pipeline.report --study DIR`;
--search N lets Optuna try N combinations, scored on validation mixtures, instead of the variants.
"""


def sweep(bench: Bench, models: Sequence[Model]) -> None:
    """Make every point that is not finished.

    Raises:
        StudyError: some could not be made; the others are.
    """
    needs = {DENSE: bench.reference_need, **{model.name: bench.need(model) for model in models}}
    missing = {name: need for name, need in needs.items() if not bench.is_finished(need)}
    if not missing:
        return
    failed = {}
    with ray_cluster(bench.config), Reporter() as report:
        farm = Farm(bench)
        pending = {farm.make(need): name for name, need in missing.items()}
        total = len(needs)
        report("points", total - len(pending), total)
        while pending:
            name, problem = next_done(pending)
            if problem is not None:
                failed[name] = problem
            elif name != DENSE:
                report.note(_line(bench.point(name)))
            report("points", total - len(pending) - len(failed), total)
    if failed:
        reasons = "\n".join(f"  {name}: {problem}" for name, problem in failed.items())
        raise StudyError(f"{len(failed)} of {total} points could not be made:\n{reasons}")


def export(bench: Bench, models: Iterable[Model], folder: Path) -> None:
    """Write the reference and the finished points to where they are kept for good."""
    bench.reference().save(points_in(folder) / f"{DENSE}.json")
    for model in models:
        if bench.is_finished(bench.need(model)):
            bench.point(model.name).save(points_in(folder) / f"{model.name}.json")


def open_bench(config: Config, run_dir: RunDir, split: Split) -> Bench:
    """Prepare and train if need be."""
    import_ray()
    for stage in (train.run, evaluate.reference):
        stage.check(config)
    prepare.run(config, run_dir)
    train.run(config, run_dir)
    return Bench(config, RunDir(run_dir.root.resolve()), split)


def _line(point: Point) -> str:
    return (
        f"{point.name}: SI-SDR {point.change.si_sdr_db.mean:+.2f} dB against dense, "
        f"{flash_bytes(point):,} bytes, {flash_cost(point).total_cycles:,} cycles from flash, "
        f"{sram_cost(point).total_cycles:,} from SRAM"
    )


def main() -> None:
    """Command line."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--adopt", type=Path)
    own.add_argument("--export", type=Path)
    own.add_argument("--finished", action="store_true")
    own.add_argument("--search", type=int, metavar="N")
    options, sys.argv[1:] = own.parse_known_args()
    given = parse("python -m pipeline.sweep", DESCRIPTION)
    config, run_dir = given.config, given.run_dir
    with reported_errors():
        if options.search:
            from pipeline.study.search import search

            bench = open_bench(config, run_dir, "valid")
            for point in search(bench, options.search):
                print(_line(point))
            print(f"search: {bench.run_dir.root}")
            return
        bench = open_bench(config, run_dir, "test")
        models = with_repetitions(config)
        if options.adopt:
            names = [model.name for model in models if adopt_model(bench, model, options.adopt)]
            print(f"adopted: {', '.join(names) or 'none'}")
        if options.finished:
            models = tuple(m for m in models if bench.is_finished(("compress", m)))
        sweep(bench, models)
        print(f"sweep: {bench.run_dir.path('point')}")
        if options.export:
            export(bench, models, options.export)
            print(f"exported: {points_in(options.export)}")


if __name__ == "__main__":
    main()
