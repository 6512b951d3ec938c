"""Running a command so that a person's mistake is one line on stderr, never a traceback.

Typer and Click are not imported: the library itself has no command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from windhover.errors import WindhoverError

INTERRUPTED = 130
"""Exit status of a command that a person stopped with Ctrl-C."""

#: Packages of this repository that a drone may lack.
OPTIONAL_PACKAGES = ("windhover_evaluation", "windhover_sim")


def run_command(command: Callable[..., Any], args: Sequence[str], program: str) -> int:
    """Run a command of Click or Typer.

    Args:
        command: its ``main``, as ``typer.main.get_command(app).main``.
        args: without the program's name.
        program: name that usage texts show.

    Returns:
        The command's own exit status, or an error's: 2 where a person has to correct
        something, 3 where a restart may help.
    """
    try:
        result = command(args=list(args), prog_name=program, standalone_mode=False)
    except WindhoverError as error:
        return print_error(str(error), error.exit_status)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed its end, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        return print_error(_missing_package(error))
    except Exception as error:
        # Click's errors about arguments, whichever Click Typer brings.
        if not hasattr(error, "format_message"):
            raise
        return _print_usage_error(error, str(error.format_message()))
    return result if isinstance(result, int) else 0


def _print_usage_error(error: Exception, message: str) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{message}\n")
        return 2
    return print_error(message) if message else 2


def _missing_package(error: ModuleNotFoundError) -> str:
    missing = (error.name or "").partition(".")[0]
    if missing not in OPTIONAL_PACKAGES:
        raise error
    return (
        f"this command needs the package {missing}, which is not installed here; "
        f"install it with 'pip install ./src/{missing}' from a checkout"
    )


def print_error(message: str, status: int = 2) -> int:
    """Write one line to stderr; returns ``status``."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return status
