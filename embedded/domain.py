"""A ROS domain of its own for each test process, on this machine only.

Tests of other checkouts, or other workers of the same run, must not hear each
other. Domain d uses UDP ports from 7400 + 250 d, so a free one is a domain of
whose ports none is bound; and until ours are, an abstract socket holds it.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

FIRST, LAST = 1, 100  # above 101 the ports meet the kernel's ephemeral ones
_held: dict[int, socket.socket] = {}


def bound_udp_ports() -> set[int]:
    """UDP ports in use on this machine; empty where the kernel does not say."""
    ports = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        ports |= {int(line.split()[1].rsplit(":", 1)[1], 16) for line in lines}
    return ports


def hold(domain: int) -> bool:
    """Take a domain for this process until it ends; False where another one has it."""
    if domain in _held:
        return False
    if sys.platform != "linux":  # which has no such names
        return True
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # A name, and no file: it is gone with the process, however that ends.
        held.bind(f"\0windhover-test-domain-{domain}")
    except OSError:
        held.close()
        return False
    _held[domain] = held
    return True


def free_domain() -> int:
    """A domain id that nobody uses, held for this process; its start depends on the process."""
    used = {(port - 7400) // 250 for port in bound_udp_ports() if port >= 7400}
    count = LAST - FIRST + 1
    for step in range(count):
        domain = FIRST + (os.getpid() * 7 + step) % count
        if domain not in used and hold(domain):
            return domain
    raise RuntimeError("all ROS domains are in use")


def isolate() -> int:
    """Give this process and its children a domain of their own.

    Call before rclpy is initialised.

    Returns:
        The domain id.
    """
    domain = free_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.pop("ROS_LOCALHOST_ONLY", None)
    return domain
