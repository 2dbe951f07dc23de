"""Many tasks at once: in this process, on local processes, or on a Dask cluster by address.

What comes back does not depend on where a task ran, nor on the number, the order or the loss of
workers: a task carries all it needs, its seed too, and is run again where its worker died. Results
are kept in a folder the moment they arrive, so that a killed run takes up where it was.
"""

import logging
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowcast._kept import code_version, read_result, result_path, write_result
from flowcast._terminal import Progress, say
from flowcast.errors import FlowcastError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["TasksError", "run_many"]

ALLOWED_LOSSES: Final = 3
"""Workers that one task may lose here before it is taken for the reason."""
CONNECT_SECONDS: Final = 15
SHARE_OF_MEMORY: Final = 0.9
"""What all local workers together may use of the memory of this machine."""
LOOK_EVERY: Final = 5.0
"""Seconds after which workers that joined a cluster are seen at the latest."""
SETTINGS: Final = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.large-graph-warning-threshold": "1TB",  # tasks carry their data
    "distributed.deploy.lost-worker-timeout": "30s",  # to restart one on a busy machine
}


class TasksError(FlowcastError):
    """Tasks were refused; `failures` has the message of each by its key."""

    def __init__(self, failures: Mapping[str, str], n_tasks: int, exit_code: int = 1) -> None:
        self.failures = dict(failures)
        self.exit_code = exit_code
        keys_of: dict[str, list[str]] = {}
        for key, text in failures.items():
            keys_of.setdefault(text.replace("\n", "\n  "), []).append(key)
        lines = [f"  ({', '.join(keys)}) | {text}" for text, keys in keys_of.items()]
        super().__init__("\n".join([f"{len(failures)} of {n_tasks} tasks failed", *lines]))


@dataclass(frozen=True, slots=True)
class _Done:
    """What a task came to: a result, or the message of an error that was raised on purpose."""

    result: Any = None
    refused: str | None = None
    exit_code: int = 1


type _Function = Callable[[Any], Any]
type _Runner = Callable[[_Function, Mapping[str, Any]], Iterator[tuple[str, _Done]]]


def run_many[Task, Result](
    function: Callable[[Task], Result],
    tasks: Mapping[str, Task],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    folder: Path | None = None,
    progress: bool = False,
    what: str = "tasks",
) -> dict[str, Result]:
    """Run a function on every task, and return the results by key.

    Parameters
    ----------
    function
        Takes one task. It must depend on nothing but the task: data, settings and seed are in it.
    tasks
        By key; messages and progress name them so. Tasks and results must be picklable.
    scheduler
        Address of a Dask scheduler, such as ``tcp://10.0.0.5:8786``, whose workers have the same
        flowcast. By default processes of this machine, which listen on loopback only.
    workers
        Processes on this machine, each with one thread for linear algebra; by default as many as
        there are cores or tasks. 0 or 1 runs the tasks one after the other in this process. Not
        together with `scheduler`.
    folder
        Where each result is kept as soon as it is there, by a hash of function, task and code; what
        is there already is not computed again. Results are pickled: give a folder of your own.
    progress
        Whether to say on stderr how far it is, and how long it will take.
    what
        What progress calls the tasks.

    Returns
    -------
    dict
        In the order of the tasks.

    Raises
    ------
    TasksError
        If tasks were refused (raised a `FlowcastError`) or lost one worker after the other. All of
        them are told at once, when the others are done and kept.
    UsageError
        If the cluster does not answer, or the arguments do not go together.
    FlowcastError
        If the cluster is lost on the way.

    Examples
    --------
    >>> run_many(len, {"a": [1, 2], "b": []}, workers=0)
    {'a': 2, 'b': 0}
    """
    _check_arguments(scheduler, workers)
    paths = {}
    if folder is not None:
        paths = {key: result_path(folder, key, function, task) for key, task in tasks.items()}
    kept = {key: read_result(path) for key, path in paths.items()}
    done = {key: _Done(*one) for key, one in kept.items() if one is not None}
    missing = {key: task for key, task in tasks.items() if key not in done}
    track = Progress(shown=progress)
    track.start(what, len(tasks), len(done))
    if done:
        track.say(f"{what}: {len(done)} of {len(tasks)} were there already")
    with _open_runner(scheduler, workers, len(missing), progress=progress) as run:
        for key, one in run(function, missing):
            if one.refused is None and key in paths:
                write_result(paths[key], one.result)
            done[key] = one
            track.update(len(done))
    track.stop()
    refused = {key: done[key] for key in tasks if done[key].refused is not None}
    if refused:
        told = {key: str(one.refused) for key, one in refused.items()}
        raise TasksError(told, len(tasks), max(one.exit_code for one in refused.values()))
    return {key: done[key].result for key in tasks}


def _check_arguments(scheduler: str | None, workers: int | None) -> None:
    if scheduler is not None and workers is not None:
        raise UsageError(
            f"(workers) | found {workers} beside the scheduler {scheduler}; allowed: one of the "
            "two, since a cluster has workers of its own"
        )
    if workers is not None and workers < 0:
        raise UsageError(f"(workers) | found {workers}; allowed: 0 or more")


def _perform(function: _Function, task: object, expected: str) -> _Done:
    """Run one task, wherever that is; errors raised on purpose come back as messages.

    So no scheduler tries them again, and those that do not survive pickling arrive whole.
    """
    from threadpoolctl import threadpool_limits

    if code_version() != expected:
        return _Done(
            refused="found another version of flowcast, of Python or of a library on a worker; "
            "allowed: the same as here, or results would depend on who computed them",
            exit_code=UsageError.exit_code,
        )
    try:
        with threadpool_limits(1):  # everywhere: the number of threads changes the order of sums
            return _Done(function(task))
    except FlowcastError as error:
        return _Done(refused=str(error), exit_code=error.exit_code)


