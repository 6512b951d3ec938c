"""A running chain opens DDS alone; security that is asked for is never passed over."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import PATIENCE_S
from tests.support.processes import end, finished, windhover
from tests.test_chain import looping

LISTENING = "0A"
# Fast DDS binds one port from 7000 on for itself, with any node and no code of ours.
FAST_DDS_OWN = range(7000, 7100)


def sockets_of(pid: int) -> set[str]:
    """Inodes of a process's sockets."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            found.add(match[1])
    return found


def rows(pid: int, table: str, inode: int) -> list[list[str]]:
    """Lines of a kernel's table that are sockets of a process; ``inode`` is its column."""
    own = sockets_of(pid)
    file = Path(f"/proc/{pid}/net/{table}")
    if not file.exists():  # no IPv6 here
        return []
    lines = [line.split() for line in file.read_text().splitlines()[1:]]
    return [line for line in lines if line[inode] in own]


def port(row: list[str]) -> int:
    return int(row[1].rsplit(":", 1)[1], 16)


@pytest.fixture
def chain(blob_bundle, blob_folder, tmp_path):
    child = windhover(
        "up", "--config", looping(tmp_path), "--source", blob_folder, "--model", blob_bundle,
        "--rate", 0.3,
    )  # fmt: skip
    yield child
    end(child)


def test_a_running_chain_listens_for_dds_alone(chain):
    asked = windhover("health", "--timeout", PATIENCE_S)
    finished(asked)
    assert asked.returncode in {0, 1}
    pid = chain.pid
    assert [port(row) for table in ("tcp", "tcp6") for row in rows(pid, table, 9)] == []
    assert [row for table in ("raw", "raw6") for row in rows(pid, table, 9)] == []
    # Columns of /proc/net/unix: Num RefCount Protocol Flags Type St Inode [Path].
    named = [row[7] for row in rows(pid, "unix", 6) if len(row) > 7]
    assert named == []
    domain = int(os.environ["ROS_DOMAIN_ID"])
    own = range(7400 + 250 * domain, 7650 + 250 * domain)
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Above are the ports that the kernel gives to who only sends.
    bound = {port(row) for table in ("udp", "udp6") for row in rows(pid, table, 9)}
    assert bound & set(own)
    assert {p for p in bound if p < low and p not in own and p not in FAST_DDS_OWN} == set()


def test_a_listener_would_be_seen():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        found = [row for row in rows(os.getpid(), "tcp", 9) if port(row) == server.getsockname()[1]]
        assert [row[3] for row in found] == [LISTENING]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0windhover-test")
        named = [row[7] for row in rows(os.getpid(), "unix", 6) if len(row) > 7]
        assert "@windhover-test" in named


def test_security_that_is_asked_for_and_not_to_be_had_ends_the_run(
    blob_bundle, blob_folder, tmp_path
):
    """Never on without it: no keystore, and where DDS has no security, as in the wheels."""
    for keystore in ("", str(tmp_path / "empty")):
        child = windhover(
            "up", "--source", blob_folder, "--model", blob_bundle,
            "--ros-args", "--enclave", "/windhover/composed",
            env={**os.environ, "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce",
                 "ROS_SECURITY_KEYSTORE": keystore},
        )  # fmt: skip
        _, err = finished(child)
        assert child.returncode == 2, err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, err
        assert "ROS_SECURITY_ENABLE" in lines[0]
        assert "Traceback" not in err
