"""The manual and the README: what they link to, quote and count is so."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.support.documented import command_lines, wrong_lines
from tools.docs_pages import newest
from tools.release_targets import rows
from windhover.plain_yaml import read_yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "raw" not in path.parts)
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]


def texts_of_the_code():
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


def test_every_message_that_is_explained_is_one_that_the_code_prints():
    texts = texts_of_the_code()
    page = (ROOT / "docs/reference/messages.md").read_text()
    quoted = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert len(quoted) > 15
    missing = [message for message in quoted if not any(message in text for text in texts)]
    assert missing == []


@pytest.mark.parametrize("page", [*TOP, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page):
    text = re.sub(r"(?s)```.*?```", "", page.read_text())
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), f"{page.name} links to {target}"


def anchors(text):
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    found = set(re.findall(r"\{ #([\w-]+) \}", text))
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        plain = re.sub(r"[^\w\s-]", "", heading.lower())
        found.add(re.sub(r"[\s]+", "-", plain.strip()))
    return found


def test_every_command_line_of_the_manual_is_one_that_windhover_takes():
    from windhover_bringup.cli import app

    pages = [page for page in [*TOP, *PAGES] if page.name != "CHANGELOG.md"]
    lines = [line for page in pages for line in command_lines(page, ["windhover"])]
    assert len(lines) > 60
    assert wrong_lines(app, lines) == []


def test_every_make_target_that_is_named_is_one():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for page in [*TOP, *PAGES]:
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets, page


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_every_figure_of_the_readme_stands_in_the_json_beside_it():
    section = README.partition("## Results")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "JSON" in line]
    assert len(rows) == 8
    for row in rows:
        _, result, link = (cell.strip() for cell in row.strip("|").split("|"))
        text = (ROOT / re.search(r"\(([^)]+)\)", link)[1]).read_text()
        for figure in re.findall(r"\d+\.\d+", result):
            assert figure in text, f"{figure} of {row!r}"


@pytest.mark.parametrize("path", sorted((ROOT / "bench/results").glob("*/*.json")), ids=str)
def test_results_name_command_machine_and_commit(path):
    table = json.loads(path.read_text())
    assert table["format"] == "windhover-table/1"
    assert all(table[key] for key in ("title", "command", "machine", "commit", "release"))
    assert all(len(row) == len(table["columns"]) for row in table["rows"])


@pytest.mark.ros
def test_generated_pages_are_what_the_code_says():
    pytest.importorskip("rclpy")
    from tools.docs_pages import pages

    stale = [
        str(path.relative_to(ROOT))
        for path, text in pages().items()
        if not path.is_file() or path.read_text() != text
    ]
    assert stale == [], "run 'python -m tools.docs_pages'"


@pytest.mark.parametrize("model", ["rgbt-n", "rgbt-n-1920"])
def test_the_table_of_targets_has_the_figures_of_the_released_model(model):
    table = json.loads(newest(f"release-targets-{model}").read_text())
    bundle = read_yaml(ROOT / f"models/{model}/bundle.yaml")
    now = [[asked, value, said] for asked, _, value, said in rows(bundle["provenance"], None)]
    assert table["columns"][2] == f"{bundle['name']} {bundle['version']}"
    assert [[asked, value, said] for asked, _, value, said in table["rows"][:-1]] == now


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES}
