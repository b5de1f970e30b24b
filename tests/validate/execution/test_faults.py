"""Faults of the machine: finished runs stay, the message names the file and the mend, the same call completes the
rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from onset.theory.setting import Setting
from onset.validate.execution import compute
from onset.validate.execution.computing import missing
from onset.validate.execution.worker import locked
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Store

TINY = Setting.of("linear", states=2, context=10, steps=40, record_every=10)
JOBS = [Job(TINY, "train", seed) for seed in range(4)]
HEAD = f"""
import signal
import sys
from pathlib import Path
from onset.theory.setting import Setting
from onset.validate.execution import compute
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Store
# A shell's background job, and its children, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
store = Store(sys.argv[1])
jobs = [Job(Setting.from_dict({TINY.to_dict()}), "train", seed) for seed in range(4)]
"""
SWEEP = """
seeds = 2
[setting]
context = 10
record_every = 10
[[runs]]
steps = 40
[[runs]]
steps = 1_000_000_000
whole = true
"""
"""Two jobs that end at once, the first of JOBS, and two that never do."""

ENDLESS = [Job(TINY.replace(steps=10**9, whole=True), "train", seed) for seed in range(2)]


def started(script: str, *arguments: object, **more) -> subprocess.Popen[str]:
    """A separate Python process that runs `script` behind `HEAD`."""
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + script, *map(str, arguments)], env=environment, text=True, **more
    )


def wait_for(condition, what: str) -> None:
    patience = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < patience, what
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Living child processes, as Linux tells them."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in listed.read_text().split()] if listed.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def held(store: Store, jobs) -> list[bool]:
    """Whether somebody holds each job's lock."""
    locks = []
    for job in jobs:
        with locked(store.folder, job.name) as free:
            locks.append(not free)
    return locks


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes as Linux lists them")


@needs_proc
@pytest.mark.parametrize("fault", ["killed", "interrupted"])
def test_a_sweep_that_ends_in_the_middle_takes_its_workers_along(tmp_path, fault):
    """kill -9, or Ctrl-C, which a terminal sends to all: no process is left, no lock held, finished runs stay, and the
    rest is computed once.
    """
    file = tmp_path / "night.toml"
    file.write_text(SWEEP)
    script = "import onset; onset.main(['sweep', *sys.argv[2:], '--workers', '2', '--device', 'cpu'])"
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE) | {"stdin": subprocess.DEVNULL}
    store = Store(tmp_path / "runs")
    process = started(script, store.folder, file, "--out", tmp_path, start_new_session=True, **pipes)
    wait_for(lambda: all(job in store for job in JOBS[:2]), "the first two jobs end")
    workers = children(process.pid)
    assert len(workers) >= 2
    wait_for(lambda: all(held(store, ENDLESS)), "the endless ones begin")
    if fault == "killed":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if fault == "killed" else 130)
    assert "Traceback" not in err
    assert out == ""
    assert (fault == "interrupted") == err.endswith("and the same command resumes.\n")
    wait_for(lambda: not any(map(alive, workers)), "workers end with their parent")
    assert not any(held(store, ENDLESS))
    before = [store.path(job.name).stat().st_mtime_ns for job in JOBS[:2]]
    assert compute(JOBS, store, device="cpu", workers=1).computed == tuple(JOBS[2:])
    assert [store.path(job.name).stat().st_mtime_ns for job in JOBS[:2]] == before


def test_two_sweeps_on_one_folder_compute_every_job_once(tmp_path):
    """Both start together and end with every job there; what the two computed is each job, once."""
    script = (
        "Path(sys.argv[2]).touch()\nwhile not Path(sys.argv[3]).exists(): pass\n"
        "tally = compute(jobs, store, device='cpu', workers=1)\n"
        "assert not tally.failed and len(tally.computed + tally.by_others) <= 4\n"
        "print(*(job.name for job in tally.computed))"
    )
    runs, a, b = tmp_path / "runs", tmp_path / "a", tmp_path / "b"
    both = [started(script, runs, *pair, stdout=subprocess.PIPE) for pair in ((a, b), (b, a))]
    computed = [name for process in both for name in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(computed) == [job.name for job in JOBS]
    assert missing(JOBS, Store(runs)) == []


def test_a_process_killed_while_it_writes_leaves_no_half_written_run(tmp_path):
    """The file is absent, what was half-written is hidden, removed by the next call, and the run computed."""
    script = (
        "import os, signal, onset.validate.store.files\n"
        "onset.validate.store.files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "compute(jobs, store, device='cpu', workers=1)"
    )
    assert started(script, tmp_path).wait(120) == -signal.SIGKILL
    store = Store(tmp_path)
    assert not list(tmp_path.glob("*.nc"))
    assert len(list(tmp_path.glob(".*.part"))) == 1
    assert compute(JOBS, store, device="cpu", workers=1).computed == tuple(JOBS)
    assert not list(tmp_path.glob(".*.part"))


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of one megabyte (a tmpfs), where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


CALL = ("train", "--context", "10", "--steps", "40", "--record-every", "10", "--device", "cpu", "--workers", "1")


def test_a_full_disk_stops_the_call_with_the_file_and_the_mend(run, small_disk):
    """Status 1, one sentence; the finished run stays; with room again the same call completes."""
    call = (*CALL, "--out", str(small_disk))
    assert run(*call, "--seeds", "1")[0] == 0
    (first,) = (small_disk / "runs").glob("*.nc")
    before = first.read_bytes()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
        while True:
            full.write(bytes(4096))
    status, out, err = run(*call, "--seeds", "2")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert str(small_disk / "runs") in err
    assert "make room" in err
    assert [path.read_bytes() for path in (small_disk / "runs").glob("*.nc")] == [before]
    filler.unlink()
    assert run(*call, "--seeds", "2")[0] == 0
    assert len(list((small_disk / "runs").glob("*.nc"))) == 2


def test_a_read_only_disk_is_refused_before_anything_is_computed(run, small_disk):
    """Status 2, the folder and the option; nothing on stdout."""
    call = (*CALL, "--out", str(small_disk), "--seeds", "1")
    assert run(*call)[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    status, out, err = run(*call[:-1], "2")
    assert (status, out) == (2, "")
    assert f"--out = '{small_disk}'" in err
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert run(*call[:-1], "2")[0] == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_on_the_way_stops_the_call(run, tmp_path, monkeypatch, code):
    """An error when the second run is written: the first stays, the message has the system's text, the same call
    completes.
    """
    real, written = os.fsync, []

    def fails(handle: int) -> None:
        written.append(handle)
        if len(written) == 2:
            raise OSError(code, os.strerror(code))
        real(handle)

    call = (*CALL, "--out", str(tmp_path), "--seeds", "3")
    with monkeypatch.context() as patched:
        patched.setattr("onset.validate.store.files.os.fsync", fails)
        status, out, err = run(*call)
    assert (status, out) == (1, "")
    assert os.strerror(code) in err
    assert "make room" in err
    assert len(list((tmp_path / "runs").glob("*.nc"))) == 1
    assert run(*call)[0] == 0
    assert len(list((tmp_path / "runs").glob("*.nc"))) == 3