@contextmanager
def _open_runner(
    scheduler: str | None, workers: int | None, n_tasks: int, *, progress: bool
) -> Iterator[_Runner]:
    """Give a function that runs tasks and yields what they came to, in any order."""
    n_workers = _count_workers(workers, n_tasks) if scheduler is None else 0
    if n_tasks == 0 or (scheduler is None and n_workers <= 1):
        yield _run_here
        return
    opened = _local_client(n_workers, progress) if scheduler is None else _remote_client(scheduler)
    with opened as client:
        yield lambda function, tasks: _run_on(client, function, tasks)


def _count_workers(workers: int | None, n_tasks: int) -> int:
    if n_tasks <= 1:
        return n_tasks
    if workers is None:
        from dask.system import CPU_COUNT  # counts the cores that this process may use

        return min(CPU_COUNT, n_tasks)
    return min(workers, n_tasks)


def _run_here(function: _Function, tasks: Mapping[str, Any]) -> Iterator[tuple[str, _Done]]:
    for key, task in tasks.items():
        try:
            done = _perform(function, task, code_version())
        except Exception as error:
            error.add_note(f"in the task {key!r}")
            raise
        yield key, done


def _run_on(
    client: "Client", function: _Function, tasks: Mapping[str, Any]
) -> Iterator[tuple[str, _Done]]:
    """Give the cluster as many tasks at a time as it can run, and yield them as they end.

    What waits here is not blamed for the death of a worker, and takes no memory of the scheduler.
    """
    run = secrets.token_hex(4)  # two runs on one cluster do not share what one of them cancels
    waiting = list(tasks)
    running: dict[Future[_Done], str] = {}
    try:
        while waiting or running:
            with _cluster_needed():
                for key in waiting[: _count_idle(client, len(running))]:
                    task = (_perform, function, tasks[key], code_version())
                    running[client.submit(*task, key=f"{key}-{run}")] = key
                    waiting.remove(key)
                ended = _wait_for_any(client, list(running))
            for future in ended:
                done = _collect(future, running[future])
                if done is not None:
                    yield running.pop(future), done
                    future.release()
    finally:
        if running and client.status == "running":
            client.cancel(list(running), force=True)


def _count_idle(client: "Client", n_running: int) -> int:
    """Return how many more tasks the cluster can run; one waits even if it has no worker."""
    if client.cluster is not None:  # of this machine: start again what was given up
        client.cluster.scale(len(client.cluster.worker_spec))
    n_threads: int = sum(client.nthreads().values())
    return max(n_threads - n_running, 0 if n_running else 1)


def _wait_for_any(client: "Client", running: list["Future[_Done]"]) -> list["Future[_Done]"]:
    """Return what has ended, or nothing after a while, since workers may have joined meanwhile."""
    from distributed import wait

    with client.as_current(), suppress(TimeoutError):
        return list(wait(running, timeout=LOOK_EVERY, return_when="FIRST_COMPLETED").done)
    return []


@contextmanager
def _cluster_needed() -> Iterator[None]:
    try:
        yield
    except (CancelledError, OSError):
        raise FlowcastError(
            "(scheduler) | found that the cluster was lost; allowed: one that stays up. Results "
            "that had arrived are kept, where there is a folder for them"
        ) from None


def _collect(future: "Future[_Done]", key: str) -> _Done | None:
    """Return what a finished task came to; what befell its workers becomes a message.

    None: the worker that had the result died before it was fetched, and the task runs again.
    """
    from distributed import KilledWorker

    if future.status == "error":
        error = future.exception()
        if isinstance(error, KilledWorker):
            return _Done(
                refused=f"found that {error.allowed_failures + 1} workers died while running it; "
                "allowed: tasks that leave a worker alive (fewer workers have more memory each)"
            )
        error.add_note(f"in the task {key!r}")
        raise error
    with _cluster_needed(), suppress(TimeoutError):
        done: _Done = future.result(timeout=LOOK_EVERY)
        return done
    return None


@contextmanager
def _local_client(n_workers: int, progress: bool) -> Iterator["Client"]:
    """Start processes of this machine, and end them whatever happens."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    memory = int(SHARE_OF_MEMORY * MEMORY_LIMIT / n_workers)
    if progress:
        say(f"{n_workers} processes on this machine, with {memory / 2**30:.1f} GiB at most each")
    with (
        tempfile.TemporaryDirectory(prefix="flowcast-") as scratch,
        dask.config.set(SETTINGS),
        _script_left_alone(),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=memory,
            silence_logs=logging.CRITICAL,
            local_directory=scratch,
            # The scheduler always has a status page: on any free port of loopback.
            scheduler_kwargs={
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "allowed_failures": ALLOWED_LOSSES,
            },
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _script_left_alone() -> Iterator[None]:
    """Keep new processes from running the user's script again, as multiprocessing would.

    Functions of a script travel by value, so that no worker has to import it; and one without
    ``if __name__ == "__main__":`` does not start a cluster of its own in every worker.
    """
    main = vars(sys.modules["__main__"])
    kept = {str(name): main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main |= kept


@contextmanager
def _remote_client(scheduler: str) -> Iterator["Client"]:
    """Connect to a cluster, which is left running."""
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    with dask.config.set(SETTINGS), silence_logging_cmgr(logging.CRITICAL):
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"(scheduler) | found no answer at {scheduler} ({error}); allowed: the address of "
                "a Dask scheduler, such as tcp://10.0.0.5:8786"
            ) from None
        with client:
            if not client.scheduler_info()["workers"]:
                say(f"The scheduler at {scheduler} has no workers yet: waiting for one")
            yield client
