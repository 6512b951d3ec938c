"""Notifies systemd of the process's state, where systemd started it.

Source: sd_notify(3), systemd 255. Nothing is sent where NOTIFY_SOCKET is not set.
"""

from __future__ import annotations

import os
import socket


def notify(*lines: str) -> bool:
    """Send lines such as ``READY=1``, ``WATCHDOG=1`` or ``STATUS=all is well``.

    Returns:
        Whether they were sent; an absent supervisor is no error.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
    return True
