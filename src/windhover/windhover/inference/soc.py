"""The chips a graph is compiled for, and whether this machine has one.

One table: whoever builds, loads or names a compiled graph looks here.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windhover.errors import ConfigError

_log = logging.getLogger(__name__)

FASTRPC_NODES = ("fastrpc-cdsp", "fastrpc-cdsp-secure", "adsprpc-smd", "adsprpc-smd-secure")


@dataclass(frozen=True, slots=True)
class Soc:
    """A chip, as the graph compiler needs it.

    Attributes:
        name: as written in configurations.
        model: Qualcomm's number for it (``soc_model``).
        arch: Hexagon version of its HTP, such as 73.
        vtcm_mb: the HTP's tightly coupled memory in MiB.
        ids: what Linux calls it and its variants in /sys/devices/soc0/soc_id
            (include/dt-bindings/arm/qcom,ids.h).
    """

    name: str
    model: int
    arch: int
    vtcm_mb: int
    ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name.upper()} (HTP v{self.arch})"


SOCS: Mapping[str, Soc] = {
    soc.name: soc
    for soc in (
        Soc("qcs8550", 66, 73, 8, (603, 604)),
        Soc("sm8550", 43, 73, 8, (519,)),
        Soc("sm8650", 57, 75, 8, (557,)),
    )
}

DEFAULT_SOC = "qcs8550"


def find_soc(name: str) -> Soc:
    """The chip of that name.

    Raises:
        ConfigError: it is not in the table.
    """
    try:
        return SOCS[name.lower()]
    except KeyError:
        raise ConfigError(f"there is no SoC {name!r} here; use one of {', '.join(SOCS)}") from None


def soc_name(model: int) -> str:
    """What to call a ``soc_model`` in a message."""
    names = [soc.name.upper() for soc in SOCS.values() if soc.model == model]
    return names[0] if names else f"SoC model {model}"


def on_device(devices: Path = Path("/dev")) -> bool:
    """Whether an HTP can be reached: a 64-bit ARM Linux with a FastRPC node.

    Args:
        devices: folder of the device nodes.
    """
    if platform.machine() != "aarch64":
        return False
    return any(os.access(devices / node, os.R_OK) for node in FASTRPC_NODES)


def where_it_runs() -> str:
    """The hardware in words; an emulator is never called a device."""
    return "HTP" if platform.machine() == "aarch64" else f"HTP emulator on {platform.machine()}"


def warn_about_emulator(backend: str, file: str) -> None:
    """Log that a backend runs a file on the emulator, where it does."""
    if not on_device():
        _log.warning(
            "backend %s runs %s on the %s: seconds a frame, for checks and not for flights",
            backend,
            file,
            where_it_runs(),
        )


def missing_requirement() -> str | None:
    """Why neither an HTP nor its emulator can be reached here, and what to do; or ``None``."""
    machine = platform.machine()
    if machine == "aarch64" and not on_device():
        nodes = ", ".join(f"/dev/{node}" for node in FASTRPC_NODES)
        return f"no HTP can be reached: none of {nodes} can be read; check the user's groups"
    if machine not in ("aarch64", "x86_64"):
        return f"there is neither an HTP nor its emulator for {machine}; use backend cpu"
    return None
