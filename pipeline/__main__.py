"""Run one tool of segdistill: everything that is not a stage of dvc.yaml.

Run a command in the folder of its profile, or name the profile with --profile.
"""

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pipeline.cli import run_command
from pipeline.errors import ArtifactError, ParamsError
from segdistill_runtime.verify import Refused

ROOT = Path(__file__).parents[1]
PROFILES = ROOT / "profiles"

COMMANDS = {
    "stages": "pipeline.dvc_file",
    "doctor": "pipeline.doctor",
    "plan": "pipeline.plan.command",
    "compare": "pipeline.comparison.compare",
    "inspect": "pipeline.inspection.command",
    "predict": "segdistill_runtime.predict",
    "pack": "pipeline.deploy.archive",
    "compare-releases": "pipeline.compare_releases",
    "publish": "pipeline.versions.publish",
    "fetch": "pipeline.versions.fetch",
    "check-store": "pipeline.versions.check_store",
    "repro": "pipeline.repro",
    "recover": "pipeline.versions.recover",
    "signing-key": "pipeline.deploy.signing",
    "link-data": "pipeline.link_data",
    "licenses": "pipeline.licenses",
    "audit": "pipeline.audit",
    "bench bundle": "benchmarks.bundle",
    "bench curation": "benchmarks.curation",
    "bench data": "benchmarks.data",
    "bench determinism": "benchmarks.determinism",
    "bench gpu": "benchmarks.gpu",
    "bench growth": "benchmarks.growth",
    "bench mistakes": "benchmarks.mistakes",
    "bench rivals": "benchmarks.rivals",
    "bench shifts": "benchmarks.shifts",
    "bench slot": "benchmarks.slot",
    "bench train": "benchmarks.train",
}
"""Each names a module with `run(arguments)`, and `add_arguments(parser)` if it takes any; its docstring is the help."""

IN_PROFILE = {
    "stages", "plan", "repro", "compare", "inspect", "compare-releases", "publish", "recover", "link-data",
    "bench data", "bench mistakes", "bench shifts", "bench slot",
}  # fmt: skip
"""These commands read or write files of a profile, so they take --profile."""
PROFILE = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
PROFILE.add_argument("--profile", help="a folder in profiles/, or any with a params.yaml (default: this folder)")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Show docstrings as they are and end each option's help with its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        known = action.default in (None, False, argparse.SUPPRESS) or not action.option_strings or "default" in said
        return said if known else f"{said} (default: %(default)s)"


def main(words: Sequence[str]) -> None:
    """Run the command that the first one or two words name."""
    name = next((name for name in (" ".join(words[:2]), *words[:1]) if name in COMMANDS), None)
    if name is None:
        asked = [word for word in words if not word.startswith("-")]
        print(f"{__doc__}\nusage: python -m pipeline COMMAND [--help] ...\n\n{overview(asked[:1])}")
        sys.exit(f"\nThere is no command {' '.join(asked)!r}." if asked and asked != ["bench"] else 0)
    parser, module = parser_of(name)
    rest = words[len(name.split()) :]
    profile, rest = PROFILE.parse_known_args(rest) if name in IN_PROFILE else (argparse.Namespace(profile=None), rest)
    arguments = parser.parse_args(rest)
    _put_first("PYTHONPATH", ROOT)  # for the processes that a command starts
    _put_first("PATH", Path(sys.executable).parent)  # dvc, without `source .venv/bin/activate`
    if profile.profile:
        for argument, value in vars(arguments).items():
            # Paths are relative to the current folder, not to the profile's.
            if isinstance(value, Path):
                setattr(arguments, argument, value.absolute())
            elif isinstance(value, list):
                setattr(arguments, argument, [v.absolute() if isinstance(v, Path) else v for v in value])
        os.chdir(profile_folder(profile.profile))
    try:
        module.run(arguments)
    except Refused as refusal:
        raise ArtifactError(str(refusal)) from refusal


def _put_first(variable: str, folder: Path) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


def parser_of(name: str) -> tuple[argparse.ArgumentParser, ModuleType]:
    """Import a command's module, and return its parser and the module."""
    module = importlib.import_module(COMMANDS[name])
    parents = [PROFILE] if name in IN_PROFILE else []  # for its help; main reads the option at any position
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline {name}", description=module.__doc__, formatter_class=HelpFormatter, parents=parents,
        allow_abbrev=False,
    )  # fmt: skip
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    return parser, module


def profile_folder(named: str) -> Path:
    """Find a profile by its name in profiles/, or by its folder; otherwise raise ParamsError with the known names."""
    for folder in (PROFILES / named, Path(named)):
        if (folder / "params.yaml").is_file():
            return folder
    known = ", ".join(sorted(path.parent.name for path in PROFILES.glob("*/params.yaml")))
    raise ParamsError(f"there is no profile {named!r}; name a folder with a params.yaml, or one of {known}")


def overview(first_words: Sequence[str]) -> str:
    """List the commands with the first line of their docstrings, which are read without importing anything."""
    lines = []
    for name in [name for name in COMMANDS if name.split()[0] in first_words] or COMMANDS:
        source = ROOT.joinpath(*COMMANDS[name].split(".")).with_suffix(".py").read_text(encoding="utf-8")
        summary, *_ = (ast.get_docstring(ast.parse(source)) or "").split("\n")
        lines.append(f"  {name:<18} {summary}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
