"""What a person sees when a command ends, and its exit status."""

import os

import pytest

from windhover.command_line import INTERRUPTED, print_error, run_command
from windhover.errors import ConfigError, RestartRequiredError


class RefusalError(Exception):
    """Stands for Click's UsageError, of whichever Click Typer brings."""

    def __init__(self, message):
        self.message = message

    def format_message(self):
        return self.message


class NoArgsIsHelpError(RefusalError):
    """What Click raises for a command that was given nothing."""


def ending(error):
    def command(args, prog_name, standalone_mode):
        assert not standalone_mode
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (ConfigError("rate is 7;\n  use 0 to 5"), 2, "error: rate is 7; use 0 to 5\n"),
        (
            RestartRequiredError("the detector stands still"),
            3,
            "error: the detector stands still\n",
        ),
        (RefusalError("No such option: --rat"), 2, "error: No such option: --rat\n"),
        (RefusalError(""), 2, ""),
        (
            NoArgsIsHelpError("Usage: windhover\n\n  Frames in."),
            2,
            "Usage: windhover\n\n  Frames in.\n",
        ),
        (KeyboardInterrupt(), INTERRUPTED, ""),
    ],
)
def test_an_error_ends_a_command_with_one_line_and_a_status(capsys, error, status, printed):
    assert run_command(ending(error), [], "windhover") == status
    assert capsys.readouterr().err == printed


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(ending(ZeroDivisionError()), [], "windhover")


def test_a_command_gets_its_arguments_and_gives_its_status():
    def command(args, prog_name, standalone_mode):
        assert (args, prog_name) == (["a", "b"], "windhover")
        return 1

    assert run_command(command, ("a", "b"), "windhover") == 1
    assert run_command(lambda **_: None, (), "windhover") == 0


def test_a_closed_pipe_is_no_error(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)

        def command(**_):
            os.write(write, b"x")

        assert run_command(command, (), "windhover") == 0
        # What is still buffered when the process ends has somewhere to go.
        stream.write("y")
        stream.flush()


def test_an_error_is_printed_in_one_line(capsys):
    assert print_error("two\n lines", 3) == 3
    assert capsys.readouterr().err == "error: two lines\n"
