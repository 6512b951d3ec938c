"""Work in several processes: order, a worker that dies, and clusters that do not suit."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import windhover_sim
from tests.support.fixtures import PATIENCE_S
from tests.support.processes import ROOT, start
from windhover.errors import ConfigError, DataError
from windhover_evaluation import fan_out
from windhover_evaluation.fan_out import open_executor, open_workers

distributed = pytest.importorskip("distributed")


def square(number: int) -> int:
    return number * number


def wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.02)


def die_once(folder: Path, number: int) -> int:
    """Say that it ran; the fifth ends its worker the first time, once the others are collected."""
    with (folder / "ran").open("a") as log:
        log.write(f"{number}\n")
    if number == 4 and not (folder / "died").exists():
        wait_for(folder / "collected")
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> int:
    if number >= 3:
        raise DataError(f"{number} can't be read")
    return number


def squares(*how: object) -> list[int]:
    with open_workers(*how) as workers:
        return list(workers.map(square, range(20), chunk=3))


@pytest.fixture
def scheduler():
    """A Dask scheduler without workers."""
    with distributed.LocalCluster(
        n_workers=0,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        yield cluster


def join(scheduler, cwd: Path, *path: Path) -> None:
    """Start a worker as a user does, in a process with a working directory of its own."""
    # It imports this test by the name that pytest gives it.
    more = {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
    command += ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(cwd)]
    before = len(scheduler.scheduler.workers)
    start(*command, cwd=cwd, env={**os.environ, **more}, stdout=-3, stderr=-3)
    until = time.monotonic() + 2 * PATIENCE_S
    while len(scheduler.scheduler.workers) == before:
        assert time.monotonic() < until, "the worker does not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_results_are_in_order_whatever_the_number_of_workers(scheduler, tmp_path):
    join(scheduler, tmp_path)
    expected = [number * number for number in range(20)]
    assert squares(1) == squares(2) == squares(1, scheduler.scheduler_address) == expected
    assert not list(tmp_path.glob(".windhover*"))


def test_what_is_one_task_and_one_worker_need_no_other_process():
    told = []
    with open_workers(4) as workers:
        assert set(workers.map(_process, range(8), chunk=8)) == {os.getpid()}
    with open_workers(1) as workers:
        found = workers.map(_process, range(3), progress=lambda *done: told.append(done))
        assert set(found) == {os.getpid()}
    assert told == [(1, 3), (2, 3), (3, 3)]


def _process(_: int) -> int:
    return os.getpid()


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_task_again_and_nothing_else(tmp_path, capfd):
    found = []
    with open_workers(2) as workers:
        for number in workers.map(partial(die_once, tmp_path), range(12)):
            found.append(number)
            if number == 3:
                (tmp_path / "collected").touch()
    assert found == list(range(12))
    assert (tmp_path / "died").exists()
    ran = Counter((tmp_path / "ran").read_text().split())
    assert ran == {str(number): 1 + (number == 4) for number in range(12)}
    # Dask's own words on it stay away.
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_is_submitted_is_done_though_a_worker_dies(tmp_path):
    (tmp_path / "collected").touch()
    with open_executor(1) as executor:
        futures = [executor.submit(die_once, tmp_path, number) for number in range(6)]
        assert [future.result(120) for future in futures] == list(range(6))
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_a_task_that_ends_every_worker_is_one_line():
    with open_workers(2) as workers, pytest.raises(DataError, match="4 workers died at the same"):
        list(workers.map(die, range(2)))


def collect(count: int, found: list[int]) -> None:
    with open_workers(count) as workers:
        for number in workers.map(refuse, range(8)):
            found.append(number)  # noqa: PERF402 (it ends early)


@pytest.mark.slow
def test_an_error_of_a_task_comes_in_its_turn():
    for count in (1, 2):
        found: list[int] = []
        with pytest.raises(DataError, match="3 can't be read"):
            collect(count, found)
        assert found == [0, 1, 2]


def test_without_dask_one_worker_works_and_several_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with open_workers(1) as workers:
        assert list(workers.map(square, [3])) == [9]
    with pytest.raises(ConfigError, match="pip install distributed"), open_workers(2) as workers:
        list(workers.map(square, range(4)))
    with pytest.raises(ConfigError, match="pip install distributed"):
        squares(1, "tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.5:8786", "is not such as tcp://"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers"),
        ("nothing://here", "no Dask scheduler answers"),
    ],
)
def test_an_address_without_a_scheduler_is_refused(address, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason), open_workers(1, address, out=tmp_path / "out"):
        pytest.fail("there is a cluster")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_cluster_whose_workers_are_gone_is_not_waited_for(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(fan_out, "_ALONE_S", 3.0)
    join(scheduler, tmp_path)
    address = scheduler.scheduler_address
    with (
        pytest.raises(DataError, match="no worker of the cluster is left"),
        open_workers(1, address) as workers,
    ):
        list(workers.map(die, range(2)))


def test_a_cluster_without_workers_is_refused(scheduler, tmp_path):
    address = scheduler.scheduler_address
    with pytest.raises(ConfigError, match="has no workers"), open_workers(1, address):
        pytest.fail("there are workers")


@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(scheduler, tmp_path):
    package = tmp_path / "path" / "windhover_sim"
    shutil.copytree(Path(windhover_sim.__file__).parent, package)
    (package / "__init__.py").open("a").write("# a later version\n")
    join(scheduler, tmp_path, tmp_path / "path")
    address = scheduler.scheduler_address
    with (
        pytest.raises(ConfigError, match=r"worker at tcp://.* another version of windhover_sim"),
        open_workers(1, address, out=tmp_path / "out"),
    ):
        pytest.fail("it is taken")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_files_is_refused(scheduler, tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours / "set", theirs, ours / "out", theirs / "out"):
        folder.mkdir(parents=True)
    (ours / "set" / "a.png").touch()
    monkeypatch.chdir(ours)
    join(scheduler, theirs)
    # Of each process its own folder: what a path is where nothing is mounted.
    here, address = Path("/proc/self/cwd"), scheduler.scheduler_address

    def refused(**what):
        with pytest.raises(ConfigError) as caught, open_workers(1, address, **what):
            pytest.fail("it is taken")
        return str(caught.value)

    assert "does not see /proc/self/cwd/set;" in refused(inputs=[here / "set"])
    (theirs / "set").mkdir()
    assert "sees another /proc/self/cwd/set;" in refused(inputs=[here / "set"])
    assert "does not see /proc/self/cwd/out/.windhover-shared;" in refused(out=here / "out")
    assert not list((ours / "out").iterdir())
    (theirs / "set" / "a.png").touch()
    with open_workers(1, address, inputs=[here / "set"], out=tmp_path) as workers:
        assert list(workers.map(square, [2, 3])) == [4, 9]
        # One that comes later is looked at before its first task.
        nowhere = tmp_path / "nowhere"
        nowhere.mkdir()
        join(scheduler, nowhere)
        with pytest.raises(ConfigError, match="does not see /proc/self/cwd/set"):
            list(workers.map(slowly, range(20)))


def slowly(number: int) -> int:
    time.sleep(0.1)
    return number
