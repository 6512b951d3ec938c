"""The containers' files. They were not built here; this is what can be held without a daemon."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

from windhover.inference.soc import FASTRPC_NODES

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("Dockerfile.*"))
MANIFESTS = {path.parent.name: ET.parse(path) for path in ROOT.glob("src/*/package.xml")}
HADOLINT = Path(sys.prefix) / "bin" / "hadolint"


def instructions(file):
    """(word, rest) of every instruction, with continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", file.read_text()))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_both_containers_are_there():
    assert [file.name for file in FILES] == ["Dockerfile.dev", "Dockerfile.qcs8550"]


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint has no wheel for this machine")
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_hadolint_finds_nothing(file):
    done = subprocess.run([HADOLINT, "--no-color", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_it_runs_without_rights_and_copies_what_there_is(file):
    lines = instructions(file)
    users = [rest for word, rest in lines if word == "USER"]
    assert users
    assert users[-1].isdecimal()
    assert users[-1] != "0"
    for word, rest in lines:
        if word == "COPY" and "--from" not in rest:
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            assert all((ROOT / source).exists() for source in sources), rest
    bases = [rest for word, rest in lines if word == "ARG"]
    assert all("jazzy" in base and ":latest" not in base for base in bases)


def test_nothing_reports_its_use():
    """ONNX Runtime does unless it is told not to before it is loaded."""
    for file in (*FILES, ROOT / "config" / "systemd" / "windhover.service"):
        assert "ORT_DISABLE_TELEMETRY=1" in file.read_text(), file.name


def packages_up_to(names):
    """The packages that ``colcon build --packages-up-to`` builds for some."""
    found = set()
    while names:
        found |= names
        depends = {e.text for name in names for e in MANIFESTS[name].findall("exec_depend")}
        names = (depends & MANIFESTS.keys()) - found
    return found


def test_the_drone_is_built_without_scores_plots_and_the_renderer():
    (built,) = re.findall(r"--packages-up-to ([\w ]+)", (DOCKER / "Dockerfile.qcs8550").read_text())
    found = packages_up_to(set(built.split()))
    assert found >= {"windhover", "windhover_ros", "windhover_bringup", "windhover_models"}
    assert not found & {"windhover_evaluation", "windhover_sim"}


def test_the_drones_requirements_are_those_of_its_packages():
    text = (DOCKER / "requirements.txt").read_text()
    listed = {line.lower() for line in text.splitlines() if line and not line.startswith("#")}
    asked = set()
    for package in packages_up_to({"windhover_bringup", "windhover_models"}):
        for line in requires(package) or ():
            name = re.split(r"[<>=!~;\[ ]", line)[0].lower()
            if 'extra == "test"' not in line and name.replace("-", "_") not in MANIFESTS:
                asked.add(name)
    assert listed == asked
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").open()}
    assert listed <= pinned


def test_the_drone_has_what_libqnnsystem_links():
    """A base without a compiler has no libatomic.so.1, and the wheel brings none for ARM."""
    *_, last = (DOCKER / "Dockerfile.qcs8550").read_text().split("\nFROM ")
    assert re.search(r"(?m)^\s+libatomic1 \\$", last)


def test_the_drones_root_is_read_only_and_its_rights_are_few():
    (service,) = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    devices = {device.split(":")[0].removeprefix("/dev/") for device in service["devices"]}
    assert devices & set(FASTRPC_NODES)
    assert any(device.startswith("video") for device in devices)
    # What is written: a tmpfs, and a volume for recordings.
    assert any(entry.startswith("/tmp") for entry in service["tmpfs"])
    assert "/data" in " ".join(service["volumes"])


def test_its_health_check_is_the_command_that_tells_health():
    lines = dict(instructions(DOCKER / "Dockerfile.qcs8550"))
    assert lines["HEALTHCHECK"].endswith('["/opt/windhover/entrypoint.sh", "health"]')


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_entry_point_is_bash():
    script = DOCKER / "entrypoint.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert script.stat().st_mode & 0o111
