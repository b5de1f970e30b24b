"""onset --setting FILE: for any content, the answer is a prediction or one sentence that says what is wrong."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onset
from onset.theory.architecture import Architecture
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting
from onset.theory.setting_files import to_toml

MIXED = Mixture((Dirichlet(3, 0.5), Unigram(3)), (0.75, 0.25))
GOOD = [
    Setting.of("linear", context=50).to_dict(),
    Setting.of("softmax", prior=MIXED, optimizer="adam", frozen=["match"]).to_dict(),
    Setting.of(
        "transformer", states=3, architecture=Architecture(width=8, heads=(2, 1)), tested_on=[DoublyStochastic(3)]
    ).to_dict(),
]
EXAMPLES = 250
ENDINGS = ("json", "toml")


class Started(Exception):
    """Raised in place of the prediction of a valid setting."""


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    def start(setting: Setting, *_: Any, **__: Any) -> None:
        assert isinstance(setting, Setting)
        raise Started

    monkeypatch.setattr("onset.simulate.predict.predict", start)


def message_of(data: bytes, ending: str, folder) -> str | None:
    """Message of `onset predict` for a file with this content, one sentence and status 2; None if it starts to
    predict.
    """
    file = folder / f"setting.{ending}"
    file.write_bytes(data)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            onset.main(["predict", "--setting", str(file)])
        except Started:
            return None
        except SystemExit as stop:
            status = stop.code
    message = err.getvalue()
    assert status == 2
    assert out.getvalue() == ""
    assert message.startswith(f"onset: setting file {file}")
    assert message.count("\n") == 1
    assert message.endswith((".\n", "?\n"))
    assert "Traceback" not in message
    assert len(message) < 1000 + len(str(file))
    message.encode("utf-8")  # can be printed
    return message


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**18, 10**400, -(10**400)]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 5e-324, -0.0, 0.5]),
    st.text(max_size=20),
    st.sampled_from(["", "100", "linear", "sgd", "dirichlet", "\0", "x" * 5000, "[1]", "nan"]),
    st.lists(st.one_of(st.none(), st.integers(-2, 10), st.text(max_size=3), st.floats()), max_size=4),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers())), max_size=3
    ),
    st.sampled_from([30, 600, 5000]).map(lambda depth: ("[" * depth, "]" * depth)),
    st.sampled_from([30, 600, 5000]).map(lambda depth: ('{"kind":"mixture","components":[' * depth, "]}" * depth)),
)
"""Values that hardly any entry accepts; a pair is nested too deeply for a writer, and inserted as text."""


def places(data: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to all entries of nested tables and lists."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, value in pairs for path in ((*where, key), *places(value, (*where, key)))]


@st.composite
def changed(draw: st.DrawFn) -> tuple[bytes, str]:
    """A good file with one or two entries changed, added, renamed or taken out."""
    data, ending = copy.deepcopy(draw(st.sampled_from(GOOD))), draw(st.sampled_from(ENDINGS))
    raw = ""
    for _ in range(draw(st.integers(1, 2))):
        *path, last = draw(st.sampled_from(places(data)))
        table: Any = data
        for key in path:
            table = table[key]
        value = draw(JUNK)
        if isinstance(value, tuple):
            raw, value = "".join(value), "RAW"
        match draw(st.sampled_from(["change", "change", "add", "rename", "take out"])):
            case "change":
                table[last] = value
            case "add" if isinstance(table, dict):
                table[draw(st.text(max_size=8))] = value
            case "rename" if isinstance(table, dict):
                table[f"{last}{draw(st.text(max_size=3))}"] = table.pop(last)
            case _:
                del table[last]
    try:
        text = json.dumps(data) if ending == "json" else to_toml(data).replace("NaN", "nan").replace("Infinity", "inf")
    except (
        AttributeError,
        ValueError,
    ):  # a whole number too long to write, or a list of tables with something else in it
        text = str(data)
    return text.replace('"RAW"', raw).encode("utf-8", "surrogatepass"), ending


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[bytes, str]:
    """A good file's text cut, doubled, in another encoding, or with bytes put in; or no text at all."""
    ending = draw(st.sampled_from(ENDINGS))
    good = draw(st.sampled_from(GOOD))
    text = json.dumps(good, indent=1) if ending == "json" else to_toml(good)
    data, at = text.encode(), draw(st.integers(0, len(text)))
    lines = text.splitlines(keepends=True)
    line = draw(st.integers(0, len(lines) - 1))
    return draw(
        st.one_of(
            st.just(data[:at]),
            st.binary(min_size=1, max_size=4).map(lambda some: data[:at] + some + data[at:]),
            st.sampled_from([b"\0", b"\xff\xfe", b'"', b"[", b"{", b"=", b"#", b"\r", b"'''"]).map(
                lambda some: data[:at] + some + data[at:]
            ),
            st.sampled_from(["utf-16", "utf-32", "utf-7", "cp037"]).map(text.encode),
            st.just("".join([*lines[: line + 1], *lines[line:]]).encode()),
            st.just("".join([*lines[:line], *lines[line + 1 :]]).encode()),
            st.binary(max_size=200),
            st.sampled_from([b"", b" ", b"\n", b"null", b"[]", b"{}", b"1", b'"a"', b"nan", b"a" * 20000]),
            st.sampled_from([b"[", b"{", b'{"a":', b"a=[", b"a={a=", b"a.", b"[a."]).map(lambda one: one * 3000),
        )
    ), ending


