"""A running chain opens nothing to the network but DDS."""

import os
import re
import shutil
import sys

import pytest

from tests.support.processes import ROOT, finished, start

pytestmark = pytest.mark.ros


def test_the_demo_speaks_dds_and_nothing_else(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log, home = tmp_path / "trace", tmp_path / "home"
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    child = start(
        strace, "-f", "--seccomp-bpf", "-qq", "-e", "trace=network,openat", "-o", log,
        sys.executable, "-m", "windhover_bringup",
        "demo", "--frames", 10, "--out", tmp_path / "out",
        cwd=ROOT, env=kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
    )  # fmt: skip
    _, err = finished(child)
    if child.returncode and "ptrace" in err:
        pytest.skip(f"strace may not trace here: {err.splitlines()[0]}")
    assert child.returncode == 0, err
    trace = log.read_text(errors="replace").splitlines()
    sent = [line for line in trace if re.search(r"\b(connect|send\w*)\(.*AF_INET", line)]
    assert sent, "the chain is found by DDS"
    assert [line for line in sent if '"RTPS' not in line] == []
    # Whoever looks up a name reads these first.
    assert not [line for line in trace if "/etc/resolv.conf" in line or "/etc/hosts" in line]
    names = {path.name for path in home.rglob("*")}
    assert not {name for name in names if "onnxruntime" in name}
