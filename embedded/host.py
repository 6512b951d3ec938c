"""Checks of the machine before anything is installed. Standard library only."""

from __future__ import annotations

import importlib.util
import sys

OLDEST_PYTHON = (3, 11)


class SetupError(Exception):
    """Set-up can't go on; the one-line message names the cause and the remedy."""


def check_host() -> None:
    """Check that this Python can make a virtual environment for the wheels.

    Raises:
        SetupError: something is missing; the message says what to install.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"{sys.executable} is Python {sys.version.split()[0]}, and the ROS 2 Jazzy wheels "
            "are used from 3.11 on: install a newer one and run 'make PYTHON=/path/to/python3'"
        )
    if importlib.util.find_spec("venv") is None:
        raise SetupError(
            "Python's venv module is missing: install it, on Debian and Ubuntu with "
            "'apt-get install python3-venv'"
        )
