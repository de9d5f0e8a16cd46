"""A project as small as one can be that has a release stage, a profile, and bundles with real manifests."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.versions.server import BUCKET

PROFILE = "profiles/tiny"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

DVC_YAML = """
stages:
  student:
    foreach: ${runs}
    do:
      cmd: python ${root}/stages/student.py ${key} ${item.weight}
      params:
        - runs.${key}.weight
      deps:
        - ${root}/stages/student.py
      outs:
        - artifacts/students/${key}
  release:
    foreach: ${runs}
    do:
      cmd: python ${root}/stages/release.py ${key} ${item.status}
      params:
        - runs.${key}.status
      deps:
        - ${root}/stages/release.py
        - artifacts/students/${key}
      outs:
        - artifacts/release/${key}
artifacts:
  good:
    type: model
    path: artifacts/release/good
  bad:
    type: model
    path: artifacts/release/bad
  elsewhere:
    type: model
    path: artifacts/release/elsewhere
"""
PARAMS = """
root: {root}
runs:
  good:
    weight: {weight}
    status: released
  bad:
    weight: 2
    status: rejected
  undeclared:
    weight: 3
    status: released
"""
STUDENT = """
import pathlib, sys
out = pathlib.Path("artifacts/students", sys.argv[1])
out.mkdir(parents=True)
(out / "checkpoint").write_bytes(bytes([int(sys.argv[2])]) * 1000)
"""
RELEASE = """
import hashlib, json, pathlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

run, status = sys.argv[1:]
out = pathlib.Path("artifacts/release", run)
(out / "golden").mkdir(parents=True)
(out / "model.onnx").write_bytes(pathlib.Path("artifacts/students", run, "checkpoint").read_bytes() * 200)
(out / "card.md").write_text("# " + run)
(out / "golden" / "mask.png").write_bytes(run.encode() + b" mask")
files = [
    {"path": str(f.relative_to(out)), "bytes": f.stat().st_size, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()}
    for f in sorted(out.rglob("*")) if f.is_file()
]
manifest = {
    "format": "segdistill-bundle-1", "run": run, "status": status,
    "reasons": ["mIoU 0.40 is below 0.50"] if status == "rejected" else [], "files": files,
}
(out / "manifest.json").write_text(json.dumps(manifest))
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
(out / "manifest.json.sig").write_bytes(key.sign((out / "manifest.json").read_bytes()))
"""


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def make_project(root: Path) -> Path:
    """Write, run and commit it: runs good, bad and undeclared at the root and in one profile."""
    root.mkdir()
    run("git", "init", "--quiet", "--initial-branch", "main", folder=root)
    for name, value in (("user.name", "Tester"), ("user.email", "tester@example.org")):
        run("git", "config", name, value, folder=root)
    run("dvc", "init", "--quiet", folder=root)
    (root / ".gitignore").write_text("artifacts/\n__pycache__/\n")
    (root / "stages").mkdir()
    (root / "stages" / "student.py").write_text(STUDENT)
    (root / "stages" / "release.py").write_text(RELEASE)
    for folder, back, weight in ((".", ".", 1), (PROFILE, "../..", 9)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "dvc.yaml").write_text(DVC_YAML)
        (root / folder / "params.yaml").write_text(PARAMS.format(root=back, weight=weight))
        (root / folder / "review.csv").write_text("id\n")
    run("dvc", "repro", "--quiet", "--all-pipelines", folder=root)
    commit_all(root)
    return root


def commit_all(root: Path) -> None:
    run("git", "add", "--all", folder=root)
    run("git", "commit", "--quiet", "--message", "A change", folder=root)


def public_key(folder: Path) -> Path:
    path = folder / "release.pub"
    path.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


class Project(NamedTuple):
    root: Path
    s3: Any
    log: Path
    prefix: str  # of its objects in the bucket

    @property
    def bundle(self) -> Path:
        return self.root / "artifacts/release/good"

    def add_remote(self, name: str, endpoint: str, verify: str = "    verify = true\n") -> None:
        with (self.root / ".dvc/config").open("a") as config:
            config.write(
                f"[core]\n    remote = {name}\n['remote \"{name}\"']\n    url = s3://{BUCKET}/{self.prefix}\n"
                f"    endpointurl = {endpoint}\n{verify}"
            )
        commit_all(self.root)

    def tags(self) -> list[str]:
        return run("git", "tag", "--list", folder=self.root).splitlines()

    def objects(self) -> dict[str, str]:
        """Name of each object in the remote and its key in the bucket."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Contents", [])
        return {"".join(entry["Key"].split("/")[-2:]): entry["Key"] for entry in found}

    def downloads(self) -> int:
        """How many objects were loaded from the remote until now."""
        return self.log.read_text().count(f'"GET /{BUCKET}/{self.prefix}/files/md5/')

    def overwrite(self, name: str, content: bytes) -> None:
        """Put other bytes under an object's name in the remote, as a failing disk or a careless hand would."""
        self.s3.put_object(Bucket=BUCKET, Key=self.objects()[name], Body=content)

    def in_cache(self, name: str) -> Path:
        return self.root / ".dvc/cache/files/md5" / name[:2] / name[2:]

    def forget_artifacts(self) -> None:
        shutil.rmtree(self.root / "artifacts")
