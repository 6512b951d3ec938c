"""Real processes, forked by a real fork server."""

import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from tests.support.fixtures import wait_for
from windhover.errors import WindhoverError
from windhover_bringup.runtime.fork_server import ForkServer, exit_status, reap_orphans

# A module of the standard library with a main(), which runs what its arguments name.
RUNNER = "timeit"


@pytest.fixture(scope="module")
def fork_server():
    with ForkServer([RUNNER]) as made:
        yield made


def run(fork_server, code, name="sleeper"):
    return fork_server.start(RUNNER, ["-n", "1", "-r", "1", "-s", code], name)


def ended(pid):
    found = []
    wait_for(lambda: found or found.extend(s for s in [exit_status(pid)] if s is not None), "end")
    return found[0]


def test_a_process_is_a_child_of_ours_with_the_name_and_arguments_that_it_was_given(fork_server):
    pid = run(fork_server, "import time; time.sleep(60)")
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}" in status
    wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleeper\n", "its name")
    assert os.getsid(pid) == pid
    assert exit_status(pid) is None
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL


@pytest.mark.parametrize("status", [0, 2])
def test_its_exit_status_is_seen(fork_server, status):
    assert ended(run(fork_server, f"import os; os._exit({status})")) == status


def test_a_killed_server_takes_no_process_along_and_is_restarted(fork_server):
    before = run(fork_server, "import time; time.sleep(60)")
    dead = fork_server.pid
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: (fork_server.restart_if_ended(), fork_server.pid != dead)[1], "a new one")
    after = run(fork_server, "import time; time.sleep(60)")
    for pid in (before, after):
        assert exit_status(pid) is None
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL


def test_one_that_is_killed_unseen_is_restarted_with_the_next_process(fork_server):
    os.kill(fork_server.pid, signal.SIGKILL)
    assert ended(run(fork_server, "import os; os._exit(0)")) == 0


def test_orphans_of_its_children_are_reaped(fork_server):
    code = "import os, time; os.fork() or time.sleep(0.2) or os._exit(0); os._exit(0)"
    pid = run(fork_server, code)
    assert ended(pid) == 0
    wait_for(lambda: (reap_orphans([fork_server.pid]), not orphans())[1], "no zombie")


def orphans():
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for pid in children]
    return [stat for stat in stats if stat.split()[0] == "Z"]


def test_a_module_that_is_not_there_is_an_error():
    refused = pytest.raises(WindhoverError, match="detector could not be started")
    with ForkServer(["windhover_bringup.nowhere"]) as broken, refused:
        broken.start("windhover_bringup.nowhere", [], "detector")
