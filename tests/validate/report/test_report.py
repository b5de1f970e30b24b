"""onset.validate.report: the page is self-contained, the JSON complete, and both can be made again from a folder."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
import shutil
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from onset.paper.figures import registry
from onset.paper.report import write_report
from onset.theory.plain_data import plain
from onset.theory.setting import Setting
from onset.validate import report
from onset.validate.claims import CLAIMS, ClaimResult, Need
from onset.validate.claims.claim import compare_numbers, holds_in_all
from onset.validate.claims.markov.published import published
from onset.validate.judging.formats import percent
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance
from onset.validate.report.page import show
from onset.validate.suite import Results
from onset.validate.suite.results import FORMAT


def test_the_page_is_self_contained_and_the_json_complete(tmp_path, tiny_suite):
    """The page holds the picture and no address but its own anchors; every comparison is in both; text is escaped."""
    _, results = tiny_suite
    png = tmp_path / "picture.png"
    png.write_bytes(b"\x89PNG picture")
    page = report.write(results, tmp_path / "page", {"picture": (png, "a <caption>")}, seeds=None).read_text()
    assert base64.b64encode(png.read_bytes()).decode() in page
    assert "a &lt;caption&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert not re.search(r"https?://", page)
    for target in re.findall(r'href="#(\w+)"', page):
        assert f'id="{target}"' in page
    text = html.unescape(page)
    for comparison in results.comparisons:
        assert comparison.setting in text
        assert show(comparison.observed).partition(" ")[0] in text
    for sentence in results.disagreements:
        assert sentence in text
    data = json.loads((tmp_path / "page" / "results.json").read_text())
    kinds = [[one["verdict"]["kind"] for one in c["judged"]] for c in data["comparisons"]]
    assert kinds == [[one.verdict.kind for one in c.judged] for c in results.comparisons]
    assert all(one["verdict"]["tolerance"]["source"] for c in data["comparisons"] for one in c["judged"])
    assert data["holds"] is results.holds
    assert set(data["findings"]) == {"errors", "promises", "exponents", "basins", "disagreements"}
    for setting in data["settings"]:
        for transition in setting["observed"]["transitions"]:
            assert set(transition) >= {"source", "target", "step", "low", "high", "reason"}
    assert [p.name for p in (tmp_path / "page").iterdir() if p.name.startswith(".")] == []


def test_a_claim_stands_on_the_page_with_its_picture_and_what_computes_its_settings(tmp_path, tiny_suite):
    """The command's file is the setting that was judged; the picture stands inside the claim, the table of its heads
    with the transformers'.
    """
    _, results = tiny_suite
    png = tmp_path / "picture.png"
    png.write_bytes(b"\x89PNG picture")
    observed = next(o.observed for o in results.cases if not o.case.toy)
    needs = {"a name": Need(observed.setting, 2), "theory": Need(published(2), kind="mean-field")}
    result = ClaimResult(CLAIMS["phases"], needs, (), runs={"a name": observed})
    page = report.write(replace(results, claims=(result,)), tmp_path, {"claim-phases": (png, "a caption")}, seeds=None)
    text = html.unescape(page.read_text())
    inside = text.partition('id="claim-phases"')[2].partition("<h2")[0]
    assert base64.b64encode(png.read_bytes()).decode() in inside
    assert text.count("a caption") == 1
    for need, command in zip(
        needs.values(),
        ("onset train --setting {} --seeds 2 --out .", "onset predict --setting {} --method mean-field"),
        strict=True,
    ):
        assert command.format(need.file) in inside
        assert Setting.load(tmp_path / need.file) == need.setting
    row = text.partition("layer 2: induction head")[2].partition("<tbody>")[2].partition("</tr>")[0]
    assert re.findall(r">([^<]+)</td>", row) == [observed.setting.label, "2", *["never"] * 4]
    (heads,) = json.loads((tmp_path / "results.json").read_text())["heads"]
    assert (heads["seeds"], len(heads["formed"])) == (2, 4)


def test_results_of_reads_what_write_wrote(tiny_suite):
    """`onset report DIR` needs only the folder; a folder without results says what to run."""
    folder, results = tiny_suite
    report.write(results, folder, {}, seeds=None)
    again, seeds = report.results_of(folder)
    assert seeds is None
    assert again.comparisons == results.comparisons
    with pytest.raises(ValueError, match="run onset validate"):
        report.results_of(folder / "runs")


@pytest.fixture
def file_alone(tiny_suite, tmp_path):
    """A folder with the results of a finished suite and none of its runs."""
    folder, results = tiny_suite
    report.write(results, folder, {})
    shutil.copy(folder / report.RESULTS, tmp_path)
    return tmp_path


def test_without_runs_everything_but_curves_is_drawn_from_the_file(tiny_suite, file_alone):
    """Comparisons, findings and claims are the same; the file keeps what it holds; figures of curves are left out."""
    _, results = tiny_suite
    before = json.loads((file_alone / report.RESULTS).read_text())
    again, seeds = report.results_of(file_alone)
    assert again.to_dict()["comparisons"] == results.to_dict()["comparisons"]
    assert (again.holds, again.missing, again.heads) == (results.holds, (), results.heads)
    page = write_report(again, file_alone, seeds)
    after = json.loads((file_alone / report.RESULTS).read_text())
    for name in ("comparisons", "findings", "claims", "heads", "assumptions", "holds"):
        assert after[name] == before[name]
    assert page.read_text().count("<img") == len(registry.of_suite(again)) > 0
    assert {"phases", "attention"} & set(registry.of_suite(again)) == set()
    assert registry.numbers(again, ["ladder"]) == registry.numbers(results, ["ladder"])


def test_claims_are_read_from_the_file(tmp_path):
    """With findings, verdicts and needs; they cannot be judged again."""
    needs = {"one": Need(published(2), 2)}
    finding = compare_numbers("steps", "", Interval.exact(2.0), Interval.exact(3.0), Tolerance(0.1, "ours"), seeds=2)
    result = ClaimResult(CLAIMS["phases"], needs, (finding,))
    again = ClaimResult.from_dict(json.loads(json.dumps(plain(result.to_dict()))))
    assert again.to_dict() == result.to_dict()
    assert again.verdict == "disagrees"
    with pytest.raises(ValueError, match="run onset validate"):
        again.claim.judge({})


def test_results_are_not_overwritten_by_fewer(tiny_suite, file_alone):
    """Of the same suite; those of another one are the user's choice."""
    _, results = tiny_suite
    before = (file_alone / report.RESULTS).read_bytes()
    with pytest.raises(ValueError, match="lack 0 runs, and these lack 1"):
        report.write(replace(results, missing=("a run",)), file_alone, {})
    assert (file_alone / report.RESULTS).read_bytes() == before
    report.write(replace(results, suite="other", missing=("a run",)), file_alone, {})
    assert (file_alone / report.RESULTS).read_bytes() != before


