"""Profiling over adb and ssh, with tools on the path that act on this machine.

Every figure here is synthetic: see the fixtures.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.quantised_bundle import build_quantised_bundle, write_manifest
from windhover.errors import ConfigError, DataError
from windhover.model import Bundle
from windhover_training.cli import main
from windhover_training.device.net_run import read_viewer
from windhover_training.device.profile import read_bench
from windhover_training.device.transport import open_device
from windhover_training.phases.checklist import Evidence, checklist

FIXTURES = Path(__file__).parent / "fixtures"
VIEWER = (FIXTURES / "synthetic_profile_viewer.txt").read_text()
BENCH = (FIXTURES / "synthetic_bench.json").read_text()

ADB = """#!/bin/sh
[ "$1" = -s ] && { [ "$2" = S1 ] || { echo "error: device '$2' not found" >&2; exit 1; }; shift 2; }
case "$1" in shell) sh -c "$2" ;; push|pull) cp "$2" "$3" ;; esac
"""
SSH = """#!/bin/sh
for last; do :; done
case "$*" in *nobody@*) echo "Permission denied (publickey)." >&2; exit 255 ;; esac
sh -c "$last"
"""
SCP = """#!/bin/sh
for last; do before="$one"; one="$last"; done
cp "${before#*@board:}" "${one#*@board:}"
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    bundle = build_quantised_bundle(tmp_path / "tiny")
    (bundle.root / "qcs8550.bin").write_bytes(b"context" * 9)
    return write_manifest(bundle.root)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of the path with adb, ssh and scp."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("adb", ADB), ("ssh", SSH), ("scp", SCP)):
        add(folder, name, text)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def give_windhover(folder: Path, bundle: Bundle) -> None:
    (folder / "synthetic.json").write_text(BENCH.replace("DIGEST", bundle.digest))
    script = f'#!/bin/sh\nfor last; do :; done\ncp {folder}/synthetic.json "$last"\n'
    add(folder, "windhover", script)


@pytest.mark.parametrize("address", ["adb:S1", "adb:", "ssh:root@board"])
def test_windhover_on_the_device_is_run_and_read(
    tools: Path, bundle: Bundle, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    give_windhover(tools, bundle)
    out = tmp_path / "profile.json"
    remote = tmp_path / "on device"
    arguments = ["--model", str(bundle.root), "--device", address, "--remote", str(remote)]
    assert main(["profile", *arguments, "--out", str(out)]) == 0
    assert "dlc          2.50          2.40          4.00" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert [row["backend"] for row in found["backends"]] == ["cpu", "dlc", "qnn"]
    assert found["bundle"]["digest"] == bundle.digest
    assert not remote.exists()
    # This machine is no QCS8550, and the checklist says so whatever was measured.
    items = {item.name: item for item in checklist(Evidence(bundle, {}, profile=found))}
    assert items["Profiled on real QCS8550 hardware"].status == "fail"
    assert items["Latency < 30ms confirmed"].figure.startswith("p99 4.0 ms")
    assert main(["profile", *arguments, "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err


def test_qnns_tools_are_taken_where_windhover_is_not(
    tools: Path, bundle: Bundle, tmp_path: Path
) -> None:
    listed = "grep -q images:=.*image.raw inputs.txt && mkdir results"
    log = "results/qnn-profiling-data_0.log"
    add(tools, "qnn-net-run", f"#!/bin/sh\n{listed} && touch {log}\n")
    add(tools, "qnn-profile-viewer", f"#!/bin/sh\ncat {FIXTURES}/synthetic_profile_viewer.txt\n")
    out = tmp_path / "profile.json"
    arguments = ["--model", str(bundle.root), "--device", "adb:S1", "--remote", str(tmp_path / "d")]
    assert main(["profile", *arguments, "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["backends"]
    assert row["latency"]["average_ms"] == 2.5
    assert "p99_ms" not in row["latency"]
    items = checklist(Evidence(bundle, {}, profile=json.loads(out.read_text())))
    assert next(i for i in items if "Latency" in i.name).status == "not measured"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("adb:S2", "device 'S2' not found"),
        ("ssh:nobody@board", "Permission denied"),
        ("usb:1", "give adb:SERIAL or ssh:USER@HOST"),
        ("ssh:", "give adb:SERIAL or ssh:USER@HOST"),
        ("ssh:-oProxyCommand=x", "give adb:SERIAL or ssh:USER@HOST"),
        ("adb:S1", "has neither windhover nor qnn-net-run"),
    ],
)
def test_no_device_is_one_line_and_exit_2(
    tools: Path, bundle: Bundle, tmp_path: Path, address: str, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "profile.json"
    arguments = ["--model", str(bundle.root), "--device", address, "--out", str(out)]
    assert main(["profile", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert not out.exists()


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for address, tool in (("adb:", "adb"), ("ssh:root@board", "ssh")):
        with pytest.raises(ConfigError, match=f"{tool} is not installed here; apt-get install"):
            open_device(address)


def test_a_run_that_fails_there_is_told_and_tidied(
    tools: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tools, "windhover", "#!/bin/sh\nexit 3\n")
    remote = tmp_path / "d"
    arguments = ["--model", str(bundle.root), "--device", "adb:S1", "--remote", str(remote)]
    assert main(["profile", *arguments, "--out", str(tmp_path / "p.json")]) == 2
    assert "exit 3" in capsys.readouterr().err
    assert not remote.exists()


def test_the_viewers_output_gives_what_it_tells() -> None:
    found = read_viewer(VIEWER)
    assert found == {
        "average_ms": 2.5, "throughput_hz": 400.0, "min_ms": 2.0, "max_ms": 4.0, "htp_ms": 1.6,
    }  # fmt: skip
    with pytest.raises(DataError, match="gave no average"):
        read_viewer(VIEWER.replace("Execute Stats (Average)", "Something"))
    with pytest.raises(DataError, match="gave no average"):
        read_viewer("")


def test_a_benchs_figures_are_not_taken_on_trust(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="the device measured DIGEST"):
        read_bench(BENCH, bundle)
    with pytest.raises(DataError, match="can't be read"):
        read_bench("{", bundle)
    own = json.loads(BENCH.replace("DIGEST", bundle.digest))
    emulated = {**own, "backends": [{"backend": "dlc", "note": "emulator, not a latency"}]}
    with pytest.raises(DataError, match="nothing was measured on the device: emulator, not a"):
        read_bench(json.dumps(emulated), bundle)
