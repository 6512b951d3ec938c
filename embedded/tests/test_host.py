"""What set-up says of a machine that lacks something, and what tidy takes away."""

import importlib.util
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded import host
from embedded.host import SetupError, check_host
from embedded.tidy import abandoned

ROOT = Path(__file__).resolve().parents[2]


def test_this_machine_will_do():
    check_host()


def test_an_old_python_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(host, "OLDEST_PYTHON", (9, 0))
    with pytest.raises(SetupError, match=r"is Python 3\.\d+.*make PYTHON=") as error:
        check_host()
    assert "\n" not in str(error.value)


def test_a_python_without_venv_is_refused_with_the_remedy(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "venv" else found(name)
    )
    with pytest.raises(SetupError, match=r"venv module is missing.*python3-venv"):
        check_host()


def test_tidy_passes_the_exit_status_on_and_removes_what_was_left():
    left = Path("/dev/shm") / f"lttng-ust-wait-test-{os.getpid()}"
    code = (
        "import pathlib, sys, tempfile; print(tempfile.mkdtemp());"
        f"pathlib.Path({str(left)!r}).touch(); sys.exit(7)"
    )
    command = [sys.executable, "-m", "embedded.tidy", sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 7
    folder = Path(result.stdout.strip())
    assert folder.is_relative_to(ROOT / ".cache")
    assert not folder.exists()
    assert not left.exists()


def test_tidy_removes_what_a_killed_process_left_of_fast_dds_and_nothing_earlier():
    name = f"fastrtps_test_{os.getpid()}"
    earlier = Path("/dev/shm") / f"{name}_earlier"
    earlier.touch()
    code = (
        f"import os, pathlib; pathlib.Path('/dev/shm/{name}').write_bytes(bytes(4096));"
        f"pathlib.Path('/dev/shm/{name}_el').touch(); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-m", "embedded.tidy", sys.executable, "-c", code]
    try:
        subprocess.run(command, cwd=ROOT, check=False)
        assert {path.name for path in Path("/dev/shm").glob(f"{name}*")} == {earlier.name}
    finally:
        earlier.unlink()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the kernel is not Linux")
def test_tidy_ends_what_was_left_running_and_does_not_wait_for_it():
    """Also one that is deaf to SIGTERM, and one whose parent has ended."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(flush=True); time.sleep(600)"
    )
    code = (
        "import subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, '-c', {deaf!r}], stdout=subprocess.PIPE);"
        "child.stdout.readline(); print(child.pid, flush=True);"
        "subprocess.run(['sh', '-c', 'sleep 600 & echo $!'])"
    )
    command = [sys.executable, "-m", "embedded.tidy", sys.executable, "-c", code]
    # Returns once nobody has its output open any more.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    pids = done.stdout.split()
    assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert all(f"ending process {pid}, left running: " in done.stderr for pid in pids)


def test_a_segment_that_a_process_uses_is_not_abandoned():
    used = Path("/dev/shm") / f"fastrtps_test_{os.getpid()}_used"
    used.write_bytes(bytes(4096))
    lock = used.with_name(used.name + "_el")
    try:
        with used.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
            assert abandoned({used, lock}) == set()
        assert abandoned({used, lock}) == {used, lock}
    finally:
        used.unlink()
