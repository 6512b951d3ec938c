"""The command line: one line and status 2 for a mistake, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

from tests.support.documented import command_lines, wrong_lines
from windhover_training.chain import Step
from windhover_training.cli import app, main

pytestmark = pytest.mark.train_env


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "can't be read"),
        ("name: [", "is not YAML"),
        ("- 1", "the whole file"),
        ("name: a\nlabels: [x]\nspeed: 3", "correct it"),
    ],
)
def test_a_bad_config_is_one_line_and_status_2(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    if text is not None:
        config.write_text(text)
    assert main(["train", "detector", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert str(config) in error


def test_an_unknown_command_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "thermal-x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_command_line_of_the_manual_is_one_that_windhover_train_takes() -> None:
    root = Path(__file__).parents[2]
    manual = [page for page in (root / "docs").rglob("*.md") if "results" not in page.parts]
    pages = [root / "README.md", root / "training/README.md", *manual, *root.glob("models/*/*.md")]
    lines = [line for page in pages for line in command_lines(page, ["windhover-train", "$T"])]
    assert len(lines) > 80
    assert wrong_lines(app, lines) == []


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (["data", "render"], "data render-thermal"),
        (["data", "synth"], "data render-rgbt"),
        (["train", "thermal-n"], "train detector"),
    ],
)
def test_a_command_is_taken_by_its_former_name_with_a_line_that_says_the_new_one(
    former: list[str], now: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*former, "--help"]) == 0
    shown = capsys.readouterr()
    assert f"is now 'windhover-train {now}'" in shown.err
    assert shown.err.count("\n") == 1
    assert now in shown.out


def test_a_chain_takes_a_phase_by_its_former_name(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step(name="a", phase="thermal-n", config=Path("c.yaml"))
    assert step.phase == "detector"
    assert "is now 'detector'" in capsys.readouterr().err
