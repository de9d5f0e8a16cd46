"""How many threads a process takes: what it is told, else what the machine has to spare."""

import os

import pytest

from pipeline import threads


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(("idle", "expected"), [(None, 8), (8.0, 8), (6.1, 8), (5.9, 5), (1.2, 1), (0.0, 1)])
def test_busy_cores_are_left_to_others(
    cores: None, monkeypatch: pytest.MonkeyPatch, idle: float | None, expected: int
) -> None:
    monkeypatch.setattr(threads, "idle_cores", lambda _: idle)
    assert threads.available_threads() == expected


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("1", 1), ("0", 1)])
def test_the_number_that_was_asked_for_goes_first(
    cores: None, monkeypatch: pytest.MonkeyPatch, asked: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.available_threads() == expected


def test_idle_cores_are_counted_among_the_own_ones(cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores of sixteen are ours: four of them do nothing in between, the others work all the time."""
    rows = [[100] * 8] * 16
    later = [[100, 0, 0, 100 + 10 * (core < 4), 100, 100, 100, 100] for core in range(16)]
    for core, row in enumerate(later):
        row[0] += 10 * (core >= 4)
        row[1] = row[2] = 100
    told = iter([rows, later])

    class Stat:
        def is_file(self) -> bool:
            return True

        def read_text(self) -> str:
            return "\n".join(f"cpu{core} {' '.join(map(str, row))} 0 0" for core, row in enumerate(next(told)))

    monkeypatch.setattr(threads, "STAT", Stat())
    assert threads.idle_cores(0) == pytest.approx(4)


def test_this_machine_tells() -> None:
    idle = threads.idle_cores(0.05)
    assert idle is None or 0 <= idle <= len(os.sched_getaffinity(0))
