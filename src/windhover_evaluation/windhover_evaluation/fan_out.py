"""Does the same to many things in several processes, through Dask's distributed scheduler.

Processes on this machine, or a user's own cluster. Results come in the order of what was given,
so they are the same whatever the number of workers. A worker that dies costs the task that it
had, which another worker does again.

Only what uses several workers or a cluster needs the package ``distributed``. A cluster's workers
must have this code and must see the same files under the same paths; each is checked before its
first task, also one that comes later.
"""

from __future__ import annotations

import importlib.util
import logging
import signal
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import cv2

from windhover.errors import ConfigError, DataError, WindhoverError
from windhover_evaluation.worker_terms import Terms, objection_of, terms_of

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")

_PACKAGES = ("windhover", "windhover_sim", "windhover_evaluation")
_CONNECT_S = 10
_ALONE_S = 120.0  # without a worker
_LOST = "the cluster was lost; start it and this command again"
_DRAIN_S = 60.0  # for what still runs on a cluster when a run ends early
# Tasks that are given out before the oldest is done: a slow one holds up nobody, and a set of
# a million frames is not queued at once.
_AHEAD = 64


class Workers:
    """Processes to give work to; :func:`open_workers` makes them."""

    def __init__(
        self, count: int = 1, client: Client | None = None, terms: Terms | None = None
    ) -> None:
        self.stack = ExitStack()
        self._count = count
        self._client = client
        self._terms = terms
        self._run = f"windhover-{uuid.uuid4().hex[:12]}"
        self._given = 0

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        chunk: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[R]:
        """Yield ``function(item)`` of each item, in the items' order.

        Args:
            function: of a module, or a ``partial`` of one. A worker may die and the same be
                done again elsewhere, so it must be safe to repeat.
            items: what to work on; they and the results must be picklable.
            chunk: items a task. What is no more than one task is done in this process.
            progress: called with items done and items in all.

        Raises:
            ConfigError: Dask is not installed, or a worker does not suit.
            DataError: the cluster was lost, or one task has ended several workers.
        """
        parts = [items[start : start + chunk] for start in range(0, len(items), chunk)]
        if self._client is None and self._count > 1 and len(parts) > 1:
            self._client = self.stack.enter_context(_local_client(min(self._count, len(parts))))
        done = 0
        for results in self._results(function, parts):
            for result in results:
                done += 1
                yield result
                if progress is not None:
                    progress(done, len(items))

    def _results(
        self, function: Callable[[T], R], parts: Sequence[Sequence[T]]
    ) -> Iterator[Iterable[R]]:
        if self._client is None:
            yield from (map(function, part) for part in parts)
            return
        from distributed import as_completed

        client, first = self._client, self._given
        task = partial(_do, self._terms, function)
        ahead = max(_AHEAD, 4 * sum(client.nthreads().values()))
        running = as_completed(with_results=True, raise_errors=False, loop=client.loop)
        outcomes: dict[str, tuple[str, Any]] = {}
        for turn in range(len(parts)):
            while self._given - first < min(len(parts), turn + ahead):
                key = f"{self._run}-{self._given}"
                place = self._given - first
                running.add(client.submit(task, parts[place], key=key, pure=False))
                self._given += 1
            mine = f"{self._run}-{first + turn}"
            while mine not in outcomes:
                # Collected at once: what a worker still holds would be lost with it.
                _wait_for_one(running, client)
                future, outcome = next(running)
                outcomes[future.key] = (future.status, outcome)
            yield _unpacked(*outcomes.pop(mine))

    def drain(self) -> None:
        """Wait until no task of ours runs on the cluster, after a run that ended early."""
        assert self._client is not None
        until = time.monotonic() + _DRAIN_S
        while time.monotonic() < until:
            if not any(self._client.run(_running, self._run).values()):
                return
            time.sleep(0.2)


HERE: Final = Workers()
"""Works in this process."""


@contextmanager
def open_workers(
    count: int = 1,
    cluster: str | None = None,
    *,
    inputs: Sequence[Path] = (),
    out: Path | None = None,
    packages: Sequence[str] = (),
) -> Iterator[Workers]:
    """Workers for the block: this process, processes on this machine, or a cluster's.

    Args:
        count: processes on this machine, started when there is work for them; 1 works in this
            process. A cluster has its own number.
        cluster: address of a running Dask scheduler, such as ``tcp://10.0.0.5:8786``.
        inputs: files and folders that every worker must see as this process does.
        out: folder that every worker writes into; made if need be.
        packages: whose code the workers run besides the library, renderer and this package.

    Raises:
        ConfigError: Dask is not installed, nobody answers at ``cluster``, or a worker there
            has another version or does not see the files.
    """
    if cluster is None:
        workers = Workers(count)
        with workers.stack:
            yield workers
        return
    with ExitStack() as stack:
        client = stack.enter_context(_client_of(cluster))
        files = list(inputs)
        if out is not None:
            files.append(stack.enter_context(_note_in(out)))
        terms = terms_of([*_PACKAGES, *packages], files)
        _refuse_strangers(client, terms)
        workers = Workers(count, client, terms)
        try:
            yield workers
        except BaseException:
            _cancel(client, workers)
            raise


