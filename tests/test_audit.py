"""The command audit fails for what is wrong, and for what nobody could find out."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.__main__ import ROOT

FILES = (
    "requirements.lock", "licenses.csv", "segdistill_runtime/bundle_files/requirements.lock",
    "segdistill_runtime/bundle_files/licenses.csv",
)  # fmt: skip


class Database(BaseHTTPRequestHandler):
    """Speaks as osv.dev does, and knows one vulnerability, of pillow."""

    asked: list[dict]

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.asked.extend(queries)
        self._answer({"results": [self._found(query["package"]["name"]) for query in queries]})

    def do_GET(self) -> None:
        events = [{"introduced": "0"}, {"fixed": "99.0"}]
        affected = {
            "package": {"ecosystem": "PyPI", "name": "pillow"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        self._answer({"id": "TEST-1", "modified": "2026-01-01T00:00:00Z", "summary": "Worms.", "affected": [affected]})

    def log_message(self, *_: object) -> None:
        pass

    def _found(self, package: str) -> dict:
        return {"vulns": [{"id": "TEST-1", "modified": "2026-01-01T00:00:00Z"}]} if package == "pillow" else {}

    def _answer(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service() -> Iterator[str]:
    Database.asked = []
    with HTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's locks and lists in an empty folder."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, tmp_path / file)
    return tmp_path


def without_pillow(project: Path) -> None:
    """As if no package with a known vulnerability were locked."""
    for file in FILES:
        entries = (project / file).read_text().replace(" \\\n", "\a").splitlines(keepends=True)
        kept = "".join(entry for entry in entries if not entry.startswith("pillow"))
        (project / file).write_text(kept.replace("\a", " \\\n"))


def audit(project: Path, service: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "audit", "--service", service]
    surroundings = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "UV_HTTP_RETRIES": "0", "HOME": str(project)}
    return subprocess.run(command, cwd=project, env=surroundings, capture_output=True, text=True, check=False)


def test_everything_that_is_locked_is_looked_up(project: Path, service: str) -> None:
    without_pillow(project)
    done = audit(project, service)
    assert done.returncode == 0, done.stderr
    asked = {(query["package"]["name"], query["version"]) for query in Database.asked}
    assert {name for name, _ in asked} >= {"numpy", "pywin32", "onnxruntime", "onnxruntime-gpu"}  # all platforms
    assert len([name for name, _ in asked if name == "numpy"]) == 2  # and versions of Python


def test_a_known_vulnerability_is_named_and_fails(project: Path, service: str) -> None:
    done = audit(project, service)
    assert done.returncode == 1
    assert "ArtifactError: 1 " in done.stderr
    assert service in done.stderr
    assert re.search(r"^pillow \S+ .*\b1\b", done.stdout, re.MULTILINE), done.stdout
    assert "TEST-1: Worms." in done.stdout
    assert "99.0" in done.stdout  # where it is fixed


def test_what_could_not_be_looked_up_is_not_passed_over(project: Path) -> None:
    done = audit(project, "http://127.0.0.1:9")  # nobody listens
    assert done.returncode == 1
    assert "ArtifactError: " in done.stderr
    assert "--service" in done.stderr


def test_a_line_without_a_hash_and_an_unknown_license_are_named_together(project: Path, service: str) -> None:
    without_pillow(project)
    with (project / "requirements.lock").open("a") as lock:
        lock.write("stranger==1.0\n")
    licenses = project / "segdistill_runtime/bundle_files/licenses.csv"
    licenses.write_text(licenses.read_text().replace("MIT,metadata", ",metadata"))
    done = audit(project, service)
    assert done.returncode == 1
    assert "ArtifactError: 2 " in done.stderr
    lines = done.stderr.splitlines()
    assert any("requirements.lock" in line and "'stranger==1.0'" in line and "--hash" in line for line in lines)
    unknown = [line for line in lines if "bundle_files/requirements.lock: onnxruntime==" in line]
    assert any("`python -m pipeline licenses`" in line for line in unknown)
