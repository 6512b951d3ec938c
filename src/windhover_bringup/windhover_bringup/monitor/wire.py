"""Whether results that a stage of this process publishes are also heard over DDS.

To hear each one would wake a thread for each, which costs more than to count them where they
are published. So a reader of depth 1 keeps the newest, and is looked at a few times a second.
"""

from __future__ import annotations

import time
from typing import Any

import rclpy

from windhover_ros import qos


class WireCheck:
    """Readers of results, which no executor serves.

    Args:
        namespace: of the node that looks.
        limit_s: for so long may published results not be heard, seconds.
    """

    def __init__(self, namespace: str, limit_s: float) -> None:
        # Served by nobody: its name is hidden, and it has no services.
        self._node = rclpy.create_node(
            "_monitor_wire",
            namespace=namespace,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._limit_s = limit_s
        self._readers: dict[str, Any] = {}
        # When the first result was published since the last that was heard.
        self._unheard_since: dict[str, float | None] = {}
        self._silent: dict[str, bool] = {}

    def add(self, name: str, kind: Any, topic: str) -> None:
        """Read a stage's results.

        Args:
            name: of the stage.
            kind: message type.
            topic: full name.
        """

        def ignore(_: bytes) -> None:
            """Nobody calls it: there is no executor."""

        self._readers[name] = self._node.create_subscription(
            kind, topic, ignore, qos.image(), raw=True
        )
        self._unheard_since[name] = None
        self._silent[name] = False

    def published(self, name: str) -> None:
        """Note that a stage published a result; from any thread."""
        if self._unheard_since.get(name, 0.0) is None:
            self._unheard_since[name] = time.monotonic()

    def is_silent(self, name: str) -> bool:
        """Whether a stage's results were not heard at the last :meth:`check`."""
        return self._silent.get(name, False)

    def check(self, now_s: float) -> None:
        """See what was heard; call it some times a second.

        Args:
            now_s: monotonic seconds.
        """
        for name, reader in self._readers.items():
            with reader.handle:
                heard = reader.handle.take_message(reader.msg_type, reader.raw) is not None
            since_s = self._unheard_since[name]
            if heard:
                self._unheard_since[name] = None
            self._silent[name] = (
                not heard and since_s is not None and now_s - since_s > self._limit_s
            )

    def close(self) -> None:
        """Destroy the readers."""
        self._readers = {}
        self._node.destroy_node()
