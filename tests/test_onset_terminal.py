"""Every command on terminals that show little: ASCII, cp1252, 60 columns, no colours; and where nobody reads."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onset
from onset.command_line import app, tables, terminal

pytest.importorskip("torch")

SWEEP = 'kinds = ["law"]\n[grid]\ncontext = [100, 200]\n'

CALLS = {
    "predict": ("--method", "law"),
    "scan": ("--grid", "context=100,200,400", "states=2,3"),
    "explain": (),
    "simulate": ("--context", "8", "--sequences", "64"),
    "derive": ("two-state-chain",),
    "cite": ("predict",),
    "train": ("--context", "6", "--steps", "4", "--seeds", "1"),
    "sweep": ("sweep.toml", "--workers", "1"),
    "runs": ("out",),
    "heads": ("any", "--list"),
    "validate": ("--list",),
    "figures": ("--help",),
    "report": ("--help",),
    "bench": ("--help",),
}
"""A cheap call of each command, in this order."""

MORE = (
    ("derive", "--check", "two-state-chain"),
    ("sweep", "sweep.toml", "--list"),
    ("predict", "--help"),
    ("predict", "--method", "lαw"),
    ("runs", "out", "--where", "context=∞"),
)
"""Further calls; the last two are refused."""


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding, as wide as COLUMNS says."""

    def __init__(self, encoding: str, live: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._live = live

    def isatty(self) -> bool:
        return self._live

    def text(self) -> str:
        self.seek(0)
        return self.buffer.read().decode(self.encoding)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder that the calls share, so that each computes once."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "sweep.toml").write_text(SWEEP)
    return folder


def shown(call: tuple[str, ...], encoding: str, live: bool) -> tuple[int, str, str]:
    """Status, output and messages of a call."""
    out, err = Terminal(encoding, live), Terminal(encoding, live)
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            onset.main(call)
        except SystemExit as stop:
            status = int(stop.code or 0)
    assert (out.errors, err.errors) == ("strict", "strict")
    return status, out.text(), err.text()


def test_each_command_has_a_call():
    assert set(CALLS) == {name for name in app if not name.startswith("-")}


@pytest.mark.parametrize(("encoding", "live"), [("ascii", True), ("cp1252", False), ("utf-8", True)])
def test_every_command_shows_its_answer(encoding, live, folder, monkeypatch):
    """Also on 60 columns, in which no table's word or number is cut; without colours where NO_COLOR asks for it."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for call in [*((name, *words) for name, words in CALLS.items()), *MORE]:
        status, out, err = shown(call, encoding, live)
        assert status == (2 if call in MORE[-2:] else 0), (call, err)
        assert "Traceback" not in out + err
        assert not re.search(r"\x1b\[[\d;]*[34]\d", out + err), call  # codes of colours
        if status == 2:
            assert re.search(r"(^|\x1b\[2K)onset: [^\n]*\n$", err)  # after the bar, where there was one
            continue
        assert out.strip(), call
        assert "�" not in out
        if live and encoding == "ascii" and call[0] in ("predict", "scan", "runs", "sweep", "train"):
            assert not re.search(r"\d\.\.\.(?!\.)|…", out.split("assumptions")[0]), (call, out)


def test_a_narrow_table_becomes_lines(monkeypatch, capsys):
    """Every cell is there, whatever the width; wide enough, it is a table."""
    head, rows = ("name", "value", "a word"), [("first", "0.123456789", "unbreakable"), ("second", "", "-1e-300")]
    for columns in (10, 20, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = Terminal("ascii", live=True)
        with contextlib.redirect_stdout(out):
            tables.table("title", head, rows)
        for cell in (cell for row in rows for cell in row):
            assert cell in out.text()
        assert ("value:" in out.text()) == (columns < 80)


@given(st.text())
def test_any_text_fits_any_encoding(text):
    """What an encoding has stays; what it lacks becomes ASCII, for which letters and signs have names."""
    for encoding in ("ascii", "cp1252", "latin-1", "utf-8"):
        written = text.encode(encoding, terminal.REPLACE)
        assert written.decode(encoding, "strict") is not None
        kept = "".join(c for c in text if c.encode(encoding, "ignore"))
        assert len(written.decode(encoding)) >= len(kept)
    assert text.isascii() <= (text.encode("ascii", terminal.REPLACE).decode() == text)


def test_characters_of_the_project_have_names():
    """No sign that the sources use becomes a question mark."""
    folders = ("theory", "simulate", "validate", "paper", "onset/command_line")
    sources = (file for folder in folders for file in (Path(__file__).parents[1] / folder).rglob("*.py"))
    used = {c for file in sources for c in file.read_text(encoding="utf-8") if not c.isascii()}
    assert len(used) > 50
    assert [c for c in sorted(used) if "?" in c.encode("ascii", terminal.REPLACE).decode()] == []
    assert "η² → Σ⁻¹ ≥ v₁₂ ± ½".encode("ascii", terminal.REPLACE) == b"eta^2 -> Sigma^-1 >= v_12 +/- 1/2"


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ("derive two-state-chain --json | head -1", 0, ""),
        ("--help | head -1", 0, ""),
        ("cite predict | true", 0, ""),
        ("cite predict > /dev/full", 1, "onset: output cannot be written or read (No space left on device).\n"),
        ("validate --list >&-", 0, ""),
    ],
)
def test_nobody_reads(script, status, says, tmp_path):
    """A closed pipe ends the command in silence; a full disk is a sentence."""
    if "/dev/full" in script and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    done = subprocess.run(
        f"{sys.executable} -m onset {script}", shell=True, check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (status, says)


def test_json_is_the_same_on_every_terminal(folder, monkeypatch):
    """ASCII, whatever it holds."""
    monkeypatch.chdir(folder)
    for call in (("predict", "--method", "law", "--json"), ("derive", "two-state-chain", "--json")):
        texts = {shown(call, encoding, live=False)[1] for encoding in ("ascii", "cp1252", "utf-8")}
        assert len(texts) == 1
        (text,) = texts
        assert text.isascii()
        assert call[0] == "predict" or "π" in json.dumps(json.loads(text), ensure_ascii=False)


@pytest.mark.parametrize("somebody", [True, False])
def test_what_the_library_logs_is_shown_where_somebody_sees_it(monkeypatch, capsys, somebody):
    """On a terminal; nowhere else, and not after the command."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: somebody, raising=False)
    logger = logging.getLogger("onset.simulate.compiling")
    with terminal.log_shown():
        logger.info("compiling")
    logger.info("again")
    assert capsys.readouterr().err == ("onset: compiling\n" if somebody else "")
