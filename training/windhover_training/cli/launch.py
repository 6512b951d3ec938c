"""Starts a phase in several processes, by torchrun.

What torchrun would say of a process that failed is pages; here it is the line that the process
itself would have ended with.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields

from windhover.errors import ConfigError, DataError, WindhoverError

from ..engine.place import PeerError, place

#: Set in processes that this module starts: they leave their last line to it.
_STARTED = "WINDHOVER_TRAIN_STARTED"
#: Seconds that processes have to end their step when they are asked to stop.
_LAST_STEP_S = 120


@dataclass(frozen=True)
class Launch:
    """Options of torchrun, by its names; None leaves one out.

    Attributes:
        nproc_per_node: processes on this machine: a number, or gpu for one a GPU.
        nnodes: machines.
        node_rank: of this machine.
        master_addr: where machine 0 is reached.
        master_port: and on which port.
        rdzv_backend: how machines find one another otherwise.
        rdzv_endpoint: and where.
        rdzv_id: the same for all machines of a run.
    """

    nproc_per_node: str
    nnodes: str | None = None
    node_rank: int | None = None
    master_addr: str | None = None
    master_port: int | None = None
    rdzv_backend: str | None = None
    rdzv_endpoint: str | None = None
    rdzv_id: str | None = None

    def arguments(self) -> list[str]:
        """The options of torchrun's command line."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return [
            f"--{name.replace('_', '-')}={value}"
            for name, value in given.items()
            if value is not None
        ]


def run_launched(launch: Launch, command: Sequence[str]) -> None:
    """Run a command of ``windhover-train`` in several processes, to its end.

    Args:
        launch: how many, and where.
        command: with its arguments.

    Raises:
        ConfigError: torchrun can't start them so, or what one of them said.
        DataError: one ended without a word.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if place().processes > 1:
        raise ConfigError("torchrun has started this process; leave --nproc-per-node out")
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    parser = torchrun.get_args_parser()
    options = [*launch.arguments(), f"--shutdown-timeout={_LAST_STEP_S}"]
    # Behind the dashes --run is ours, and no beginning of torchrun's --run-path.
    arguments = parser.parse_args([*options, "-m", "--", "windhover_training.cli", *command])
    before = dict(os.environ)
    os.environ |= {_STARTED: "1", "OMP_NUM_THREADS": before.get("OMP_NUM_THREADS", "1")}
    try:
        torchrun.run(arguments)
    except SignalException:
        return  # the leader has said that it stopped
    except ChildFailedError as failed:
        raise _reason(failed.failures) from None
    except (ValueError, OSError, RuntimeError) as error:
        raise ConfigError(f"torchrun can't start the processes: {error}") from error
    finally:
        os.environ.clear()
        os.environ.update(before)


def say_last(error: WindhoverError) -> None:
    """Leave an error to the process that started this one, if it did, and end.

    Raises:
        SystemExit: in a process of :func:`run_launched`.
    """
    from torch.distributed.elastic.multiprocessing.errors import ErrorHandler

    if _STARTED in os.environ and place().processes > 1:
        ErrorHandler().record_exception(error)
        sys.exit(error.exit_status)


def _reason(failures: dict[int, object]) -> WindhoverError:
    """What the first process that failed said; not what those say that lost it."""
    said: dict[int, str] = {}
    for rank, failure in failures.items():
        data = getattr(failure, "error_file_data", {}).get("message", {})
        if isinstance(data, dict) and "message" in data:
            kind, _, text = str(data["message"]).partition(": ")
            if kind != PeerError.__name__:
                said[rank] = text
    if said:
        return ConfigError(said[min(said)])
    rank, failure = min(failures.items())
    return DataError(
        f"process {rank} ended (status {getattr(failure, 'exitcode', '?')}) and said no reason "
        "that is known here; what it wrote is above"
    )
