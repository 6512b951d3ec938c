"""The systemd unit is one that systemd takes, and asks for what the code gives."""

import shutil
import subprocess
from pathlib import Path

import pytest

from windhover.errors import RestartRequiredError, WindhoverError
from windhover.inference.soc import FASTRPC_NODES

UNIT = Path(__file__).resolve().parents[1] / "config" / "systemd" / "windhover.service"


def values(key):
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]
    return [line.partition("=")[2] for line in lines]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_it():
    done = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "windhover.service" not in done.stderr


def test_it_restarts_what_a_new_start_may_mend_and_nothing_else():
    assert values("Restart") == ["always"]
    assert values("RestartPreventExitStatus") == [str(WindhoverError.exit_status)]
    assert RestartRequiredError.exit_status != WindhoverError.exit_status


def test_it_may_open_what_the_dsp_is_reached_by():
    allowed = {value.split()[0].removeprefix("/dev/") for value in values("DeviceAllow")}
    assert set(FASTRPC_NODES) & allowed


def test_the_watchdog_is_longer_than_a_step_of_recovery():
    assert values("Type") == ["notify"]
    assert float(values("WatchdogSec")[0]) >= 5.0
