"""What a person sees of a run: a progress bar, lines, TensorBoard's curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..runs import Run

LOG_EVERY = 20  # steps


class Watch:
    """Shows a run's progress and keeps its curves.

    On a terminal there is a bar; elsewhere a line every :data:`LOG_EVERY` steps. Curves go
    to ``tensorboard/`` and all rows to ``log.jsonl`` in the run folder.
    """

    def __init__(self, run: Run, title: str, steps: int | None, done: int = 0) -> None:
        """Open the bar and the curves.

        Args:
            run: whose folder takes the curves.
            title: what is being done, for the bar.
            steps: in all; None where nobody knows.
            done: steps of an earlier part of the run; curves beyond are replaced.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._console = run, Console()
        self._curves = SummaryWriter(str(run.folder / "tensorboard"), purge_step=done)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=steps, completed=done, said="")

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._curves.close()

    def step(self, step: int, row: Mapping[str, Any]) -> None:
        """One step is done; ``row`` says what the log keeps of it."""
        telling = step % LOG_EVERY == 0 or "skipped" in row
        if telling:
            self._run.log({**row, "step": step})
            for name, value in row.items():
                if isinstance(value, (int, float)):
                    self._curves.add_scalar(f"train/{name}", value, step)
        self._bar.update(self._task, completed=step + 1, said=_loss(row))
        if telling and not self._console.is_terminal:
            self.say(str({**row, "step": step}))

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """The validation images were scored."""
        self._run.log({**scores, "step": step})
        for name, value in scores.items():
            self._curves.add_scalar(f"val/{name}", value, step)
        self._curves.flush()
        figures = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.say(f"step {step}: {figures}")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)


def _loss(row: Mapping[str, Any]) -> str:
    return " ".join(f"{k[:-5]} {v:.3f}" for k, v in row.items() if k.endswith("_loss"))
