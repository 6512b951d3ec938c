"""What QNN logs, caught instead of printed."""

from __future__ import annotations

import ctypes as c
import logging
from collections import deque

from windhover.inference.qnn_api.functions import Functions

_log = logging.getLogger(__name__)

_LEVEL_ERROR = 1
_LONGEST = 400
# A va_list arrives as an address, and vsnprintf takes it back as one, on x86_64
# (an array) and on aarch64 (a structure too large for registers).
_CALLBACK = c.CFUNCTYPE(None, c.c_char_p, c.c_uint32, c.c_uint64, c.c_void_p)
_format = c.CDLL(None).vsnprintf
_format.argtypes = (c.c_char_p, c.c_size_t, c.c_char_p, c.c_void_p)


class QnnLog:
    """A log handle whose errors go to ``logging`` (debug) and into error messages.

    Args:
        functions: whose ``create`` and ``free`` are called.
        create: name of the function that makes the handle.
        free: name of the function that frees it.

    Raises:
        QnnError: there is no logging.
    """

    def __init__(self, functions: Functions, create: str, free: str) -> None:
        self._functions = functions
        self._free = free
        self._lines: deque[str] = deque(maxlen=3)
        # Kept here: QNN holds the bare pointer.
        self._callback = _CALLBACK(self._take)
        self.handle = c.c_void_p()
        functions(create, self._callback, _LEVEL_ERROR, c.byref(self.handle))

    def text(self) -> str:
        """The last lines since :meth:`clear`, in one."""
        return " / ".join(self._lines)

    def clear(self) -> None:
        """Forget the lines so far."""
        self._lines.clear()

    def close(self) -> None:
        """Free the handle, after everything that logs to it."""
        if self.handle:
            self._functions(self._free, self.handle)
            self.handle = c.c_void_p()

    def _take(self, form: bytes | None, _level: int, _time: int, arguments: int | None) -> None:
        # Called from QNN's own threads; nothing may be raised into them.
        text = c.create_string_buffer(_LONGEST)
        if form and _format(text, _LONGEST, form, arguments) > 0:
            line = " ".join(text.value.decode(errors="replace").split())
            self._lines.append(line)
            _log.debug("%s", line)
