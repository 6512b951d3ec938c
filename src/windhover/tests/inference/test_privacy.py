"""The detector opens no network and leaves no event file, which ONNX Runtime would by itself."""

import os
import re
import shutil
import subprocess
import sys

import pytest

DETECT = """
import numpy as np
from windhover.model.detector import Detector
from windhover.types import Frame
with Detector.open(r"{bundle}", "cpu", threads=1) as detector:
    for index in range(3):
        detector.detect(Frame(np.zeros((256, 320), np.uint8), "mono8", index))
"""


def environment(home):
    """Our environment with telemetry as ONNX Runtime has it, and an empty home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


@pytest.fixture
def trace(tmp_path):
    """Run Python under strace: what it asked of the network, and the files it left."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    home = tmp_path / "home"
    home.mkdir()

    def run(code: str) -> tuple[list[str], set[str]]:
        log = tmp_path / "trace"
        command = [strace, "-f", "-qq", "-e", "trace=network", "-o", log]
        done = subprocess.run(
            [*command, sys.executable, "-c", code],
            env=environment(home), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode and "ptrace" in done.stderr:
            pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
        assert done.returncode == 0, done.stderr
        lines = [re.sub(r"^\d+ +", "", line) for line in log.read_text().splitlines()]
        calls = [line for line in lines if re.match(r"\w+\(", line) and "AF_UNIX" not in line]
        files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        return calls, files

    return run


def test_a_detector_asks_nothing_of_the_network_and_keeps_no_event_file(trace, blob_bundle):
    calls, files = trace(DETECT.format(bundle=blob_bundle))
    assert calls == []
    assert not {name for name in files if "onnxruntime" in name.lower()}


def test_telemetry_is_off_before_the_library_is_loaded(tmp_path):
    code = "import os, windhover; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "1\n"
