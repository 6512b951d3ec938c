"""Real processes, forked by a real forker."""

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from tests.support.fixtures import wait_for
from windhover.errors import WindhoverError
from windhover_bringup.runtime.forker import Forker, forked_status, reap_others

# A module of the standard library with a main(), which runs what its arguments name.
RUNNER = "timeit"


@pytest.fixture(scope="module")
def forker():
    with Forker([RUNNER]) as made:
        yield made


def run(forker, code, name="sleeper"):
    return forker.start(RUNNER, ["-n", "1", "-r", "1", "-s", code], name)


def ended(pid):
    found = []
    wait_for(lambda: found or found.extend(s for s in [forked_status(pid)] if s is not None), "end")
    return found[0]


def test_a_process_is_a_child_of_ours_with_the_name_and_arguments_that_it_was_given(forker):
    pid = run(forker, "import time; time.sleep(60)")
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}" in status
    wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleeper\n", "its name")
    assert os.getsid(pid) == pid
    assert forked_status(pid) is None
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL


@pytest.mark.parametrize("status", [0, 2])
def test_its_exit_status_is_seen(forker, status):
    assert ended(run(forker, f"import os; os._exit({status})")) == status


def test_a_forker_that_is_killed_takes_no_process_along_and_is_started_anew(forker):
    before = run(forker, "import time; time.sleep(60)")
    dead = forker.pid
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: (forker.keep_up(), forker.pid != dead)[1], "a new forker")
    after = run(forker, "import time; time.sleep(60)")
    for pid in (before, after):
        assert forked_status(pid) is None
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL


def test_one_that_is_killed_unseen_is_started_anew_with_the_next_process(forker):
    os.kill(forker.pid, signal.SIGKILL)
    assert ended(run(forker, "import os; os._exit(0)")) == 0


def test_what_its_children_leave_behind_is_taken_leave_of(forker):
    code = "import os, time; os.fork() or time.sleep(0.2) or os._exit(0); os._exit(0)"
    pid = run(forker, code)
    assert ended(pid) == 0
    wait_for(lambda: (reap_others([forker.pid]), not orphans())[1], "no zombie")


def orphans():
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for pid in children]
    return [stat for stat in stats if stat.split()[0] == "Z"]


def test_a_module_that_is_not_there_is_an_error():
    told = pytest.raises(WindhoverError, match="detector could not be started")
    with Forker(["windhover_bringup.nowhere"]) as broken, told:
        broken.start("windhover_bringup.nowhere", [], "detector")
