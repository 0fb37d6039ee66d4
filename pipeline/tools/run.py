"""Run: every stage in order. This is the only place that knows the order."""

from pipeline.cli import cards_as_json, parse, reported_errors
from pipeline.stages import compile as compile_stage
from pipeline.stages import (
    compress,
    convert,
    estimate,
    evaluate,
    on_target,
    prepare,
    report,
    train,
)

STAGES = (
    prepare.run,
    train.run,
    compress.run,
    compress.by_toolkit,
    convert.run,
    compile_stage.run,
    evaluate.reference,
    evaluate.run,
    estimate.run,
    on_target.run,
    report.run,
)


def main() -> None:
    """Make what is not finished and say where the report is."""
    options = parse("python -m pipeline.run", "Run every stage in order.", prints_json=True)
    config, run_dir, cards = options.config, options.run_dir, []
    with reported_errors():
        stages = [stage for stage in STAGES if stage.name not in config.skipped_stages]
        for stage in stages:
            stage.check(config)
    for stage in stages:
        for model in stage.models(config):
            with reported_errors():
                card = stage.make(config, run_dir, model, options.force)
            cards.append(card)
            if not options.as_json:
                print(f"{card.item}: {run_dir.path(card.item)} ({card.wall_s} s)", flush=True)
    if options.as_json:
        print(cards_as_json(cards))
    else:
        print(f"report: {run_dir.path('report') / 'report.html'}")


if __name__ == "__main__":
    main()
