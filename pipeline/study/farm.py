"""Makes items on Ray, each once, after those it comes from."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from pipeline.artefacts import Need
from pipeline.config import Config
from pipeline.study.points import Bench
from pipeline.study.records import StudyError

# Ray's own default is a third of the memory; here only settings and file names travel.
OBJECT_STORE_BYTES = 100_000_000


def import_ray() -> Any:
    """The module.

    Raises:
        StudyError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            f"the study runs on Ray ({error}): install it with `pip install -e .[study]`"
        ) from error
    return ray


@contextlib.contextmanager
def ray_cluster(config: Config) -> Iterator[int]:
    """Connect to the cluster at RAY_ADDRESS, or start Ray on this machine; gives its CPUs.

    Raises:
        StudyError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_ray()
    local = {
        "num_cpus": config.study.cpus,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    ray.init(
        logging_level=logging.ERROR,
        log_to_driver=False,
        **({} if "RAY_ADDRESS" in os.environ else local),
    )
    try:
        yield int(ray.cluster_resources()["CPU"])
    finally:
        ray.shutdown()


class Farm:
    """Submits items to Ray, each after those it comes from; what is asked for twice is made once.

    Args:
        bench: what they are made with.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._submitted: dict[Need, Any] = {}

    def make(self, need: Need) -> Any:
        """Reference of a Ray object that is ready when the item is there."""
        if need not in self._submitted:
            self._submitted[need] = self._submit(need)
        return self._submitted[need]

    def _submit(self, need: Need) -> Any:
        import ray

        name, model = need
        if self._bench.is_finished(need):
            return ray.put(None)
        before = map(self.make, self._bench.stage(need).inputs(self._bench.config, model))
        cpus = self._bench.config.train.threads if name == "compress" else 1
        # A process an item: TensorFlow keeps the graphs and memory of every training.
        return ray.remote(num_cpus=cpus, max_calls=1)(_make).remote(self._bench, need, *before)


def next_done(pending: dict[Any, str]) -> tuple[str, str | None]:
    """Wait for one of the submitted objects and take it from the list.

    Returns:
        Its name, and why it failed or None.
    """
    import ray

    (done,), _ = ray.wait(list(pending), num_returns=1)
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        return pending.pop(done), _reason(error)
    return pending.pop(done), None


def _reason(error: Any) -> str:
    """The first failure's own words: a failed parent fails its children too."""
    while getattr(error, "cause", None) is not None:
        error = error.cause
    return f"{type(error).__name__}: {error}"


def _make(bench: Bench, need: Need, *before: None) -> None:
    """Ray waits for the objects among the arguments; they carry nothing else."""
    bench.make(need)
