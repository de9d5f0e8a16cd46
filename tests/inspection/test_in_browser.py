"""The App as people see it: started as they start it, looked at in the system's Chromium, ended as they end it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pipeline.curation.review import read_review
from tests.inspection.toy_profile import STUDENT, ToyProfile
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
PATIENCE_S = 90.0
QUIET_S = 2.0


class RunningApp:
    """`make inspect` without make."""

    def __init__(self, profile: ToyProfile):
        self.profile = profile
        self.folder = folder = profile.root
        self.port = free_port()
        # As at home, but a home that tells whether anything was written to it.
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        unwanted = {name for name in os.environ if name.startswith("FIFTYONE_")}
        self.environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.environment |= {"HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*self.command("open"), "--address", "127.0.0.1", "--port", str(self.port)],
                cwd=folder, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE_S
        while self.url not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "pipeline", "inspect", name]

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command(name), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)

    def left_over(self) -> list[str]:
        """Commands of the processes that have the profile's folder in their command or environment."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(self.folder).encode() in environment or str(self.folder) in command:
                found.append(command)
        return [command for command in found if command.strip()]


def settled_masks(page: Page) -> int:
    """Wait until no more tiles are being drawn; the number of those that are."""
    drawn, since = -1, time.monotonic()
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        now = page.locator('canvas[canvas-loaded="true"]').count()
        if now != drawn:
            drawn, since = now, time.monotonic()
        if drawn > 1 and time.monotonic() - since > QUIET_S:
            return drawn
        page.wait_for_timeout(100)
    raise AssertionError(f"only {drawn} tiles were drawn")


def colors_of(page: Page, tile: int) -> set[str]:
    """Which of red, green and blue stand out somewhere on a tile."""
    script = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set();
        for (let i = 0; i < data.length; i += 4) {
            ["red", "green", "blue"].forEach((name, channel) => {
                const others = [0, 1, 2].filter(other => other != channel).map(other => data[i + other]);
                if (data[i + channel] > Math.max(...others) + 40) found.add(name);
            });
        }
        return [...found];
    }"""
    return set(page.locator('canvas[canvas-loaded="true"]').nth(tile).evaluate(script))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """On pictures without colors: what is colored in the App are the masks. The last test of the module ends it."""
    with contextlib.chdir(tmp_path_factory.mktemp("profile")):
        profile = ToyProfile(Path.cwd())
    for sample in profile.samples[:-1]:
        picture = profile.root / sample.image
        Image.open(picture).convert("L").convert("RGB").save(picture)
    running = RunningApp(profile)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no `chromium` on the PATH (apt-get install chromium)")
def test_the_app_in_a_browser(running: RunningApp, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.route(re.compile("^https://"), lambda route: route.abort())
        page.goto(running.url)
        assert settled_masks(page) >= 6  # the broken image has no canvas
        page.get_by_text("7 samples").wait_for()
        for field in ("ground_truth", "label_mistakes", STUDENT, "hardness"):
            assert page.get_by_text(field, exact=True).first.is_visible(), field
        page.screenshot(path=tmp_path / "grid.png")
        assert colors_of(page, 0) == {"red", "blue"}  # box and pond
        page.keyboard.press("Escape")  # the advertisement
        page.get_by_text("Unsaved view").click()
        for view in ("hardest", f"{STUDENT}: most lost", "rejected"):
            page.get_by_text(view, exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "views.png")
        page.get_by_text("rejected", exact=True).first.click()
        page.get_by_text("2 samples").wait_for()
        browser.close()
    assert not [url for url in asked if "analytics" in url or "tagmanager" in url]


@pytest.mark.slow
def test_the_way_back_while_it_runs_and_after_it_has_ended(running: RunningApp) -> None:
    second = running.run("open", "--address", "127.0.0.1", "--port", str(free_port()))
    assert second.returncode == 1
    assert f"process {running.process.pid}" in second.stderr
    other_port = running.run("open", "--address", "127.0.0.1", "--port", str(running.port))
    assert other_port.returncode == 1
    assert f"{running.port} " in other_port.stderr
    assert "--port" in other_port.stderr

    tag_as_the_app_does(running, "toy_1", "drop")
    applied = running.run("apply")
    assert applied.returncode == 0, applied.stderr
    assert "+ drop toy_1" in applied.stdout
    with urllib.request.urlopen(f"{running.url}/fiftyone") as answer:  # it was not disturbed
        assert answer.status == 200

    tag_as_the_app_does(running, "toy_2", "fix_label")
    assert len(running.left_over()) >= 3  # itself, its server, its database: so they would be found
    assert running.end(signal.SIGTERM) == 0
    assert running.left_over() == []
    assert list(running.home.iterdir()) == []
    log = running.log.read_text()
    assert log.count("http://") == 1, log
    assert "Traceback" not in log

    applied = running.run("apply")
    assert applied.returncode == 0, applied.stderr
    profile = running.profile
    assert read_review(profile.paths.review) == [
        profile.remark("toy_1", "drop"),
        profile.remark("toy_2", "fix_label"),
    ]
    assert running.left_over() == []


def tag_as_the_app_does(running: RunningApp, sample: str, tag: str) -> None:
    """Through the route that the App's tag button posts to."""
    only = {"name": {"values": [sample], "isMatching": True, "exclude": False}}
    body = {"dataset": "inspection", "view": [], "filters": only, "sample_ids": [], "changes": {tag: True}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{running.url}/tag", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
