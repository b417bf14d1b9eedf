"""The structure that a person relies on: direction of imports, sizes, names, links, the wheel."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("encoder", "train", "eval", "serve")
FOLDERS = ("videollm", *LINKED)
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60

# What may be imported by the modules of each folder, besides itself.
ALLOWED = {
    "encoder": set(),
    "videollm": {"encoder"},
    "train": {"encoder", "videollm"},
    "eval": {"encoder", "videollm"},
    "serve": {"encoder", "videollm"},
}
ENCODER_PACKAGES = {"torch", "einops", "safetensors", "transformers", "ninja", "triton"}
EXTRA_PACKAGES = {"accelerate", "datasets", "fastapi", "gradio", "matplotlib", "uvicorn"}


def python_files(*folders: str) -> Iterator[Path]:
    """Yield our own Python files once each: linked folders under their real path."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).parts
            if folder == "videollm" and inside[0] in LINKED:
                continue
            yield path


def folder_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def imports_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def forbidden_imports(path: Path, folder: str, source: str) -> list[str]:
    """Return the imports of a file that go against the direction."""
    found = []
    for name, line in imports_of(ast.parse(source)):
        parts = name.split(".")
        if parts[0] in LINKED and (ROOT / parts[0] / "__init__.py").exists():
            found.append(f"{path}:{line} imports {name} past the namespace")
        if parts[0] != "videollm" or len(parts) < 2:
            continue
        target = parts[1] if parts[1] in LINKED else "videollm"
        is_cli = folder == "videollm" and path.stem.startswith("cli")
        if target != folder and target not in ALLOWED[folder] and not is_cli:
            found.append(f"{path}:{line} imports {name}: {folder} must not know {target}")
    return found


def test_imports_follow_the_direction() -> None:
    found = [
        finding
        for path in python_files(*FOLDERS)
        for finding in forbidden_imports(path, folder_of(path), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("encoder", "from videollm.model import VideoLLM"),
        ("videollm", "import videollm.train.data"),
        ("train", "from videollm.eval.runner import run"),
        ("serve", "import encoder.scan"),
    ],
)
def test_a_forbidden_import_is_found(folder: str, source: str) -> None:
    assert len(forbidden_imports(Path("made_up.py"), folder, source)) == 1


def test_the_encoder_needs_few_packages() -> None:
    own = set(sys.stdlib_module_names) | {"videollm"}
    used = {
        name.split(".")[0]
        for path in python_files("encoder")
        for name, _ in imports_of(ast.parse(path.read_text()))
    }
    assert used - own <= ENCODER_PACKAGES


def test_triton_is_imported_only_when_its_scan_runs() -> None:
    found = [
        f"{path}: {name}"
        for path in python_files("encoder")
        if not path.stem.startswith("triton_")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, _ in imports_of(node)
        if name.startswith(("triton", "videollm.encoder.triton_"))
    ]
    assert found == []


def test_the_core_imports_no_extras() -> None:
    used = {
        name.split(".")[0]
        for path in python_files("videollm", "encoder")
        for name, _ in imports_of(ast.parse(path.read_text()))
    }
    assert used & EXTRA_PACKAGES == set()


def test_files_and_functions_are_short() -> None:
    found = []
    for path in python_files(*FOLDERS, "tests", "benchmarks", "scripts"):
        source = path.read_text()
        length = source.count("\n")
        if length > MAX_FILE_LINES:
            found.append(f"{path}: {length} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                span = (node.end_lineno or node.lineno) - node.lineno + 1
                span -= len((ast.get_docstring(node, clean=False) or "").splitlines())
                if span > MAX_FUNCTION_LINES:
                    found.append(f"{path}:{node.lineno} {node.name}: {span} lines")
    assert found == []


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    names = {path.stem for path in python_files(*LINKED, "videollm")} - {"__init__", "__main__"}
    assert names & set(sys.stdlib_module_names) == set()


def test_public_names_are_documented_and_typed() -> None:
    found = []
    for path in python_files(*FOLDERS):
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            found.append(f"{path}: no docstring")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is None:
                found.append(f"{path}:{node.lineno} {node.name}: no return type")
            public = isinstance(node, ast.ClassDef | ast.FunctionDef) and node in tree.body
            if public and any(ast.unparse(mark) == "overload" for mark in node.decorator_list):
                continue
            if public and not node.name.startswith("_") and not ast.get_docstring(node):
                found.append(f"{path}:{node.lineno} {node.name}: no docstring")
    assert found == []


@pytest.mark.parametrize("name", LINKED)
def test_the_namespace_links_to_the_real_folders(name: str) -> None:
    link = ROOT / "videollm" / name
    assert link.is_symlink(), f"{link} is no link: check git's core.symlinks (CONTRIBUTING.md)"
    assert link.readlink() == Path("..") / name


def test_shell_scripts_are_short() -> None:
    for path in (ROOT / "scripts").glob("*.sh"):
        assert path.read_text().count("\n") <= 15, path


def test_help_needs_neither_torch_nor_transformers() -> None:
    check = (
        "import sys\nfrom videollm.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
