"""What lies around a repro: no network, another repro, a loader process that dies."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.disturbed import WITHOUT_NETWORK, killed, may_lose_network, schedule
from tests.small_profile import environment, repro, run, write_small_profile


@pytest.mark.slow
def test_nothing_is_asked_of_a_network(whole: Path) -> None:
    """The reference ran all stages where not even 127.0.0.1 answers; the same for what comes after them."""
    if not may_lose_network():
        pytest.skip("unshare --net is not permitted here")
    routes = subprocess.run([*WITHOUT_NETWORK, "cat", "/proc/net/route"], capture_output=True, text=True, check=True)
    assert len(routes.stdout.splitlines()) <= 1
    assert (whole / "reports/index.html").is_file()
    again = subprocess.run(
        [*WITHOUT_NETWORK, "dvc", "repro"], cwd=whole, env=environment(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0
    assert "Data and pipelines are up to date" in again.stdout


@pytest.mark.faults
def test_the_second_of_two_repros_is_sent_away(whole: Path) -> None:
    folder = whole.with_name("twice")
    write_small_profile(folder, ["pspnet_r18"])
    run(["dvc", "init", "--no-scm", "--quiet"], folder)
    first = subprocess.Popen(
        ["dvc", "repro", "teacher"], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    while "Running stage" not in (line := first.stdout.readline()):
        assert line, "the first repro ended before a stage began"
    second = repro(folder, "teacher")
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert second.returncode != 0
    assert "lock" in second.stderr
    assert "Traceback" not in second.stderr
    assert "up to date" in repro(folder, "teacher").stdout


@pytest.mark.faults
def test_a_repro_that_is_killed_again_and_again_gets_there(whole: Path, seconds: dict[str, float]) -> None:
    """Every state that a kill leaves is one to go on from: three kills in each training."""
    folder = whole.with_name("again")
    write_small_profile(folder, ["pspnet_r18"])
    run(["dvc", "init", "--no-scm", "--quiet"], folder)
    trainings = [stage for stage in seconds if stage.startswith(("teacher", "student"))]
    for kill in schedule(trainings, 3 * len(trainings), 1):
        killed(folder, kill, seconds[kill.stage])
    done = repro(folder, "student")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("artifacts/teacher", "artifacts/students/pspnet_r18"):
        file = f"{name}/checkpoint.safetensors"
        assert (folder / file).read_bytes() == (whole / file).read_bytes()
