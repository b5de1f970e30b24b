"""onset.simulate.user_cache and compiling: nothing depends on a folder that is kept between runs."""

from __future__ import annotations

import errno
import logging
import warnings

import numba
import pytest
from numba.core import caching

from onset.simulate import compiling, user_cache
from onset.simulate.compiling import njit
from onset.simulate.user_cache import NothingKept


@pytest.fixture(autouse=True)
def not_warned_yet():
    user_cache.warn.cache_clear()
    yield
    user_cache.warn.cache_clear()


def double(x):
    return 2 * x


def refuse(*_):
    raise PermissionError(errno.EACCES, "Permission denied")


def fill(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


def test_kernels_are_kept_where_they_can_be(monkeypatch, tmp_path):
    """The second kernel of the same function is loaded."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    hits = []
    for _ in range(2):
        kernel = njit(cache=True)(double)
        assert kernel(3) == 6
        hits.append(sum(kernel.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.parametrize(
    ("place", "fails"),
    [
        ("_CacheLocator.ensure_cache_path", refuse),
        ("IndexDataCacheFile.save", fill),
        ("IndexDataCacheFile.load", refuse),
    ],
)
def test_kernels_work_where_nothing_can_be_kept(monkeypatch, tmp_path, place, fails):
    """No folder, a full disk, a file that cannot be read: the same numbers, and one warning for all kernels."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    owner, method = place.split(".")
    monkeypatch.setattr(getattr(caching, owner), method, fails)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert [njit(cache=True)(double)(n) for n in (1, 2, 2.5)] == [2, 4, 5.0]
    assert [warning.category for warning in shown] == [NothingKept]
    assert "set XDG_CACHE_HOME" in str(shown[0].message)


def test_workers_leave_the_warning_to_their_parent(monkeypatch):
    """A warning would be an error here."""
    monkeypatch.setattr("multiprocessing.parent_process", lambda: "the parent")
    user_cache.warn()


def test_a_user_without_a_home_has_no_folder(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert user_cache.folder() is None


def test_matplotlibs_lines_become_the_warning():
    """Those on folders; others are left."""

    def record(text: str) -> logging.LogRecord:
        return logging.LogRecord("matplotlib", logging.WARNING, "", 0, text, ("/x",), None)

    with pytest.warns(NothingKept):
        assert not user_cache.warn_instead(record("%s is not a writable directory"))
    assert not user_cache.warn_instead(record("mkdir -p failed for path %s"))
    assert user_cache.warn_instead(record("findfont: %s not found"))


def test_what_is_compiled_is_said_once_and_not_again_when_it_is_loaded(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    caplog.set_level(logging.INFO, logger="onset")
    for expected in (1, 1):
        compiling._announce.cache_clear()
        for _ in range(2):
            assert njit(cache=True)(double)(3) == 6
        assert sum("compiling" in record.getMessage() for record in caplog.records) == expected
