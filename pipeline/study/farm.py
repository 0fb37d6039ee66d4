"""Runs the study on Ray: each model once, after its parent; each point once, after its model."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.config import Config
from pipeline.study.plan import Task
from pipeline.study.points import Bench, make_model, make_point, make_reference
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
    """Submits work to Ray; what is asked for twice is done once.

    Args:
        bench: what the work is done with.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._threads = bench.config.train.threads
        self._references: dict[str, Any] = {}

    def point(self, task: Task) -> Any:
        """Reference of a Ray object that is ready when the point is written."""
        if self._bench.has_point(task):
            return self._once("nothing", _nothing)
        before = (self.model(task), self.reference())
        return self._once(
            f"point {task.name}", lambda: _submit(_point, 1, self._bench, task, *before)
        )

    def model(self, task: Task) -> Any:
        """Likewise of the model, made after those it comes from."""
        *before, _ = task.chain
        parent = self.model(Task(task.base, task.seed, tuple(before))) if before else None
        return self._once(
            f"model {task.name}",
            lambda: _submit(_model, self._threads, self._bench, task, parent),
        )

    def reference(self) -> Any:
        """Likewise of what points are compared with."""
        if self._bench.has_reference():
            return None
        return self._once("reference", lambda: _submit(_reference, 1, self._bench))

    def _once(self, what: str, submit: Callable[[], Any]) -> Any:
        if what not in self._references:
            self._references[what] = submit()
        return self._references[what]


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


def _submit(work: Callable[..., None], cpus: int, *arguments: Any) -> Any:
    import ray

    return ray.remote(num_cpus=cpus)(work).remote(*arguments)


def _nothing() -> Any:
    import ray

    return ray.put(None)


# Ray waits for the objects among the arguments; they carry nothing else.


def _model(bench: Bench, task: Task, parent: None) -> None:
    make_model(bench, task)


def _point(bench: Bench, task: Task, model: None, reference: None) -> None:
    make_point(bench, task)


def _reference(bench: Bench) -> None:
    make_reference(bench)
