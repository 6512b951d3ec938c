"""Commands and files to and from a device: ``adb:SERIAL`` or ``ssh:USER@HOST``."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from windhover.errors import ConfigError, WindhoverError

PATIENCE_S = 1800.0
_CONNECT_S = 20
_INSTALL = {"adb": "apt-get install adb", "ssh": "apt-get install openssh-client"}


class DeviceError(WindhoverError):
    """A device can't be reached, or what was asked of it failed."""


class Transport(Protocol):
    """One device."""

    @property
    def name(self) -> str:
        """As it was given."""
        ...

    def run(self, command: str) -> str:
        """Run a shell command there and give what it prints.

        Raises:
            DeviceError: it failed, or the device can't be reached.
        """
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file there.

        Raises:
            DeviceError: it can't be copied.
        """
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from there.

        Raises:
            DeviceError: it can't be copied.
        """
        ...


def open_device(address: str) -> Transport:
    """The device at an address, which must answer.

    Args:
        address: ``adb:SERIAL`` or ``ssh:USER@HOST``; ``adb:`` alone is the only device.

    Raises:
        ConfigError: the address is neither, or the tool is not installed.
        DeviceError: the device does not answer.
    """
    kind, colon, rest = address.partition(":")
    if not colon or kind not in _INSTALL or (kind == "ssh" and not rest) or rest.startswith("-"):
        raise ConfigError(f"--device {address!r}: give adb:SERIAL or ssh:USER@HOST")
    tools = ("adb",) if kind == "adb" else ("ssh", "scp")
    for tool in tools:
        if shutil.which(tool) is None:
            raise ConfigError(f"{tool} is not installed here; {_INSTALL[kind]}")
    device: Transport = Adb(rest) if kind == "adb" else Ssh(rest)
    device.run("true")
    return device


@dataclass(frozen=True)
class Adb:
    """A device that the Android Debug Bridge knows."""

    serial: str

    @property
    def name(self) -> str:
        """See :class:`Transport`."""
        return f"adb:{self.serial}"

    @property
    def _adb(self) -> list[str]:
        return ["adb", *(["-s", self.serial] if self.serial else [])]

    def run(self, command: str) -> str:
        """See :class:`Transport`."""
        return _call([*self._adb, "shell", command], self.name)

    def push(self, source: Path, target: str) -> None:
        """See :class:`Transport`."""
        _call([*self._adb, "push", str(source), target], self.name)

    def pull(self, source: str, target: Path) -> None:
        """See :class:`Transport`."""
        _call([*self._adb, "pull", source, str(target)], self.name)


@dataclass(frozen=True)
class Ssh:
    """A device that takes a key over ssh: nothing is asked for at the terminal."""

    host: str

    @property
    def name(self) -> str:
        """See :class:`Transport`."""
        return f"ssh:{self.host}"

    @property
    def _options(self) -> list[str]:
        return ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}"]

    def run(self, command: str) -> str:
        """See :class:`Transport`."""
        return _call(["ssh", *self._options, self.host, command], self.name)

    def push(self, source: Path, target: str) -> None:
        """See :class:`Transport`."""
        _call(["scp", "-q", *self._options, str(source), f"{self.host}:{target}"], self.name)

    def pull(self, source: str, target: Path) -> None:
        """See :class:`Transport`."""
        _call(["scp", "-q", *self._options, f"{self.host}:{source}", str(target)], self.name)


def _call(command: Sequence[str], name: str) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{name} has not answered for {PATIENCE_S:g} s; see whether it is up and try again"
        ) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:] or f"exit {done.returncode}"
        what = shlex.join(command)
        raise DeviceError(
            f"{name}: {what[:120]} failed ({said}); see that it is connected, up and allows it"
        )
    return done.stdout
