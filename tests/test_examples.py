"""Every example that a reader can paste is run: docstrings, README and documents."""

import ast
import contextlib
import doctest
import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def docstring_examples() -> list[doctest.DocTest]:
    """The examples of all docstrings, found in the source.

    `doctest` would look for them in the imported modules, and pass over compiled functions and methods of
    equinox modules, which are objects there.
    """
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(
                    ".__init__"
                )
                name = f"{module}:{getattr(node, 'name', '')}"
                line = node.body[0].lineno
                found.append(doctest.DocTestParser().get_doctest(text, {}, name, str(path), line))
    return found


def run(example: doctest.DocTest) -> None:
    """Runs an example with the names of its module at hand, which is what doctest promises."""
    example.globs.update(vars(importlib.import_module(example.name.partition(":")[0])))
    example.globs["__name__"] = "__main__"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    failed, _ = runner.run(example, out=said.append)
    assert not failed, "".join(said)


EXAMPLES = docstring_examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_docstring(example: doctest.DocTest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(example)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document(path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run in turn, in one namespace; those with `>>>` show what they print."""
    monkeypatch.chdir(tmp_path)
    text = path.read_text()
    names: dict[str, object] = {"__name__": "__main__"}
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start(1))
        if ">>>" in block[1]:
            example = doctest.DocTestParser().get_doctest(block[1], names, path.name, str(path), line)
            example.globs = names  # get_doctest copies; the next block goes on from here
            said: list[str] = []
            runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
            failed, _ = runner.run(example, out=said.append, clear_globs=False)
            assert not failed, "".join(said)
        else:
            code = compile("\n" * line + block[1], str(path), "exec")
            with contextlib.redirect_stdout(None):
                exec(code, names)


def test_readme_shows_python() -> None:
    assert FENCE.search((ROOT / "README.md").read_text())
