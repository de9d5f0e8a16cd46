"""Versions of released runs: publish them to a DVC remote, fetch them from there; and is what DVC wrote still whole?

A tool, not a stage. All but `fetch` run in the folder of the dvc.yaml, the root or a profile.

publish RUN VERSION    reads artifacts/release/RUN; writes to the remote and, last, the git tag RUN@vVERSION
fetch RUN@VERSION      writes the bundle to --out, whole or not at all; a profile's run is profiles/NAME:RUN@VERSION
check                  hashes every object of DVC's cache and, with --remote, of a remote; names the damaged ones
recover                removes what DVC was writing when it was killed, which no dvc command can read
"""

import argparse
from pathlib import Path

from pipeline.deploy.bundle.verify import KEY_VARIABLE, given_key
from pipeline.door import run_command
from pipeline.versions.check import check
from pipeline.versions.fetch import fetch
from pipeline.versions.publish import publish
from pipeline.versions.recovery import recover
from pipeline.versions.store import damaged

DEFAULT_REMOTE = ""


def main() -> None:
    arguments = _arguments()
    arguments.act(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tools = parser.add_subparsers(required=True)
    key_help = f"PEM file that the signature must fit (default: the environment variable {KEY_VARIABLE})"
    remote_help = "name of a DVC remote (default: the project's default)"

    publishing = tools.add_parser("publish", help="give a released run a version")
    publishing.add_argument("run", help="a key of `runs` in params.yaml")
    publishing.add_argument("version", help="MAJOR.MINOR.PATCH")
    publishing.add_argument("--remote", default=DEFAULT_REMOTE, help=remote_help)
    publishing.add_argument("--public-key", type=Path, help=key_help)
    publishing.set_defaults(act=_publish)

    fetching = tools.add_parser("fetch", help="get a version and verify it")
    fetching.add_argument("version", metavar="NAME@VERSION", help="for example pspnet_r18_gdd@1.0.0")
    fetching.add_argument("--out", type=Path, required=True, help="folder for the bundle; must not exist")
    fetching.add_argument("--repo", default=".", help="the project: a folder, or what git can clone (.)")
    fetching.add_argument("--remote", default=DEFAULT_REMOTE, help=remote_help)
    fetching.add_argument("--public-key", type=Path, help=key_help)
    fetching.set_defaults(act=_fetch)

    checking = tools.add_parser("check", help="find damaged objects and name them")
    checking.add_argument("--remote", nargs="?", const=DEFAULT_REMOTE, help="look through a remote too; " + remote_help)
    checking.set_defaults(act=_check)

    recovering = tools.add_parser("recover", help="remove what DVC was writing when it was killed")
    recovering.set_defaults(act=_recover)
    return parser.parse_args()


def _publish(asked: argparse.Namespace) -> None:
    done = publish(asked.run, asked.version, asked.remote, given_key(asked.public_key), Path.cwd())
    print(done.verified)
    print(
        f"published {done.name}: {done.objects} objects are intact in remote {done.remote}, {done.uploaded} are new\n"
        f"hand it out with: git push origin {done.name.tag}"
    )


def _fetch(asked: argparse.Namespace) -> None:
    done = fetch(asked.version, asked.repo, asked.remote, given_key(asked.public_key), asked.out)
    print(done.verified)
    print(f"fetched {done.name}: {done.files} files in {done.out}")


def _check(asked: argparse.Namespace) -> None:
    found = check(Path.cwd(), asked.remote)
    for reason in found.unreadable:
        print(f"not looked at: {reason}")
    for store in found.stores:
        print(f"{store.store}: {store.objects} objects, {len(store.damages)} damaged or missing")
    damages = [damage for store in found.stores for damage in store.damages]
    if damages:
        raise damaged(
            damages,
            advice="In the cache: delete each with its file in the workspace, then `dvc pull`, or `dvc repro --force` "
            "its stage. In a remote: delete each there, then `dvc push` from where the cache is intact",
        )


def _recover(_: argparse.Namespace) -> None:
    for sentence in recover(Path.cwd()):
        print(sentence)


if __name__ == "__main__":
    run_command(main)
