"""QNN's status codes as errors with names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windhover.errors import BackendError

# The core library names its own codes. These it does not know: they come from
# the system library and from the functions for power votes.
OTHER_CODES = {
    13000: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_INVALID_HANDLE_PTR",
    13001: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_INVALID_INPUT",
    13002: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_UNSUPPORTED_CONFIG",
    13003: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_TRANSPORT",
    13004: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_UNSUPPORTED",
    13005: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_MEM_ALLOC",
    13006: "QNN_HTP_PERF_INFRASTRUCTURE_ERROR_FAILED",
    30000: "QNN_SYSTEM_ERROR_INVALID_HANDLE",
    30001: "QNN_SYSTEM_ERROR_INVALID_ARGUMENT",
    30002: "QNN_SYSTEM_ERROR_OPERATION_FAILED",
    30010: "QNN_SYSTEM_ERROR_MALFORMED_BINARY",
}

_CODE_BITS = 0xFFFF


class QnnError(BackendError):
    """A QNN function returned something other than success.

    Attributes:
        call: name of the function.
        code: its status, the low 16 bits.
        reason: the status by name.
    """

    def __init__(self, call: str, status: int, reason: str, logged: str = "") -> None:
        self.call = call
        self.code = status & _CODE_BITS
        self.reason = reason
        # QNN's log has more details than its code, where it logged anything.
        more = f"; QNN logged: {logged}" if logged else ""
        super().__init__(f"{call}: {reason} ({self.code}){more}")


@contextmanager
def explain_errors(what: str, remedy: str) -> Iterator[None]:
    """Turn a QnnError into a BackendError with what failed and what to do.

    Raises:
        BackendError: in place of a QnnError.
    """
    try:
        yield
    except QnnError as error:
        raise BackendError(f"{what} ({error}); {remedy}") from error
