"""Commands under their names of the version before; they go in the next one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from windhover.command_line import run_command

_NAMES = {
    ("recover",): ("bag", "recover"),
    ("ready",): ("wait-active",),
    ("bench", "--model"): ("benchmark",),
}


def replace_deprecated(args: Sequence[str]) -> list[str]:
    """A command line with the names that commands have now, and a warning if that changed it."""
    for former, now in _NAMES.items():
        if args[:1] == [former[0]] and all(_has(args, option) for option in former[1:]):
            _warn(f"windhover {former[0]}", f"windhover {' '.join(now)}")
            return [*now, *args[1:]]
    return list(args)


def run_moved(args: Sequence[str]) -> int | None:
    """Run a command that is none of ``windhover`` any more.

    Returns:
        Its exit status, or ``None`` where the command line names none.
    """
    if args[:1] == ["bench"] and "--help" not in args:
        _warn("windhover bench", "python -m bench.run, in a checkout")
        if not Path("bench", "run.py").is_file():
            sys.stderr.write("error: no bench/run.py; run this in a checkout of Windhover\n")
            return 2
        return subprocess.run(
            [sys.executable, "-m", "bench.run", *args[1:]], check=False
        ).returncode
    if args[:2] == ["calibrate", "residual"]:
        _warn("windhover calibrate residual", "python -m windhover_evaluation.registration")

        def study(args: Sequence[str], **_: object) -> int:
            from windhover_evaluation.registration.__main__ import main

            return main(args)

        return run_command(study, args[2:], "windhover calibrate residual")
    return None


def _has(args: Sequence[str], option: str) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in args)


def _warn(former: str, now: str) -> None:
    sys.stderr.write(
        f"warning: '{former}' is now '{now}'; the former name goes in the next version\n"
    )
