"""What the README quotes and names is so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def said():
    """Every text of the code, with … for what is filled in."""
    texts = set()
    for file in ROOT.glob("src/*/*/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                texts.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return texts


def quoted():
    section = README.partition("## Troubleshooting")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [row.split("`")[1] for row in rows]


def test_every_message_that_is_explained_is_one_that_the_code_says():
    texts = said()
    assert len(quoted()) > 15
    for message in quoted():
        assert any(message in text for text in texts), message


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_what_it_links_to_is_there(target):
    assert (ROOT / target).exists()


def test_every_make_target_that_it_names_is_one():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets
