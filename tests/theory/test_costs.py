"""Memory and time are compared with what there is before anything is computed, and what would fit is said."""

from __future__ import annotations

import re

import pytest

from onset.theory import costs
from onset.theory.costs import TooCostly, require_memory, require_time


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """Set what the system and a container have free, in bytes."""

    def have(free: int | None, limit: int | str = "max", used: int = 0) -> None:
        system, most, now = tmp_path / "meminfo", tmp_path / "max", tmp_path / "current"
        if free is not None:
            system.write_text(f"MemTotal: 1 kB\nMemAvailable: {free // 1024} kB\n")
        most.write_text(f"{limit}\n")
        now.write_text(f"{used}\n")
        monkeypatch.setattr(costs, "MEMORY_FILE", system)
        monkeypatch.setattr(costs, "CONTROL_GROUPS", ((most, now), (tmp_path / "none", tmp_path / "none")))

    return have


def test_free_memory_is_the_least_of_the_system_and_the_container(memory):
    memory(2**30)
    assert costs.available_memory() == 2**30
    memory(2**30, limit=2**29, used=2**28)
    assert costs.available_memory() == 2**28
    memory(2**30, limit=2**20, used=2**21)
    assert costs.available_memory() == 0


def test_systems_without_the_file_have_what_is_installed(memory):
    memory(None)
    assert costs.available_memory() > 2**20


def test_what_would_fit_fits_and_one_more_does_not(memory):
    """For each option alone, the largest whole number."""
    memory(8 * 10**9)

    def needed(batch: int, context: int) -> float:
        return 8.0 * batch * context**2

    require_memory("a pass", needed, batch=1000, context=1000)
    with pytest.raises(
        TooCostly, match=r"^batch = 64, context = 10000: a pass needs about 51.2 GB of memory"
    ) as caught:
        require_memory("a pass", needed, batch=64, context=10_000)
    batch, context = map(int, re.findall(r"(?:batch|context) = (\d+) or", str(caught.value)))
    have = costs.available_memory()
    assert needed(batch, 10_000) <= have < needed(batch + 1, 10_000)
    assert needed(64, context) <= have < needed(64, context + 1)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 31, 32, 98])
def test_the_largest_that_fits(most):
    assert costs._largest(lambda size: size <= most, 99) == most


def test_where_nothing_fits_all_are_to_be_lowered(memory):
    memory(1024)
    with pytest.raises(TooCostly, match="lower batch and context"):
        require_memory("a pass", lambda batch, context: 1e4 * batch * context, batch=2, context=2)


def test_a_year_is_the_longest():
    require_time("a run", lambda steps: 1.0 * steps, steps=int(costs.LONGEST))
    with pytest.raises(
        TooCostly, match=r"takes up to 2 years, and 365 days are the most; give steps = 31536000 or less"
    ):
        require_time("a run", lambda steps: 1.0 * steps, steps=2 * int(costs.LONGEST))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "no time"), (1, "1 second"), (119, "119 seconds"), (7199, "120 minutes"), (3 * 86400, "3 days")],
)
def test_durations_in_words(seconds, words):
    assert costs.duration(seconds) == words
