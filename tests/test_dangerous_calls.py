"""Nothing here runs what a file says: the syntax trees of all code are searched for calls that would."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.code_digest import PACKAGES, ROOT

SOURCES = sorted(path for package in (*PACKAGES, "benchmarks") for path in (ROOT / package).rglob("*.py"))

MODULES = {
    "pickle": "runs code from the file that it reads",
    "cPickle": "runs code from the file that it reads",
    "dill": "runs code from the file that it reads",
    "joblib": "unpickles",
    "marshal": "crashes on bytes that it does not know",
    "shelve": "unpickles",
    "yaml": "use ruamel.yaml, typ='safe' and pure",
}
CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "compile": "makes code of text",  # a method of that name is another thing
    "torch.load": "unpickles: use safetensors",
    "torch.jit.load": "runs code from the file",
    "np.load": "give allow_pickle=False, or mmap_mode, which never unpickles",
    "os.system": "a shell reads the text: use subprocess.run with a list",
    "os.popen": "a shell reads the text: use subprocess.run with a list",
    "shutil.unpack_archive": "writes wherever the archive says, and as much",
    "tempfile.mktemp": "somebody else may make the file first",
}
METHODS = {"extractall": "writes wherever the archive says, and as much", "extract": "of an archive: no limit"}
SAFE = {"np.load": ("allow_pickle", "mmap_mode")}


def dangers(tree: ast.AST) -> Iterator[str]:
    """What of the code could run, or be made to write, what a file says: line and reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if reason := MODULES.get(name.partition(".")[0]):
                    yield f"line {node.lineno}: import {name}: {reason}"
        if isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    allowed = any(options.get(option) not in (None, "True", "None") for option in SAFE.get(name, ()))
    if name in CALLS and not allowed:
        yield f"line {call.lineno}: {name}: {CALLS[name]}"
    if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS:
        yield f"line {call.lineno}: .{call.func.attr}: {METHODS[call.func.attr]}"
    if options.get("shell") == "True":
        yield f"line {call.lineno}: {name}: a shell reads the text: give a list"
    if name == "YAML" and options.get("typ") not in ("'safe'", "'rt'"):
        yield f"line {call.lineno}: YAML: say typ='safe' (or 'rt'): others build objects that the text names"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_runs_what_a_file_says(path: Path) -> None:
    assert not list(dangers(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import load",
        "import yaml",
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "archive.extractall(folder)",
        "subprocess.run(text, shell=True)",
        "YAML().load(text)",
        "YAML(typ='unsafe').load(text)",
        "def f():\n    os.system(text)",
    ],
)
def test_what_is_dangerous_is_found(code: str) -> None:
    assert list(dangers(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "np.load(path, allow_pickle=False)",
        "np.load(path, mmap_mode='r')",
        "ast.literal_eval(text)",
        "network.eval()",
        "network.compile(dynamic=False)",
        "re.compile(text)",
        "subprocess.run([program], check=True)",
        "YAML(typ='safe', pure=True)",
    ],
)
def test_what_is_harmless_is_not(code: str) -> None:
    assert not list(dangers(ast.parse(code)))
