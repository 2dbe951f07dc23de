"""Every notebook runs from top to bottom in a kernel of its own, without a word on stderr."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
TIMEOUT_SECONDS = 900
SLOW = ("02_your_own_data", "03_merging_sources", "05_validation", "06_scenarios")
"""Notebooks that fit so many models, or for so long, that only `make test-all` runs them."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


class ThisInterpreter(AsyncKernelManager):
    """Starts the interpreter that runs the tests, whatever kernels the user has installed."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def left_over(notebook: NotebookNode) -> list[str]:
    """Return the cells that hold what a run leaves behind."""
    return [c.id for c in code_cells(notebook) if c.outputs or c.execution_count or c.metadata]


def definitions(notebook: NotebookNode) -> Iterator[str]:
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, DEFINITIONS):
                yield f"{cell.id}: {type(node).__name__}"


def imported(notebook: NotebookNode) -> set[str]:
    trees = [ast.parse(cell.source) for cell in code_cells(notebook)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run a notebook in a fresh kernel, without the user's own start-up files."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_SECONDS,
        kernel_manager_class=ThisInterpreter,
        resources={"metadata": {"path": str(folder)}},
    )
    home = {"IPYTHONDIR": str(folder / ".ipython"), "JUPYTER_CONFIG_DIR": str(folder / ".jupyter")}
    return client.execute(env={**os.environ, **home})


def complaints(notebook: NotebookNode) -> list[str]:
    return [
        output.text
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]


def notebook_of(*sources: str) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def test_notebooks_are_numbered_without_gaps() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == [
        f"{k:02d}_" for k in range(1, len(NOTEBOOKS) + 1)
    ]
    assert len(NOTEBOOKS) >= 2


@each_notebook
def test_outputs_are_stripped(path: Path) -> None:
    assert left_over(read(path)) == []


@each_notebook
def test_notebooks_use_flowcast_and_define_nothing(path: Path) -> None:
    notebook = read(path)
    assert "flowcast" in imported(notebook)
    assert list(definitions(notebook)) == []


@each_notebook
def test_a_notebook_names_no_private_part_of_flowcast(path: Path) -> None:
    inner = [name for name in imported(read(path)) if name.startswith("flowcast.")]
    assert inner == []


@each_notebook
def test_a_notebook_tells_before_it_computes(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {int(path.stem[:2])}. ")


@pytest.mark.notebook
@pytest.mark.statistical
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in NOTEBOOKS
    ],
)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    done = execute(read(path), tmp_path)
    assert complaints(done) == []
    pictures = [o for c in code_cells(done) for o in c.outputs if "image/png" in o.get("data", {})]
    assert pictures
    assert all(picture.metadata["image/png"]["alt"] for picture in pictures)


@pytest.mark.notebook
def test_the_kernel_is_this_interpreter_in_the_folder_given(tmp_path: Path) -> None:
    source = "import os, sys\nprint(sys.executable)\nprint(os.getcwd())"
    (output,) = code_cells(execute(notebook_of(source), tmp_path))[0].outputs
    executable, folder = output.text.split("\n")[:2]
    assert Path(executable) == Path(sys.executable)
    assert Path(folder).resolve() == tmp_path.resolve()


@pytest.mark.notebook
def test_a_warning_and_an_error_are_noticed(tmp_path: Path) -> None:
    warned = execute(notebook_of("import warnings\nwarnings.warn('look out')"), tmp_path)
    assert "look out" in "".join(complaints(warned))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(notebook_of("1 / 0"), tmp_path)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def f():\n    pass", "FunctionDef"),
        ("class A:\n    pass", "ClassDef"),
        ("sorted([1], key=lambda x: x)", "Lambda"),
    ],
)
def test_a_planted_definition_is_found(source: str, kind: str) -> None:
    found = list(definitions(notebook_of("import flowcast as fc", source)))
    assert [name.split(": ")[1] for name in found] == [kind]


def test_planted_outputs_are_found() -> None:
    notebook: Any = notebook_of("1")
    assert left_over(notebook) == []
    notebook.cells[0].execution_count = 1
    assert left_over(notebook) == [notebook.cells[0].id]
