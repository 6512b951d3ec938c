"""A compact training loop: crops in, averaged weights out, resumable to the step.

Progress counts steps, never wall time: a run that is stopped with SIGSTOP and continued,
or killed and started again, follows the same schedule. Randomness is drawn per step from
the seed and the step number, so a resumed run sees the crops it would have seen, and ends
with the weights it would have had.
"""

from __future__ import annotations

import math
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from ..runs import Run
from .averaging import Model, WeightAverage, share_gradients, share_start
from .batches import DrawBatch, DrawnCrop, Prefetcher, collate
from .learner import keep_statistics, layer_rate, parameter_groups
from .memory import is_out_of_memory
from .objective import Objective, detection_loss, set_progress
from .place import place
from .processes import share_object
from .settings import Plan
from .watch import Watch

#: What decides which weights are the best, unless a validation says otherwise.
FITNESS = "map50"


@dataclass(frozen=True)
class Validation:
    """Scores the averaged model while it is trained, and stops it when they no longer rise.

    The plan says how often; the last step is scored as well.

    Attributes:
        score: averaged model -> figures; the one named ``fitness`` is to rise.
        keep: is given the model and its scores whenever it is the best so far.
        patience: scorings without a better one after which training ends; 0 for never.
        fitness: which figure decides.
    """

    score: Callable[[Any], Mapping[str, float]]
    keep: Callable[[Any, Mapping[str, float]], None]
    patience: int
    fitness: str = FITNESS


class _StopRequest:
    """Turns SIGTERM and SIGINT into a checkpoint at the end of the step."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self.asked = True


class _State:
    """What a checkpoint holds: weights, their average, the optimiser, the step, the best."""

    def __init__(self, model: torch.nn.Module, plan: Plan, run: Run) -> None:
        self.model, self.plan, self.run = model, plan, run
        c = plan.config
        here = place()
        self.rank = here.rank
        groups = parameter_groups(model, c.weight_decay, layer_rate(model, c.rates))
        self.optimiser = torch.optim.AdamW(groups, lr=c.lr0, betas=(c.momentum, 0.999))
        self.averaged = WeightAverage(model, c.ema)
        self.device = next(model.parameters()).device
        self.autocast = short_float(self.device) if c.amp else None
        half = self.autocast is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.step = self.validated = 0
        self._spent, self._began = 0.0, time.monotonic()
        self.chunk = math.ceil(plan.batch / here.processes)  # images a pass in this process
        self.best, self.waited = -math.inf, 0
        self.saved = time.monotonic()

    def restore(self) -> bool:
        """Take the run's checkpoint, if there is one; the leader's, in all processes."""
        state = share_object(self.run.load() if self.rank == 0 else None)
        if state is None:
            if dist.is_initialized():
                share_start(self.model)
                share_start(self.averaged.model)
            return False
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["ema"])
        self.averaged.updates = state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.chunk = state["step"], state["chunk"]
        self.best, self.waited = state["best"], state["waited"]
        self.validated, self._spent = state["validated"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        self.run.save(
            {
                "model": self.model.state_dict(),
                "ema": self.averaged.model.state_dict(),
                "updates": self.averaged.updates,
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "step": self.step,
                "chunk": self.chunk,
                "best": self.best,
                "waited": self.waited,
                "validated": self.validated,
                "seconds": self.seconds,
            }
        )
        self.saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been trained, earlier parts of the run included."""
        return self._spent + time.monotonic() - self._began

    def part(self) -> float:
        """How much of the training is done, 0..1."""
        return self.plan.part(self.step, self.seconds)

    def begin_step(self, part: float) -> float:
        """Set what depends on the step and the part that is done; returns the learning rate."""
        rate = self.plan.rate(self.step, part)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        set_progress(self.model, part)
        # So that a model that draws (dropout) draws the same in a run that was resumed.
        torch.manual_seed((self.plan.config.seed * 1_000_003 + self.step) * 64 + self.rank)
        return rate

    def given_up(self, validation: Validation | None) -> bool:
        """Whether the scores have not risen for too long."""
        return validation is not None and 0 < validation.patience <= self.waited


