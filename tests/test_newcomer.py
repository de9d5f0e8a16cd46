"""A newcomer's way in a repository of their own: documented commands on drawn images, DVC's own commands, a colleague.

Blocks of the pages that are marked as runnable run in their order, in one project; nothing is mocked.
"""

import json
from pathlib import Path

import pytest

from tests.documented import PAGES, blocks
from tests.fresh_project import IMAGES, set_quick_numbers, sh, write_own_images, write_project

pytestmark = [pytest.mark.smoke, pytest.mark.slow]
BLOCKS = [block for page in PAGES for block in blocks(page) if block.runnable]


class Walk:
    """The home folder of a newcomer: images, the project, and later a remote."""

    def __init__(self, home: Path) -> None:
        self.home, self.project, self.done = home, home / "segdistill", 0
        self.profile = self.project / "profiles/mine"
        write_own_images(home / "my-data")
        write_project(self.project)

    def through(self, count: int = len(BLOCKS)) -> "Walk":
        """Run the first blocks, those that did not run yet."""
        while self.done < count:
            new = not self.profile.exists()
            sh(BLOCKS[self.done].text, self.project)
            self.done += 1
            if new and self.profile.exists():
                set_quick_numbers(self.profile)
        return self


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("home"))


@pytest.fixture
def clone(walk: Walk, tmp_path: Path) -> Path:
    """What a colleague has after `git clone`."""
    walk.through()
    sh(f"git clone --quiet . {tmp_path}/clone", walk.project)
    return tmp_path / "clone"


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=lambda n: f"{BLOCKS[n].page.name}-{n}")
def test_a_documented_block_runs(walk: Walk, number: int) -> None:
    walk.through(number + 1)


def test_own_images_end_in_a_release_that_predicts(walk: Walk) -> None:
    walk.through()
    summary = json.loads((walk.profile / "reports/summary.json").read_text())
    assert {entry["run"] for entry in summary["runs"]} == {"pspnet_r18", "pspnet_r18_gdd"}
    bundle = walk.profile / "artifacts/release/pspnet_r18_gdd"
    sh(f"make predict IMAGE=~/my-data/images/test/0.png MODEL={bundle}", walk.project)
    assert (walk.project / "0_overlay.png").is_file()


def test_the_queued_experiment_ended_well(walk: Walk) -> None:
    walk.through()
    tasks = sh("dvc queue status", walk.profile)
    assert "Success" in tasks
    assert "Failed" not in tasks
    assert "0.01" in sh("dvc exp show --csv --only-changed", walk.profile)


def test_a_colleague_pulls_and_has_nothing_to_do(walk: Walk, clone: Path) -> None:
    assert "WARNING" not in sh("dvc pull", clone)
    assert len(list(clone.glob("profiles/mine/data/raw/images/*/*.png"))) == sum(IMAGES.values())
    assert "Running stage" not in sh("dvc repro", clone / "profiles/mine")
    assert not sh("git status --porcelain", clone)


def test_the_profiles_that_come_with_the_project_ask_a_remote_for_nothing(walk: Walk, clone: Path) -> None:
    sh("git checkout --quiet HEAD~1 .dvcignore", clone)
    assert "WARNING" not in sh("dvc pull -R profiles/mine", clone)
    assert "Missing cache" not in sh("dvc push", clone)


def test_an_experiment_runs_in_a_copy(walk: Walk) -> None:
    walk.through()
    sh("dvc exp run --quiet --temp --name nine -S teacher.iterations=9 teacher", walk.profile)
    sh("dvc exp apply nine", walk.profile)
    assert "iterations: 9" in (walk.profile / "params.yaml").read_text()
    sh("git checkout --quiet . && dvc checkout --quiet", walk.profile)


def test_images_come_from_a_url(walk: Walk, clone: Path, tmp_path: Path) -> None:
    sh("git rm --quiet profiles/mine/data/raw.dvc && rm -rf profiles/mine/data", clone)
    sh(f"mkdir -p profiles/mine/data && dvc import-url {walk.home}/my-data profiles/mine/data/raw", clone)
    sh("git add . && git commit --quiet --message Imported && dvc push", clone)
    sh(f"git clone --quiet . {tmp_path}/other", clone)
    sh("dvc pull profiles/mine/data/raw.dvc", tmp_path / "other")
    assert (tmp_path / "other/profiles/mine/data/raw/classes.yaml").is_file()
