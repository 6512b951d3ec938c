"""What a phase is, and how one is run: inputs checked, folder kept, finished once.

A phase is a value of :class:`Phase` named ``PHASE`` in a module of this package, and a line
in :mod:`.registry`. It says which config it takes, which inputs must exist and which command
makes each, and how it runs; everything else is here, once for all phases.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from windhover.errors import ConfigError, DataError, WindhoverError

from ..config import Strict, former_keys
from ..runs import Run, RunState

C = TypeVar("C", bound=Strict)

# What may change between the parts of one run: none of it changes what is learnt.
_FREE_KEYS = frozenset({"checkpoint_seconds", "device", "workers", "jobs", "frames_share"})


@dataclass(frozen=True)
class RequiredInput:
    """An input of a phase.

    Attributes:
        path: file or folder that must exist.
        made_by: the command that makes it, or what to get from where.
    """

    path: Path
    made_by: str


def _nothing(_: Any) -> Sequence[Path]:
    return ()


@dataclass(frozen=True)
class Phase(Generic[C]):
    """One step of the training guide.

    Attributes:
        command: as it is typed after ``windhover-train``, such as ``train bootstrap``.
        config: the pydantic model of its YAML file; it has a field ``seed``.
        needs: the inputs that a config asks for.
        run: does the work in a run folder, going on from what a stopped run left there.
            Returns the metrics, or None if it was asked to stop before its end.
        writes: what the config has it write outside of its run folder; refused where it
            exists unless forced.
    """

    command: str
    config: type[C]
    needs: Callable[[C], Sequence[RequiredInput]]
    run: Callable[[C, Run], Mapping[str, Any] | None]
    writes: Callable[[C], Sequence[Path]] = _nothing


def execute(phase: Phase[C], config: C, folder: Path, *, force: bool = False) -> bool:
    """Run a phase to its end, or resume a run that was stopped.

    Args:
        phase: which.
        config: validated.
        folder: run folder; made if it does not exist.
        force: start again where the folder holds a run that is finished or has another
            config, and write over what :attr:`Phase.writes` names.

    Returns:
        True when it is finished, False if it was asked to stop; the same call resumes it.

    Raises:
        ConfigError: the folder can't be used as asked.
        DataError: inputs are missing.
    """
    check_inputs(phase, config)
    if force:
        clear_run(folder)
    run = Run(folder)
    fresh = _check_folder(config, run)
    if fresh and not force:
        _refuse_to_overwrite(phase.writes(config))
    if fresh:
        run.describe(config, phase.command)
    run.set_state(RunState.RUNNING, phase.command)
    try:
        metrics = phase.run(config, run)
    except WindhoverError:
        if fresh and not any(run.folder.rglob("*.pt")):
            shutil.rmtree(run.folder)  # nothing was learnt: the next try begins anew
        raise
    if metrics is None:
        run.set_state(RunState.STOPPED, phase.command)
        return False
    run.write_metrics(dict(metrics))
    run.set_state(RunState.FINISHED, phase.command)
    return True


def check_inputs(phase: Phase[C], config: C) -> None:
    """Refuse to start without the inputs.

    Raises:
        DataError: names what is missing and the commands that make it.
    """
    missing = [need for need in phase.needs(config) if not need.path.exists()]
    if missing:
        listed = "; ".join(f"{need.path} (made by: {need.made_by})" for need in missing)
        raise DataError(f"{phase.command} lacks {listed}")


def _check_folder(config: Strict, run: Run) -> bool:
    """Whether the folder is new; refuses one that is another's."""
    before = run.described()
    if before is None:
        others = sorted(path.name for path in run.folder.iterdir())
        if others:
            raise ConfigError(
                f"{run.folder} holds {', '.join(others[:3])} and is no run folder; "
                "choose another with --run"
            )
        return True
    if run.state() is RunState.FINISHED:
        raise ConfigError(
            f"{run.folder} holds a finished run; choose another with --run, or --force to "
            "train it again"
        )
    former = former_keys(before, getattr(type(config), "FORMER", {}))
    if former:
        raise ConfigError(
            f"{run.folder} holds a run that an earlier version began ({', '.join(former[:3])} in "
            "its config.json); finish it with that one, or --force to start again"
        )
    changed = _changes(before, config.model_dump(mode="json"))
    if changed:
        raise ConfigError(
            f"{run.folder} holds a run with another {', '.join(changed)}; choose another "
            "folder with --run, or --force to start again"
        )
    return False


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    keys = sorted((before.keys() | now.keys()) - _FREE_KEYS)
    return [key for key in keys if _fixed(before.get(key)) != _fixed(now.get(key))]


def _fixed(value: Any) -> Any:
    """A value of a config without what may change, in its parts too."""
    if not isinstance(value, Mapping):
        return value
    return {key: _fixed(part) for key, part in value.items() if key not in _FREE_KEYS}


def clear_run(folder: Path) -> None:
    """Remove a run folder, and nothing that is not one.

    Raises:
        ConfigError: something else is there.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file()):
        raise ConfigError(f"{folder} is no run folder, so --force leaves it alone")
    shutil.rmtree(folder)


def _refuse_to_overwrite(paths: Sequence[Path]) -> None:
    there = [path for path in paths if path.exists()]
    if there:
        names = ", ".join(str(path) for path in there)
        raise ConfigError(f"{names} exists; choose another place, or --force to replace it")