def short_float(device: torch.device) -> torch.dtype | None:
    """The short float type for autocast: bfloat16 where it exists, which needs no scaling.

    Returns:
        None on a CPU without bfloat16 instructions: oneDNN then emulates it, and a step takes
        eight times as long as in float32 (AVX2, measured).
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and not _cpu_has_bfloat16():
        return None
    return torch.bfloat16


def _cpu_has_bfloat16() -> bool:
    if platform.machine() in {"aarch64", "arm64"}:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def train(
    model: Model,
    draw: DrawBatch,
    plan: Plan,
    run: Run,
    *,
    objective: Objective | None = None,
    validation: Validation | None = None,
    title: str | None = None,
) -> Model | None:
    """Train until the plan's steps are done, going on from the run's checkpoint if it has one.

    Args:
        model: trained in place, on the device it is on.
        draw: step number -> this process's crops of the step, all of its forward passes'
            together; must depend on the step alone.
        plan: how long, in what portions, with which optimiser.
        run: where the log and checkpoints go.
        objective: what is minimised; by default the detection loss of the model itself.
        validation: how to tell which weights are the best; without it the last ones are.
        title: what the progress bar says; by default the run's name.

    Returns:
        The averaged model, in eval mode; None in a process that only helps, and if the run
        was asked to stop before its end.
    """
    config = plan.config
    model.to(memory_format=torch.channels_last).train()
    if config.keep_statistics:
        keep_statistics(model)
    state = _State(model, plan, run)
    resumed = state.restore()
    objective = objective or partial(detection_loss, autocast=state.autocast)
    ahead = Prefetcher(draw, sys.maxsize if plan.steps is None else plan.steps, config.workers)
    try:
        if state.rank > 0:
            while (part := share_object(None)) is not None:
                _step(state, ahead(state.step), part, objective)
                state.step += 1
            return None
        stop = _StopRequest()
        with stop, Watch(run, title or config.name, plan.steps, state.step) as watch:
            if resumed:
                watch.say(f"going on from step {state.step}")
            _lead(state, ahead, objective, validation, watch, stop)
            share_object(None)
            if validation and state.part() >= 1 and state.validated < state.step:
                _validate(state, validation, watch)
            state.save()
            if stop.asked and state.part() < 1 and not state.given_up(validation):
                watch.say(f"stopped after {state.step} steps; the same command resumes it")
                return None
    finally:
        ahead.close()
    return state.averaged.model


def _lead(
    state: _State,
    ahead: Prefetcher,
    objective: Objective,
    validation: Validation | None,
    watch: Watch,
    stop: _StopRequest,
) -> None:
    """The steps of the leading process."""
    first, started, plan = state.step, time.monotonic(), state.plan
    while (part := state.part()) < 1 and not stop.asked and not state.given_up(validation):
        step = state.step
        share_object(part)
        row = _step(state, ahead(step), part, objective, watch)
        state.step += 1
        row["s_per_step"] = round((time.monotonic() - started) / (state.step - first), 3)
        watch.step(step, row)
        if validation and state.step % plan.validate_every == 0:
            _validate(state, validation, watch)
        if time.monotonic() - state.saved > plan.config.checkpoint_seconds:
            state.save()


def _validate(state: _State, validation: Validation, watch: Watch) -> None:
    scores = dict(validation.score(state.averaged.model))
    state.validated = state.step
    watch.scores(state.step, scores)
    if scores[validation.fitness] > state.best:
        state.best, state.waited = scores[validation.fitness], 0
        validation.keep(state.averaged.model, {**scores, "step": state.step})
    else:
        state.waited += 1
        if state.given_up(validation):
            watch.say(
                f"ended after step {state.step}: {validation.fitness} has not risen in "
                f"{state.waited} scorings"
            )


def _step(
    state: _State,
    crops: Sequence[DrawnCrop],
    part: float,
    objective: Objective,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """One update of the weights; returns what the log says about it."""
    rate = state.begin_step(part)
    items = _gradients(state, crops, objective, watch)
    if dist.is_initialized():
        share_gradients(state.model)
    state.scaler.unscale_(state.optimiser)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), state.plan.config.clip_norm)
    finite = bool(torch.isfinite(norm))
    if finite or state.scaler.is_enabled():
        state.scaler.step(state.optimiser)  # leaves the weights alone where it scaled too far
        state.scaler.update()
    if not finite:
        return {"skipped": "the gradient is not finite"}
    state.averaged.update(state.model)
    row = {k: round(v, 4) for k, v in items.items()}
    return row | {"norm": round(float(norm), 2), "lr": rate}


def _gradients(
    state: _State, crops: Sequence[DrawnCrop], objective: Objective, watch: Watch | None
) -> dict[str, float]:
    """Sum the gradients of a step's crops, in as many forward passes as memory asks for.

    Where memory runs out the pass is halved, the number of passes doubled, and the step
    begun again: the crops of a step, and so the schedule, stay what they are.
    """
    while True:
        try:
            return _accumulate(state, crops, objective)
        except Exception as error:
            if not is_out_of_memory(error) or state.chunk == 1:
                raise
        # Outside of the handler, whose traceback keeps the failed pass in memory.
        state.chunk = math.ceil(state.chunk / 2)
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        passes = math.ceil(len(crops) / state.chunk)
        said = (
            f"out of memory at step {state.step}: from now on {state.chunk} images a "
            f"forward pass, {passes} passes a step"
        )
        if watch is None:
            sys.stderr.write(f"process {state.rank}: {said}\n")
        else:
            watch.say(said)


def _accumulate(
    state: _State, crops: Sequence[DrawnCrop], objective: Objective
) -> dict[str, float]:
    state.optimiser.zero_grad(set_to_none=True)
    totals: dict[str, float] = {}
    for start in range(0, len(crops), state.chunk):
        part = crops[start : start + state.chunk]
        share = len(part) / len(crops)
        loss, items = objective(state.model, collate(part, state.device))
        # Of the whole step, to which other processes add theirs.
        state.scaler.scale(loss * (len(part) / state.plan.images)).backward()
        for name, value in items.items():
            totals[name] = totals.get(name, 0.0) + float(value) * share
    return totals