@pytest.mark.parametrize("kind", [changed, spoilt])
def test_a_bad_setting_file_ends_in_one_clear_sentence(kind, tmp_path):
    """Hundreds of random files: wrong types, unknown names, numbers out of range, broken text, encodings, deep
    nesting.
    """
    messages = []

    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
    @given(kind())
    def refuse(file: tuple[bytes, str]) -> None:
        messages.append(message_of(*file, tmp_path))

    refuse()
    bad = [sentence for sentence in messages if sentence is not None]
    print(f"{len(bad)} of {len(messages)} files were bad, in {len(set(bad))} ways")
    assert len(bad) >= 100


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("good", GOOD)
def test_the_good_files_are_good(good, ending, tmp_path):
    """The unchanged files are accepted, also behind a byte-order mark."""
    text = (json.dumps(good) if ending == "json" else to_toml(good)).encode()
    assert message_of(text, ending, tmp_path) is None
    assert message_of(b"\xef\xbb\xbf" + text, ending, tmp_path) is None


@pytest.mark.parametrize(
    ("text", "ending", "says"),
    [
        ('{"context": 50, "context": 60}', "json", "has 'context' twice"),
        ("context = 50\ncontext = 60", "toml", "Cannot overwrite a value"),
        ('{"batch": 1' + 400 * "0" + "}", "json", "batch = 1000.* expected a whole number of at most"),
        ("batch = 0x" + 10000 * "f", "toml", "batch = int too long to show: expected a whole number of at most"),
        ('{"optimizer": {"epsilon": 1' + 400 * "0" + "}}", "json", "epsilon = 1000.* expected a finite number"),
        ("context = 1_000_000_000", "toml", "context = 1000000000: expected a whole number of at most 10000000"),
        ("prior = {states = 100_000}", "toml", "states = 100000: expected a whole number of at most 4096"),
        ("frozen = 5", "toml", "frozen = 5: expected a list"),
        ('{"tested_on": 5}', "json", "tested_on = 5: expected a list"),
        ("[" * 5000, "json", "nested too deeply"),
        ("a." * 10000 + "a = 1", "toml", "it has 20005 bytes, expected at most 16384"),
        ("context = 50", "json", "expected JSON in UTF-8"),
        ("", "json", "expected JSON in UTF-8"),
    ],
)
def test_what_a_sentence_says(text, ending, says, tmp_path):
    """The entry and its value, or what is wrong with the text."""
    sentence = message_of(text.encode(), ending, tmp_path)
    assert sentence is not None
    assert re.search(says, sentence), sentence


def test_a_folder_or_a_pipe_is_no_file(tmp_path):
    """And does not hang."""
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    for name in ("folder", "pipe"):
        with pytest.raises(ValueError, match=f"{name}.toml cannot be read .it is no file"):
            Setting.load(tmp_path / f"{name}.toml")
