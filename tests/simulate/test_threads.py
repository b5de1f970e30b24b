"""onset.simulate.threads: the faster number of threads, measured once per kind of work, and the pool left as it was."""

from __future__ import annotations

import os

import numba
import pytest

from onset.simulate import threads
from onset.simulate.threads import TIMED, UNTIMED, Threads


@pytest.fixture
def clock(monkeypatch):
    """Four threads, and a clock by which a turn takes as long as `seconds` says of its number of threads."""
    state = {"threads": 4, "now": 0.0, "seconds": {1: 1.0, 4: 0.5}}
    monkeypatch.setattr(numba, "get_num_threads", lambda: state["threads"])
    monkeypatch.setattr(numba, "set_num_threads", lambda n: state.update(threads=n))
    monkeypatch.setattr(threads.time, "perf_counter", lambda: state["now"])
    monkeypatch.setattr(threads, "_fastest", {})
    return state


def turns(work: Threads, clock, count: int) -> list[int]:
    """Threads of each turn."""
    used = []
    for _ in range(count):
        with work.turn():
            used.append(clock["threads"])
            clock["now"] += clock["seconds"][clock["threads"]]
        assert clock["threads"] == 4
    return used


@pytest.mark.parametrize(("seconds", "fastest"), [({1: 1.0, 4: 0.5}, 4), ({1: 1.0, 4: 6.0}, 1)])
def test_the_faster_number_is_kept(clock, seconds, fastest):
    """Never slower than one thread, once measured; all work of the kind in this process has it."""
    clock["seconds"] = seconds
    measured = 2 * (UNTIMED + TIMED)
    used = turns(Threads("work", 1), clock, measured + 3)
    assert sorted(used[:measured]) == [1] * (measured // 2) + [4] * (measured // 2)
    assert used[measured:] == [fastest] * 3
    assert turns(Threads("work", 1), clock, 2) == [fastest] * 2
    assert turns(Threads("work", 2), clock, 1) == [1]


def test_first_turns_do_not_count(clock):
    """They compile."""
    work = Threads("work")
    clock["seconds"] = {1: 0.1, 4: 100.0}
    turns(work, clock, 2 * UNTIMED)
    clock["seconds"] = {1: 1.0, 4: 0.5}
    assert turns(work, clock, 2 * TIMED + 1)[-1] == 4


def test_a_process_with_one_thread_measures_nothing(clock):
    """As workers side by side; also where more were the fastest before."""
    turns(Threads("work"), clock, 2 * (UNTIMED + TIMED))
    clock["threads"] = 1
    with Threads("work").turn():
        assert clock["threads"] == 1


def test_a_turn_that_fails_leaves_the_pool_as_it_was(clock):
    with pytest.raises(ZeroDivisionError), Threads("work").turn():
        raise ZeroDivisionError
    assert clock["threads"] == 4


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_sleep_unless_the_environment_says_otherwise(monkeypatch, given):
    """While the pool is started; the environment is left as it was."""
    monkeypatch.delenv(threads.WAITING, raising=False)
    if given:
        monkeypatch.setenv(threads.WAITING, given)
    during = []
    monkeypatch.setattr(numba, "get_num_threads", lambda: during.append(os.environ[threads.WAITING]) or 2)
    threads.start_pool.__wrapped__()
    assert during == [given or "PASSIVE"]
    assert os.environ.get(threads.WAITING) == given
