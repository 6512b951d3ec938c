"""``run all``: the phases one after the other, from raw data to a bundle, as one config says.

A step is a phase of the registry, with its config and what is set in it, or any other
command of ``windhover-train``. Steps that are finished are passed over, so the same command
resumes where it stopped; everything that a step is given is checked before the first one starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from windhover.command_line import INTERRUPTED
from windhover.errors import ConfigError, DataError
from windhover.files import write_json

from .config import Strict, load_config
from .phases.base import Phase, check_inputs, clear_run, execute
from .phases.registry import FORMER_NAMES, PHASES, load_phase
from .runs import Run, RunState

Command = Callable[[Sequence[str]], int]
Say = Callable[[str], None]

_STATE = "chain.json"


class Step(Strict):
    """One step of a chain.

    Attributes:
        name: what later steps call it: ``{name}`` in their values is its run folder.
        phase: of the registry, or None for a command.
        config: the phase's YAML file.
        set: dotted keys and values in place of the config's.
        command: a command of ``windhover-train`` and its arguments.
        makes: files and folders that the command makes; without them it is not done.
        force: arguments that have the command replace what is there.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    phase: str | None = None
    config: Path | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    command: tuple[str, ...] = ()
    makes: tuple[Path, ...] = ()
    force: tuple[str, ...] = ("--force",)

    @model_validator(mode="before")
    @classmethod
    def _present_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "anew" not in values:
            return values
        sys.stderr.write(
            "warning: a step's 'anew' is now 'force'; the former name goes in the next version\n"
        )
        return {("force" if key == "anew" else key): value for key, value in values.items()}

    @field_validator("phase")
    @classmethod
    def _present_name(cls, phase: str | None) -> str | None:
        now = FORMER_NAMES.get(phase or "")
        if now is None:
            return phase
        sys.stderr.write(
            f"warning: phase {phase!r} is now {now!r}; the former name goes in the next version\n"
        )
        return now

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        if (self.phase is None) == (not self.command):
            raise ValueError(f"step {self.name} needs either a phase or a command")
        if self.phase is not None and self.phase not in PHASES:
            raise ValueError(f"step {self.name}: no phase {self.phase!r}; use {', '.join(PHASES)}")
        if self.phase is not None and self.config is None:
            raise ValueError(f"step {self.name} needs the config of its phase")
        if self.command and not self.makes:
            raise ValueError(f"step {self.name} needs 'makes': what tells that it is done")
        return self


class ChainConfig(Strict):
    """All steps, in order.

    Attributes:
        name: of the chain.
        folder: for the chain's state and the run folders of its phases.
        steps: what is done.
    """

    name: str
    folder: Path
    steps: list[Step] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> ChainConfig:
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"step {', '.join(twice)} stands twice")
        return self


class Chain:
    """A chain that was checked, and how far it has come."""

    def __init__(self, config: ChainConfig, command: Command) -> None:
        """Check everything that can be checked before hours are spent.

        Args:
            config: the steps.
            command: runs a command of ``windhover-train`` and gives its exit status.

        Raises:
            ConfigError: a step's config is wrong, or names a step that does not come
                before it.
        """
        self.config, self._command = config, command
        self._folders: dict[str, Path] = {}
        self._arguments: dict[str, tuple[Phase[Any], Strict] | list[str]] = {}
        for step in config.steps:
            if step.phase is None:
                self._arguments[step.name] = [self._filled(v, step) for v in step.command]
                continue
            assert step.config is not None
            phase = load_phase(step.phase)
            values = {key: self._filled(value, step) for key, value in step.set.items()}
            self._arguments[step.name] = phase, load_config(step.config, phase.config, values)
            self._folders[step.name] = config.folder / step.name

    def state(self, step: Step) -> str:
        """``finished``, ``stopped``, ``running`` (if it was killed) or ``not begun``."""
        kept = self._read()
        if step.name in kept["redo"]:
            return "not begun"
        if step.phase is not None:
            folder = self._folders[step.name]
            found = Run(folder).state() if folder.is_dir() else None
            return "not begun" if found is None else found.value
        done = kept["commands"].get(step.name) == self._arguments[step.name]
        complete = done and all(path.exists() for path in step.makes)
        return RunState.FINISHED.value if complete else "not begun"

    def run(self, start: str | None = None, say: Say = print) -> bool:
        """Do what is left to do.

        Args:
            start: name of a step to repeat, with all that follow it.
            say: receives a line a step.

        Returns:
            True when all is done, False if a step was asked to stop.

        Raises:
            ConfigError: there is no step ``start``.
            DataError: a step failed.
        """
        names = [step.name for step in self.config.steps]
        if start is not None:
            if start not in names:
                raise ConfigError(f"no step {start!r}; there are {', '.join(names)}")
            self._write(redo=names[names.index(start) :])
        for number, step in enumerate(self.config.steps):
            if self.state(step) == RunState.FINISHED.value:
                say(f"{step.name}: finished before")
                continue
            say(f"{step.name}: begins ({number + 1} of {len(names)})")
            if not self._do(step):
                say(f"{step.name}: stopped; the same command resumes it")
                return False
        self._report()
        return True

    def _do(self, step: Step) -> bool:
        given = self._arguments[step.name]
        kept = self._read()
        redo = step.name in kept["redo"]
        others = [name for name in kept["redo"] if name != step.name]
        if not isinstance(given, list):
            phase, config = given
            folder = self._folders[step.name]
            if redo:
                # What is there is gone before the note that it must go.
                check_inputs(phase, config)
                clear_run(folder)
                self._write(redo=others)
            return execute(phase, config, folder, force=redo)
        # What this step made with other arguments is the chain's own to replace.
        again = redo or kept["commands"].get(step.name, given) != given
        arguments = [*given, *step.force] if again else given
        status = self._command(arguments)
        if status == INTERRUPTED:
            return False
        line = f"windhover-train {' '.join(arguments)}"
        if status:
            raise DataError(f"step {step.name} failed: {line}; mend it and run the chain again")
        missing = [str(path) for path in step.makes if not path.exists()]
        if missing:
            raise DataError(f"step {step.name} did not make {', '.join(missing)}: {line}")
        self._write(redo=others, commands={**kept["commands"], step.name: given})
        return True

    def _filled(self, value: Any, step: Step) -> Any:
        """A value with ``{name}`` replaced by the run folder of an earlier step."""
        if isinstance(value, list):
            return [self._filled(item, step) for item in value]
        if isinstance(value, dict):
            return {key: self._filled(item, step) for key, item in value.items()}
        if not isinstance(value, str) or "{" not in value:
            return value
        try:
            return value.format_map({name: str(path) for name, path in self._folders.items()})
        except (KeyError, ValueError, IndexError) as error:
            before = ", ".join(self._folders) or "none"
            raise ConfigError(
                f"step {step.name}: {value!r} names {error}, which is no phase before it "
                f"(there are: {before})"
            ) from error

    def _read(self) -> dict[str, Any]:
        """Commands that are finished, by step, and the steps that are to be repeated."""
        folder = self.config.folder
        found = Run(folder).read(_STATE) if folder.is_dir() else None
        return {"commands": {}, "redo": [], **(found or {})}

    def _write(self, **changes: Any) -> None:
        Run(self.config.folder).write(_STATE, {**self._read(), **changes})

    def _report(self) -> None:
        """Write what every phase measured into one file."""
        metrics = {name: Run(folder).metrics() for name, folder in self._folders.items()}
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        report = {"chain": self.config.name, "finished": now, "metrics": metrics}
        write_json(self.config.folder / "report.json", report)
