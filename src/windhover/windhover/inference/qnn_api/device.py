"""A backend and a device handle: what graphs are compiled for and run on."""

from __future__ import annotations

import ctypes as c

from windhover.inference.qnn_api.errors import explain_errors
from windhover.inference.qnn_api.library import Libraries
from windhover.inference.qnn_api.log import QnnLog
from windhover.inference.qnn_api.structs import ConfigList, HtpDeviceConfig
from windhover.inference.soc import Soc

_OPTION_SOC, _OPTION_ARCH = 0, 1


class HtpDevice:
    """The HTP of one SoC, or its emulator.

    Handles are made in the order log, backend, device, and freed the other way
    round. What was made on a device must be closed before it.

    Args:
        libraries: to call.
        soc: whose HTP graphs are compiled for.

    Raises:
        BackendError: QNN can't open it.
    """

    def __init__(self, libraries: Libraries, soc: Soc) -> None:
        self.libraries = libraries
        self.soc = soc
        self.backend = c.c_void_p()
        self.handle = c.c_void_p()
        with explain_errors(
            f"the HTP of {soc} can't be opened with QNN {libraries.version}",
            "run 'windhover doctor', or use backend cpu",
        ):
            # Where no DSP answers, this is the first call that fails.
            self.log = QnnLog(libraries.core, "logCreate", "logFree")
            try:
                self.call("backendCreate", self.log.handle, None, c.byref(self.backend))
                self._create_device()
            except Exception:
                self.close()
                raise

    def call(self, name: str, *arguments: object) -> None:
        """Call a core function.

        Raises:
            QnnError: it failed; with what QNN logged meanwhile.
        """
        self.log.clear()
        self.libraries.core(name, *arguments, logged=self.log.text)

    def close(self) -> None:
        """Free the handles; calling it twice is fine."""
        core = self.libraries.core
        if self.handle:
            core("deviceFree", self.handle)
            self.handle = c.c_void_p()
        if self.backend:
            core("backendFree", self.backend)
            self.backend = c.c_void_p()
        self.log.close()

    def _create_device(self) -> None:
        soc = HtpDeviceConfig(option=_OPTION_SOC)
        soc.value.soc_model = self.soc.model
        arch = HtpDeviceConfig(option=_OPTION_ARCH)
        arch.value.arch.arch = self.soc.arch
        configs = ConfigList(soc, arch)
        self.call("deviceCreate", self.log.handle, configs.array, c.byref(self.handle))
