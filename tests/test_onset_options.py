"""Every option of every command: a wrong value is one sentence that names the option and shows the value; none runs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import onset
from onset.command_line import app
from onset.theory.arguments import LARGEST_SEED
from onset.theory.setting import Setting
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Record, Store

STARTS = (
    "onset.simulate.predict.predict",
    "onset.simulate.explain.explain",
    "onset.simulate.losses.strategy_losses",
    "onset.validate.sweeps.scan.run",
    "onset.validate.execution.compute",
    "onset.validate.suite.run_jobs",
    "onset.validate.bench.run",
    "onset.validate.checks.running.run",
    "onset.validate.checks.running.recall",
    "onset.validate.store.listing.ListedRun.to_dict",
    "onset.paper.figures.registry.render",
    "onset.paper.report.write_report",
    "onset.validate.models.loading.load",
)
"""What commands do once their input is accepted."""

NUMBERS = ("", "-1", "nan", "inf", "-inf", "1e400", "1" + 30 * "0", "three", "2.5.1", "[2]", "None")
"""Values that no numerical option takes."""

WRONG: dict[type, tuple[str, ...]] = {
    int: (*NUMBERS, "2.5"),
    float: NUMBERS[:-5] + NUMBERS[-4:],
    str: ("", "nonsense", "-1", "nan", "5", "None"),
    Path: ("", "/dev/null/x"),
    tuple: ("", "nonsense", "nan", "=1", "match=", "match=nan", "context=inf"),
}

ACCEPTED = {("--scheduler", value) for value in WRONG[str] if value}
"""An address is tried when something is computed."""


class Started(Exception):
    """Raised in place of what a command does."""


@pytest.fixture(scope="module", autouse=True)
def imported():
    """All modules, before names in them are replaced: one that is imported meanwhile would keep what it finds."""
    for package in ("simulate", "validate", "paper"):
        for module in pkgutil.walk_packages([str(Path(onset.__file__).parent / package)], f"onset.{package}."):
            importlib.import_module(module.name)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """An empty folder but for a sweep, a setting and a run; nothing is computed in it."""

    def start(*_: Any, **__: Any) -> None:
        raise Started

    for place in STARTS:
        monkeypatch.setattr(place, start)
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text("[grid]\ncontext = [20, 30]\n")
    setting = Setting.of("linear", context=20)
    setting.save("setting.toml")
    Store("out/runs").save(Job(setting, "law").name, Record(setting, (), {"refused": "outside", "kind": "law"}))


BASE = {
    "scan": ["--grid", "context=20,30"],
    "sweep": ["sweep.toml"],
    "runs": ["out", "--picture"],
    "report": ["out"],
    "heads": ["model"],
}
"""What a command needs besides the option."""


def options() -> Iterator[tuple[str, str, type]]:
    """Command, flag and type of each option."""
    for command in (name for name in app if not name.startswith("-")):
        for argument in app[command].assemble_argument_collection():
            if argument.names[0].startswith("--") and argument.index is None:
                hint = next(kind for kind in (tuple, bool, int, float, str, Path) if _holds(argument.hint, kind))
                yield command, argument.names[0], hint


def _holds(hint: Any, kind: type) -> bool:
    return kind in (hint, getattr(hint, "__origin__", None), *getattr(hint, "__args__", ())[:1])


def wrong_calls() -> Iterator[tuple[str, str, str]]:
    """Command, flag and wrong value: all values where a flag occurs first, a single one where it does again."""
    seen: set[str] = set()
    for command, flag, kind in options():
        values = ("perhaps",) if kind is bool else WRONG[kind]
        values += ("0",) if kind in (int, float) and flag not in ("--seed", "--shots") else ()
        for value in values[:1] if flag in seen else values:
            if (flag, value) not in ACCEPTED:
                yield command, flag, value
        seen.add(flag)


def sentence_of(run, *call: str) -> str:
    """The one sentence on stderr of a call that is refused."""
    status, out, err = run(*call)
    assert (status, out) == (2, ""), call
    assert err.startswith("onset: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def test_a_wrong_value_is_named(run):
    """The flag as it was given, and the value; before anything starts."""
    for command, flag, value in wrong_calls():
        err = sentence_of(run, command, *BASE.get(command, []), f"{flag}={value}")
        assert flag in err, (command, flag, value, err)
        shown = value[:10] in err or repr(value.partition("=")[0]) in err
        assert shown or (value[:1].isdigit() and repr(float(value)) in err), (flag, value, err)


def test_all_commands_and_kinds_of_options_are_there():
    """The list is read off the application."""
    assert {command for command, _, _ in options()} == {name for name in app if not name.startswith("-")}
    assert {kind for _, _, kind in options()} == {bool, int, float, str, Path, tuple}
    assert ("predict", "--seed", int) in options()


def test_an_option_with_one_value_is_given_once(run):
    for command, flag, kind in options():
        if kind not in (bool, tuple):
            err = sentence_of(run, command, *BASE.get(command, []), flag, "2", flag, "3")
            assert flag in err


def test_an_option_needs_a_value(run):
    for command, flag, kind in options():
        if kind is not bool:
            assert flag in sentence_of(run, command, *BASE.get(command, []), flag)


@pytest.mark.parametrize("command", ["derive", "cite", "figures", "bench"])
@pytest.mark.parametrize("value", ["", "nonsense", "-1", "nan"])
def test_a_wrong_name_is_shown(run, command, value):
    assert repr(value) in sentence_of(run, command, value)


@pytest.mark.parametrize("command", ["sweep", "runs", "report"])
@pytest.mark.parametrize("value", ["", "absent.toml", "/dev/null/x", "setting.toml"])
def test_a_wrong_file_or_folder_is_shown(run, command, value):
    """The sentence names it."""
    assert value in sentence_of(run, command, value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(options(), key=str)),
    st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(str), st.binary(max_size=5).map(str)),
)
def test_any_value_is_taken_or_named(run, option, value):
    """Whatever the text: the command starts, or one sentence names the option."""
    command, flag, _ = option
    try:
        assert flag in sentence_of(run, command, *BASE.get(command, []), f"{flag}={value}")
    except (Started, AssertionError) as end:
        if isinstance(end, AssertionError):
            status, _, err = run(command, *BASE.get(command, []), f"{flag}={value}")
            if status != 0 and Started.__name__ not in err:  # derive tells of each derivation that fails
                raise


@pytest.mark.parametrize("seed", [0, 10**9 + 1, LARGEST_SEED])
@pytest.mark.parametrize("command", ["predict", "explain", "simulate", "scan"])
def test_seeds_have_one_range(run, command, seed):
    """The same in all commands; also in sweep files."""
    with pytest.raises(Started):
        run(command, *BASE.get(command, []), "--seed", str(seed))
    assert f"--seed = {LARGEST_SEED + 1}" in sentence_of(run, command, "--seed", str(LARGEST_SEED + 1))
    Path("sweep.toml").write_text(f"seeds = [{seed}]")
    with pytest.raises(Started):
        run("sweep", "sweep.toml")
    Path("sweep.toml").write_text(f"seeds = [{LARGEST_SEED + 1}]")
    assert f"seed = {LARGEST_SEED + 1}" in sentence_of(run, "sweep", "sweep.toml")
