"""The training doctor: what is missing is named with what to do, and only what matters fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

from windhover.finding import Finding
from windhover_training import doctor
from windhover_training.cli import main

pytestmark = pytest.mark.train_env


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {each.name: each for each in findings}


def test_this_environment_can_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--workspace", str(tmp_path / "none/yet"), "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    for name in (*doctor.NEEDED, "onnx", "onnxruntime", "cpu"):
        assert found[name]["ok"] is True, found[name]
    assert "nms" in found["torchvision"]["detail"]
    assert "GiB free" in found["disk"]["detail"]
    # What is there is what is pinned, so nothing is advised about it.
    assert found["torch"]["advice"] == found["ultralytics"]["advice"] == ""


def test_torchvision_and_aimet_can_be_imported_after_compat() -> None:
    code = "import windhover_training.compat, torchvision, aimet_torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_full_disk_stops_training_and_a_missing_tool_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")(100, 99, 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["doctor", "--workspace", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "disk: free 5 GiB" in said
    assert "install Debian's adb" in said
    found = by_name(doctor.examine(tmp_path))
    assert found["adb"].ok is None
    assert found["disk"].ok is False
    assert not doctor.can_train(list(found.values()))
    del found["disk"]
    assert doctor.can_train(list(found.values()))


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.importlib.metadata.version

    def version(name: str) -> str:
        if name in ("ultralytics", "aimet-torch"):
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "onnx" else real(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    found = by_name(doctor.examine(Path()))
    assert (found["ultralytics"].ok, found["aimet-torch"].ok) == (False, None)
    assert "make train-env" in found["ultralytics"].advice
    assert "train qat" in found["aimet-torch"].advice
    assert doctor.pins()["onnx"] in found["onnx"].advice
    assert not doctor.can_train(list(found.values()))


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def _gpu() -> Finding:
        raise OSError("driver gone")

    monkeypatch.setattr(doctor, "_gpu", _gpu)
    found = by_name(doctor.examine(Path()))
    assert found["gpu"].detail == "OSError: driver gone"
    assert doctor.can_train(list(found.values()))
