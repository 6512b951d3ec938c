"""Takes a node through the lifecycle transitions of a recovery step."""

from __future__ import annotations

import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node

from windhover.health.recovery import Step

# Longest wait for a node's answer before the next request is sent; a node takes them one after
# the other, and one whose process is new may have lost the answer.
ANSWER_TIMEOUT_S = 1.0

_TRANSITIONS = {
    Step.REACTIVATE: (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE),
    Step.RECONFIGURE: (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ),
}


class RecoveryClient:
    """Sends one node the transitions of a step, each once the one before was answered.

    Args:
        node: that sends them.
        name: of the node to recover.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._client: Any = node.create_client(ChangeState, f"{name}/change_state")
        self._transitions: list[int] = []
        self._future: Any = None
        self._sent_s = 0.0

    @property
    def in_progress(self) -> bool:
        """Whether a step is not done yet."""
        return bool(self._transitions) or self._future is not None

    def begin(self, step: Step) -> None:
        """Begin a step that is one of transitions."""
        self._transitions = list(_TRANSITIONS[step])
        self._future = None

    def cancel(self) -> None:
        """Send no more of them."""
        self._transitions = []

    def advance(self) -> bool:
        """Send the next transition if it is due; call it some times a second.

        Returns:
            False where nobody answers, and the step was given up.
        """
        if self._future is not None and not self._future.done():
            if time.monotonic() - self._sent_s < ANSWER_TIMEOUT_S:
                return True
            # As if its state had no such transition: on to the next.
            self._client.remove_pending_request(self._future)
        if not self._transitions:
            self._future = None
            return True
        if not self._client.service_is_ready():
            self._transitions = []
            return False
        request = ChangeState.Request()
        request.transition.id = self._transitions.pop(0)
        self._future, self._sent_s = self._client.call_async(request), time.monotonic()
        return True

    def close(self) -> None:
        """Destroy the client."""
        self._node.destroy_client(self._client)
