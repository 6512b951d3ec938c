"""Flight code runs no code out of a file, as its source shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"

# These read objects from files by running what the file says.
FORBIDDEN_MODULES = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
)
FORBIDDEN_NAMES = frozenset({"eval", "exec", "compile", "__import__"})
FORBIDDEN_CALLS = frozenset(
    {
        "os.system", "os.popen", "torch.load", "pandas.read_pickle",
        "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
        "yaml.load_all",
    }
)  # fmt: skip
FORBIDDEN_ATTRIBUTES = frozenset(
    {"UnsafeLoader", "FullLoader", "UnsafeConstructor", "FullConstructor", "CUnsafeLoader"}
)


def flight_files() -> list[Path]:
    return sorted(p for p in SOURCE.glob("*/windhover*/**/*.py") if "tests" not in p.parts)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute or name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def imported(tree: ast.AST) -> dict[str, str]:
    """Local name to the full one, of every import in a file."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def safe_loaders(tree: ast.AST, names: dict[str, str]) -> set[str]:
    """Loaders that build plain values only: PyYAML's safe ones and classes made of them."""
    safe = {"yaml.SafeLoader", "yaml.CSafeLoader"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(full(b, names) in safe for b in node.bases):
            safe.add(node.name)
    return safe


def full(node: ast.AST, names: dict[str, str]) -> str:
    first, dot, rest = dotted(node).partition(".")
    return names.get(first, first) + dot + rest


def dangers(text: str) -> Iterator[str]:
    """Line and name of everything in a file that runs, or may run, what a file holds."""
    tree = ast.parse(text)
    names = imported(tree)
    safe = safe_loaders(tree, names)
    for name in names.values():
        if name.partition(".")[0] in FORBIDDEN_MODULES:
            yield f"import of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = full(node, names)
            if name.rpartition(".")[2] in FORBIDDEN_ATTRIBUTES:
                yield f"line {node.lineno}: {name}"
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {what}" for what in call_dangers(node, names, safe))


def call_dangers(node: ast.Call, names: dict[str, str], safe: set[str]) -> Iterator[str]:
    name = full(node.func, names)
    if name in FORBIDDEN_NAMES | FORBIDDEN_CALLS:
        yield f"{name}()"
    if name == "yaml.load":
        loaders = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "Loader")]
        if not loaders or full(loaders[0], names) not in safe:
            yield "yaml.load() without a safe loader"
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
        if keyword.arg in {"allow_pickle", "shell"} and not off:
            yield f"{name}({keyword.arg}=...)"


def test_no_flight_code_runs_what_a_file_holds() -> None:
    files = flight_files()
    assert len(files) > 100
    found = [
        f"{path.relative_to(SOURCE)}: {danger}"
        for path in files
        for danger in dangers(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import torch.nn as nn",
        "from joblib import load",
        "def f():\n    from marshal import loads",
        "eval('1')",
        "exec(x)",
        "import numpy as np\nnp.load('a.npy', allow_pickle=True)",
        "import numpy as np\nnp.load('a.npy', allow_pickle=given)",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "import yaml\nyaml.load(text, Loader=yaml.FullLoader)",
        "import yaml as y\ny.unsafe_load(text)",
        "from yaml import unsafe_load as load\nload(text)",
        "import yaml\nclass L(yaml.Loader): ...\nyaml.load(text, Loader=L)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import os\nos.system('ls')",
    ],
)
def test_each_danger_is_seen(text: str) -> None:
    assert list(dangers(text))


@pytest.mark.parametrize(
    "text",
    [
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nclass L(yaml.SafeLoader): ...\nyaml.load(text, Loader=L)",
        "import numpy as np\nnp.load('a.npy', allow_pickle=False)",
        "import re\nre.compile('a')",
        "session.eval()",
    ],
)
def test_what_is_safe_passes(text: str) -> None:
    assert not list(dangers(text))
