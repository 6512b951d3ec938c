"""Backends that run a bundle's graph, and the choice between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from windhover.errors import BackendError, ConfigError
from windhover.inference import cpu, dlc, qnn
from windhover.inference.base import Backend
from windhover.inference.soc import missing_requirement, on_device
from windhover.model.bundle import Bundle
from windhover.registry import Registry

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """How a backend is opened and asked whether it can run here.

    Attributes:
        open: takes the bundle and, as keywords, the backend's own options;
            raises BackendError, BundleError or ConfigError.
        options: names of those options.
        probe: ``(usable, what it runs on, or what is missing and how to get it)``.
        in_auto: whether ``auto`` tries it on this machine.
        on_htp: whether it runs on an HTP, or else on that one's emulator.
    """

    open: Callable[..., Backend]
    options: frozenset[str]
    probe: Callable[[], tuple[bool, str]]
    in_auto: Callable[[], bool] = lambda: True
    on_htp: bool = False


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """A line about backends in ``windhover doctor``."""

    name: str
    usable: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend that was opened.

    Attributes:
        backend: open, to be closed by whoever asked.
        skipped_backends: ``name: reason`` of each faster one that ``auto`` did not take.
    """

    backend: Backend
    skipped_backends: tuple[str, ...]


# Fastest first: the order in which "auto" tries them. Where the HTP is only
# emulated it is a hundred times slower than the CPU and never chosen.
_BUILT_IN = {
    "dlc": BackendEntry(
        dlc.DlcBackend,
        frozenset({"soc", "performance", "profiling", "fresh"}),
        dlc.probe,
        in_auto=on_device,
        on_htp=True,
    ),
    "qnn": BackendEntry(
        qnn.QnnBackend,
        frozenset({"soc", "performance"}),
        qnn.probe,
        in_auto=on_device,
        on_htp=True,
    ),
    "cpu": BackendEntry(cpu.CpuBackend, frozenset({"precision", "threads", "keep"}), cpu.probe),
}
BACKENDS: Mapping[str, BackendEntry] = Registry("windhover.backends", BackendEntry, _BUILT_IN)
"""Backends by name; a package adds one as an entry point in ``windhover.backends``."""


def open_backend(bundle: Bundle, name: str = "auto", **options: Any) -> Backend:
    """Open the backend that runs a bundle; see :func:`choose_backend`."""
    return choose_backend(bundle, name, **options).backend


def choose_backend(bundle: Bundle, name: str = "auto", **options: Any) -> Choice:
    """Open the backend that runs a bundle, and say why no faster one does.

    Args:
        bundle: whose graph to run.
        name: of :data:`BACKENDS`, or ``auto`` for the fastest that opens; its
            ``name`` and ``device`` say which it was.
        options: the backend's own, such as ``threads``. ``auto`` gives each
            backend that it tries those it has.

    Raises:
        BackendError: this build has no such backend, or it can't open here.
        BundleError: the bundle's graph is not the one it declares.
        ConfigError: an option is unknown or out of range.
    """
    if name != "auto" and name not in BACKENDS:
        raise BackendError(
            f"this build has no backend {name!r}; it has {', '.join(BACKENDS)} (or auto)"
        )
    known = _options_of_all() if name == "auto" else BACKENDS[name].options
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(f"backend {name} has no option {', '.join(unknown)}; leave it out")
    if name != "auto":
        return Choice(BACKENDS[name].open(bundle, **options), ())
    return _first_that_opens(bundle, options)


def _options_of_all() -> frozenset[str]:
    usable = []
    for name in BACKENDS:
        with suppress(ConfigError):
            usable.append(BACKENDS[name].options)
    return frozenset().union(*usable)


def _first_that_opens(bundle: Bundle, options: Mapping[str, Any]) -> Choice:
    reasons = []
    for name in BACKENDS:
        try:
            entry = BACKENDS[name]
        except ConfigError as error:
            reasons.append(f"{name}: {error}")
            continue
        if not entry.in_auto():
            reasons.append(f"{name}: {missing_requirement() or 'no HTP here, only its emulator'}")
            continue
        own = {key: value for key, value in options.items() if key in entry.options}
        try:
            backend = entry.open(bundle, **own)
        except BackendError as error:
            _log.warning("backend auto: %s is passed over (%s)", name, error)
            reasons.append(f"{name}: {error}")
        else:
            _log.info("backend auto: %s on %s", backend.name, backend.device)
            return Choice(backend, tuple(reasons))
    raise BackendError(f"no backend can run {bundle.name}: {'; '.join(reasons)}")


def emulates(name: str) -> bool:
    """Whether a backend asked for by name would run on an emulator here."""
    return name in BACKENDS and BACKENDS[name].on_htp and not on_device()


def available_backends() -> list[BackendStatus]:
    """Every backend of this build, whether it can run here, and with what."""
    return [_status(name) for name in BACKENDS]


def _status(name: str) -> BackendStatus:
    try:
        return BackendStatus(name, *BACKENDS[name].probe())
    except ConfigError as error:
        return BackendStatus(name, False, str(error))


__all__ = [
    "BACKENDS",
    "Backend",
    "BackendEntry",
    "BackendStatus",
    "Choice",
    "available_backends",
    "choose_backend",
    "emulates",
    "open_backend",
]
