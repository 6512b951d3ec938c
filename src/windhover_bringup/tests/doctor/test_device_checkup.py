"""What ``doctor`` says of a Qualcomm device, on made-up ones in a folder."""

import os
import platform
import stat
from pathlib import Path

import pytest

from windhover_bringup.doctor.checkup import run_checks
from windhover_bringup.doctor.device import check_nodes, check_qnn, check_skel, device_findings


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    folder = tmp_path / "qnn"
    folder.mkdir()
    for name in ("libQnnHtpV73Skel.so", "libQnnHtpV73Stub.so"):
        (folder / name).touch()
    monkeypatch.setenv("WINDHOVER_QNN", str(folder))
    return folder


@pytest.fixture
def board(tmp_path, libraries):
    """A QCS8550 where all is as it should be."""
    root = tmp_path / "root"
    for folder in ("sys/devices/soc0", "dev", "usr/lib"):
        (root / folder).mkdir(parents=True)
    (root / "sys/devices/soc0/soc_id").write_text("603\n")
    (root / "dev/fastrpc-cdsp").touch(mode=0o660)
    (root / "usr/lib/libcdsprpc.so").touch()
    return root


@pytest.fixture
def as_a_stranger(monkeypatch):
    """Judge rights as for a user who neither owns the node nor is in its group."""

    def access(path, mode):
        rights = Path(path).stat().st_mode
        return all(rights & other for bit, other in ((os.R_OK, 4), (os.W_OK, 2)) if mode & bit)

    monkeypatch.setattr("windhover_bringup.doctor.device.os.access", access)


def look(root, environ=None):
    found = device_findings(root, environ or {}, "aarch64")
    return {finding.name: finding for finding in found}


def test_a_board_where_all_is_well(board, libraries):
    found = look(board)
    assert list(found) == ["soc", "fastrpc", "libcdsprpc.so", "qnn skel"]
    assert all(finding.ok and not finding.advice for finding in found.values())
    assert found["soc"].detail == "QCS8550 (HTP v73), soc_id 603"
    assert found["fastrpc"].detail == "fastrpc-cdsp"
    assert found["qnn skel"].detail == str(libraries / "libQnnHtpV73Skel.so")


def test_other_machines_are_not_asked_for_any_of_it(board, tmp_path):
    (found,) = device_findings(board, {}, "x86_64")
    assert (found.ok, found.advice) == (None, "")
    (found,) = device_findings(tmp_path / "raspberry", {}, "aarch64")
    assert found.detail.startswith("not a Qualcomm device: no soc_id")


def test_another_chip(board):
    (board / "sys/devices/soc0/soc_id").write_text("415\n")
    found = look(board)["soc"]
    assert found.ok is False
    assert "soc_id 415 is none of QCS8550" in found.detail
    assert "backend cpu" in found.advice


def test_no_driver(board):
    (board / "dev/fastrpc-cdsp").unlink()
    found = look(board)["fastrpc"]
    assert found.ok is False
    assert "kernel with the fastrpc driver" in found.advice


def test_a_node_of_a_group(board, as_a_stranger, monkeypatch):
    node = board / "dev/fastrpc-cdsp"
    node.chmod(0o660)
    monkeypatch.setattr("windhover_bringup.doctor.device._group", lambda _: "fastrpc")
    shared = os.stat_result((stat.S_IFCHR | 0o660, 0, 0, 1, 0, 1007, 0, 0, 0, 0))
    normal = Path.stat
    monkeypatch.setattr(Path, "stat", lambda p, **k: shared if p == node else normal(p, **k))
    found = check_nodes(board / "dev")
    assert found.ok is False
    assert found.detail == "this user may not open fastrpc-cdsp (crw-rw----, group fastrpc)"
    assert found.advice == "run 'sudo usermod -aG fastrpc $USER' and log in again"


def test_a_node_of_nobody_else(board, as_a_stranger):
    (board / "dev/fastrpc-cdsp").chmod(0o600)
    assert "add a udev rule" in look(board)["fastrpc"].advice
    (board / "dev/adsprpc-smd").touch()
    (board / "dev/adsprpc-smd").chmod(0o666)
    assert look(board)["fastrpc"].detail == "adsprpc-smd"


def test_the_systems_library(board, tmp_path):
    (board / "usr/lib/libcdsprpc.so").unlink()
    found = look(board)["libcdsprpc.so"]
    assert found.ok is False
    assert "FastRPC package" in found.advice
    (tmp_path / "libcdsprpc.so").touch()
    found = look(board, {"LD_LIBRARY_PATH": f"/none{os.pathsep}{tmp_path}"})["libcdsprpc.so"]
    assert found.ok


def test_a_skel_is_missing_or_of_another_version(libraries, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "libQnnHtpV73Skel.so").touch()
    found = check_skel(None, {"ADSP_LIBRARY_PATH": f"/dsp;{other}"})
    assert found.ok is False
    assert f"finds {other}/libQnnHtpV73Skel.so before" in found.detail
    assert found.advice.startswith("unset ADSP_LIBRARY_PATH")
    (libraries / "libQnnHtpV73Skel.so").unlink()
    found = check_skel(None, {})
    assert found.detail == f"{libraries} has no libQnnHtpV73Skel.so"


def test_qnn_versions_are_told(monkeypatch):
    pytest.importorskip("onnxruntime_qnn")
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("QNN is not built for this processor")
    assert "core API 2.40" in check_qnn().detail
    monkeypatch.setenv("WINDHOVER_QNN", "/nowhere")
    found = check_qnn()
    assert (found.ok, "/nowhere/libQnnHtp.so is missing" in found.detail) == (None, True)
    assert "pip install" in found.advice


def test_the_whole_examination_has_it():
    names = [finding.name for finding in run_checks()]
    assert "qnn" in names
    assert {"hexagon dsp", "soc"} & set(names)
