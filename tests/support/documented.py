"""Command lines of the manual, and whether a program takes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer import Typer
from typer.main import get_command

_BLOCK = re.compile(r"(?ms)^```(?:sh|bash|console)?\n(.*?)^```")
_INLINE = re.compile(r"`((?:[\w./-]*/)?windhover(?:-train)? [^`]*)`")


@dataclass(frozen=True)
class Documented:
    """A command line of a page.

    Attributes:
        page: that shows it.
        words: behind the program's name.
        whole: it stands in a block of code to be run, so that nothing may be missing.
    """

    page: Path
    words: tuple[str, ...]
    whole: bool


def command_lines(page: Path, names: Sequence[str]) -> Iterator[Documented]:
    """Lines of a Markdown page that run a program, in blocks of code and within text.

    Args:
        page: the file.
        names: of the program, such as ``windhover-train`` or ``$T``.
    """
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(_BLOCK.findall(text)).replace("\\\n", " ")
    for lines, whole in ((blocks.splitlines(), True), (_INLINE.findall(text), False)):
        for line in lines:
            words = _words(line.split(" #")[0].split(" | ")[0])
            if words and (words[0] in names or Path(words[0]).name in names):
                yield Documented(page, tuple(words[1:]), whole)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation mark that is not closed: no command line
        return []


def problem(program: Any, line: Documented) -> str | None:
    """What a program would not take of a command line; None for nothing.

    Args:
        program: Click command that Typer made of it.
        line: of the manual.

    A line with ``...`` or ``[OPTIONS]`` stands for longer ones: only its command is looked at.
    """
    command, rest = program, list(line.words)
    if "--ros-args" in rest:  # what follows is ROS's own
        rest = rest[: rest.index("--ros-args")]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if _stands_for_others(rest[0]) or rest[0].isupper():
            return None
        found = command.commands.get(rest[0])
        if found is None:
            return f"no command {rest[0]!r}"
        command, rest = found, rest[1:]
    if any(map(_stands_for_others, rest)) or "--help" in rest:
        return None
    given = {word.split("=")[0] for word in rest if word.startswith("--")}
    known: set[str] = set()
    for parameter in command.params:
        names = {*parameter.opts, *parameter.secondary_opts}
        known |= names
        if (
            line.whole
            and parameter.required
            and parameter.param_type_name == "option"
            and not names & given
        ):
            return f"{parameter.opts[0]} is missing"
    return next((f"no option {option}" for option in sorted(given - known)), None)


def _stands_for_others(word: str) -> bool:
    return word in ("...", "…", "[OPTIONS]")


def wrong_lines(app: Typer, lines: Iterable[Documented]) -> list[str]:
    """Page, line and problem of each line that a program would not take."""
    program = get_command(app)
    found = [(line, problem(program, line)) for line in lines]
    return [f"{line.page.name}: {' '.join(line.words)}: {why}" for line, why in found if why]