@contextmanager
def open_executor(count: int) -> Iterator[Executor]:
    """Processes on this machine for work whose end is not known when it begins.

    A worker that dies costs the task that it had, which another does again. At the block's end
    what has not begun never begins.

    Args:
        count: processes.

    Raises:
        ConfigError: Dask is not installed.
    """
    with _local_client(count) as client:
        executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


@contextmanager
def _note_in(folder: Path) -> Iterator[Path]:
    """A file by which a worker tells that it writes into the same folder."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    # Of one name, so that none is left over when a run that was killed is resumed.
    note = folder / ".windhover-shared"
    note.write_text(uuid.uuid4().hex, encoding="ascii")
    try:
        yield note
    finally:
        note.unlink(missing_ok=True)
        if made:
            with suppress(OSError):
                folder.rmdir()  # where nothing was written


def _wait_for_one(running: Any, client: Client) -> None:
    """Wait until a task is done; without any worker for a while none ever may be.

    Raises:
        DataError: the workers are gone.
    """
    asked = seen = time.monotonic()
    while not running.has_ready():
        time.sleep(0.01)
        if time.monotonic() < asked + 1.0:
            continue
        try:
            there = bool(client.nthreads())
        except (OSError, TimeoutError):
            raise DataError(_LOST) from None
        asked = time.monotonic()
        seen = asked if there else seen
        if asked > seen + _ALONE_S:  # until then some may be started anew
            raise DataError("no worker of the cluster is left; start some, and this command again")


def _cancel(client: Client, workers: Workers) -> None:
    """What was given out and has not begun never begins; what runs ends before files go."""
    from distributed import Future

    try:
        client.cancel([Future(key, client) for key in list(client.futures)], force=True)
        workers.drain()
    except (OSError, TimeoutError, RuntimeError):
        pass  # the cluster is gone, and with it what ran there


def _distributed() -> Any:
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError(
            "several workers or a cluster need Dask: pip install distributed, or use --workers 1"
        )
    import distributed

    return distributed


@contextmanager
def _local_client(count: int) -> Iterator[Client]:
    distributed = _distributed()
    import dask

    # A busy machine may take long to start a process or to answer, and one that was suspended
    # is silent for longer: here only a worker that has ended is lost.
    settings = {
        "distributed.comm.timeouts.connect": 120,
        "distributed.comm.timeouts.tcp": 3600,
        "distributed.scheduler.worker-ttl": None,
    }
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="windhover-dask-"))
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_quiet())
        with _deaf_children():
            cluster = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                host="127.0.0.1",
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                local_directory=scratch,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )
        stack.enter_context(cluster)
        yield stack.enter_context(distributed.Client(cluster))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Ctrl-C reaches a terminal's whole group; workers end by this process and say nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _client_of(address: str) -> Iterator[Client]:
    distributed = _distributed()
    if "://" not in address:
        raise ConfigError(f"--cluster {address!r} is not such as tcp://10.0.0.5:8786")
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(warnings.catch_warnings())
        # Versions are compared below.
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        try:
            client = stack.enter_context(distributed.Client(address, timeout=_CONNECT_S))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"--cluster {address}: no Dask scheduler answers ({_first_line(error)}); start "
                "one with 'dask scheduler' and workers with 'dask worker'"
            ) from None
        if not client.nthreads():
            raise ConfigError(
                f"--cluster {address} has no workers; start some with 'dask worker {address}'"
            )
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own messages stay away: what concerns the user is raised in one line."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _refuse_strangers(client: Client, terms: Terms) -> None:
    answers = client.run(objection_of, terms, on_error="return")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, Exception):
            raise ConfigError(
                f"the worker at {address} can't run our code ({_first_line(answer)}); install "
                "the same there"
            )
        if answer is not None:
            raise ConfigError(f"the worker at {address} {answer}")


def _do(terms: Terms | None, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    cv2.setNumThreads(1)  # there is a process a core
    objection = None if terms is None else objection_of(terms)
    if objection is not None:
        raise ConfigError(f"the worker at {_distributed().get_worker().address} {objection}")
    return [function(item) for item in items]


def _running(run: str, dask_worker: Any = None) -> list[str]:
    return [task.key for task in dask_worker.state.executing if str(task.key).startswith(run)]


def _unpacked(status: str, outcome: Any) -> Any:
    if status == "finished":
        return outcome
    error = outcome[1] if isinstance(outcome, tuple) else outcome
    if isinstance(error, WindhoverError):
        raise error
    if isinstance(error, _distributed().KilledWorker):
        raise DataError(
            f"{error.allowed_failures + 1} workers died at the same task; "
            "give each more memory, or use fewer"
        ) from None
    if isinstance(error, ImportError):
        raise ConfigError(f"a worker can't run our code ({_first_line(error)})") from None
    if isinstance(error, CancelledError) or status in {"cancelled", "lost"}:
        raise DataError(_LOST) from None
    raise error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