@pytest.mark.parametrize("format_", [99, "4", None])
def test_an_unknown_format_is_refused(file_alone, format_):
    file = file_alone / report.RESULTS
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": format_}))
    with pytest.raises(ValueError, match=f"format = {format_!r}: expected {FORMAT}"):
        report.results_of(file_alone)


@pytest.mark.parametrize("damage", [{"comparisons": [{}]}, {"settings": None}, {"claims": [{"id": "phases"}]}])
def test_a_damaged_file_without_runs_is_one_sentence(file_alone, damage):
    file = file_alone / report.RESULTS
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.raises(ValueError, match=r"cannot be read \(\w+: .*run onset validate"):
        report.results_of(file_alone)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(227.61, 227.2, 228.4), "228 [227, 228]"),
        (Interval(0.56912, 0.5662, 0.571), "0.569 [0.566, 0.571]"),
        (Interval(12.0), "12.0"),
        (Interval(None, reason="never, up to 1000"), "never, up to 1000"),
        (None, "–"),
    ],
)
def test_numbers_have_three_digits(interval, text):
    assert show(interval) == text


def test_errors_in_percent():
    assert (percent(0.0312), percent(-1.27), percent(None)) == ("+3.1%", "-127%", "–")


def test_a_suite_of_claims_alone_has_a_page_of_claims(tmp_path):
    """Counts of claims in place of settings, no section that would be empty, and what is not on this machine."""
    needs = {"one": Need(published(2), 2)}
    kinds = {"phases": [True, True], "alternation": [False, False], "delay": []}
    claimed = [
        ClaimResult.of(
            dataclasses.replace(
                CLAIMS[name], judge=lambda runs, holds=holds: [holds_in_all("it", holds, "do")] if holds else []
            ),
            needs,
            {},
            absent=[] if holds else ["a model <is> not installed"],
        )
        for name, holds in kinds.items()
    ]
    results = Results("heads", (), (), (), (), (), tuple(claimed))
    page = report.write(results, tmp_path, {}, seeds=None).read_text()
    counts = re.findall(r"<div><b class=\"\w*\">(\d+)</b><small>(\w+)</small></div>", page)
    assert counts == [("1", "agrees"), ("1", "inconclusive"), ("1", "disagrees")]
    assert "<div><b>3</b><small>claims</small></div>" in page
    assert "a model &lt;is&gt; not installed" in page
    anchors, ids = set(re.findall(r'href="#([\w-]+)"', page)), set(re.findall(r'id="([\w-]+)"', page))
    assert anchors <= ids
    assert not {"errors", "settings", "exponents", "basins", "disagreements"} & ids
    assert "promises" not in page
    missing = dataclasses.replace(results, missing=("a run",))
    assert "1 runs are still missing" in report.write(missing, tmp_path / "other", {}, seeds=None).read_text()
