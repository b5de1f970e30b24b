"""The page of a suite in a browser: it loads from a file, its tables sort, it filters, and it reads on a phone and in
the dark.
"""

from __future__ import annotations

import dataclasses
import math

import pytest

pytest.importorskip("torch")

from browser import CHROMIUM, opened

from onset.paper.figures.registry import caption, of_suite, render
from onset.validate import report
from onset.validate.claims import CLAIMS, ClaimResult
from onset.validate.claims.claim import holds_in_all, is_above

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

PHONE = 375
"""Width in CSS pixels."""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, tiny_suite):
    """A page with all that a page can have: claims with findings and controls, missing runs, comparisons, pictures."""
    _, results = tiny_suite
    folder = tmp_path_factory.mktemp("page")
    first, second, *_ = CLAIMS.values()
    findings = (
        is_above("growth", "1", [0.1, 0.2, 0.3]),
        holds_in_all("heads", [True, False], "formed", control=True),
    )
    claims = (ClaimResult(first, {}, findings), ClaimResult(second, {}, (), ("a run",)))
    results = dataclasses.replace(results, claims=claims)
    pictures = {name: (png, caption(name)) for name, png in render(results, folder, of_suite(results)).items()}
    pictures[f"claim-{first.id}"] = next(iter(pictures.values()))
    return report.write(results, folder, pictures, seeds=None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(autouse=True)
def no_problems(browser):
    """Whatever a test does, the console shows nothing."""
    yield
    assert browser.problems == []


def test_all_pictures_load_and_every_link_leads_somewhere(browser, page_file):
    browser.show(page_file)
    widths = browser.ask("[...document.images].map((one) => one.complete ? one.naturalWidth : 0)")
    assert len(widths) >= 1
    assert min(widths) > 0
    assert browser.ask("[...document.links].filter((one) => !document.getElementById(one.hash.slice(1))).length") == 0


ROWS = """((table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map(
    (cell) => [cell.textContent.trim(), cell.dataset.key === undefined ? null : Number(cell.dataset.key)])))"""


def in_order(keys: list[tuple[str, float | None]], down: bool) -> bool:
    """Numbers sorted, then what has none; texts without digits or signs, whose order no locale disputes, sorted too."""
    numbers = [number for _, number in keys if number is not None]
    texts = [text.lower() for text, number in keys if number is None]
    plain = all(text.replace(" ", "").isalpha() and text.isascii() for text in texts)
    first = all(number is not None for _, number in keys[: len(numbers)])
    return first and numbers == sorted(numbers, reverse=down) and (not plain or texts == sorted(texts, reverse=down))


def test_every_table_sorts_by_every_column_on_a_click(browser, page_file):
    """Up at the first click, down at the second; no row is lost; the head says which way."""
    browser.show(page_file)
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    sizes = browser.ask("[...document.querySelectorAll('table')].map((t) => t.tHead.querySelectorAll('button').length)")
    assert len(sizes) >= 5
    for t, columns in enumerate(sizes):
        table = f"document.querySelectorAll('table')[{t}]"
        before = browser.ask(f"{ROWS}({table})")
        for c in range(columns):
            button = f"{table}.tHead.querySelectorAll('button')[{c}]"
            column = browser.ask(f"[...{button}.closest('tr').cells].indexOf({button}.closest('th'))")
            for way in ("ascending", "descending"):
                browser.click(button)
                assert browser.ask(f"{button}.closest('th').getAttribute('aria-sort')") == way
                assert browser.ask(f"{table}.querySelectorAll('[aria-sort]').length") == 1
                rows = browser.ask(f"{ROWS}({table})")
                assert sorted(map(str, rows)) == sorted(map(str, before))
                keys = [tuple(row[column]) for row in rows]
                assert in_order(keys, way == "descending"), (t, c, way, keys)


def test_settings_are_searched_and_filtered_and_claims_stay(browser, page_file):
    """The search leaves rows with all words, the choice of a verdict those with it somewhere; nothing else goes."""
    browser.show(page_file)
    shown = "[...document.querySelectorAll('.comparisons tbody tr')].filter((row) => row.checkVisibility()).length"
    claims = "[...document.querySelectorAll('[id^=claim-]')].filter((one) => one.checkVisibility()).length"
    rows, claims_shown = browser.ask(shown), browser.ask(claims)
    assert rows > 0
    assert claims_shown == 2
    expected = browser.ask(
        "[...document.querySelectorAll('.comparisons tbody tr')].filter((row) => "
        "row.textContent.includes('formation')).length"
    )
    assert 0 < expected < rows
    browser.enter("#search", "FORMATION linear")
    assert browser.ask(shown) == expected
    browser.enter("#search", "nothing like it")
    assert browser.ask(shown) == 0
    browser.enter("#search", "")
    for kind in ("agrees", "inconclusive", "disagrees"):
        browser.ask(f"(() => {{ verdict.value = '{kind}'; verdict.dispatchEvent(new Event('change')); }})()")
        expected_rows = browser.ask(f"document.querySelectorAll('.comparisons tbody tr[data-verdicts~={kind}]').length")
        assert browser.ask(shown) == expected_rows
        assert browser.ask(claims) == claims_shown


def test_a_link_to_a_claim_opens_it(browser, page_file):
    browser.show(page_file)
    link = "document.querySelector('a[href^=\"#claim-\"]')"
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = false; })")
    browser.click(link)
    browser.wait(f"document.getElementById({link}.hash.slice(1)).open")


def test_a_tap_tells_what_pointing_tells(browser, page_file):
    """A phone cannot point: a tap shows the reason behind a number at the foot, and the next tap removes it."""
    browser.show(page_file, width=PHONE)
    cell = "document.querySelector('td[title]:not([title=\"\"])')"
    assert not browser.ask("document.querySelector('#explanation').checkVisibility()")
    browser.click(cell)
    assert browser.ask("document.querySelector('#explanation').checkVisibility()")
    assert browser.ask(f"document.querySelector('#explanation').textContent === {cell}.title")
    browser.click("document.querySelector('h2')")
    assert not browser.ask("document.querySelector('#explanation').checkVisibility()")


def test_nothing_is_wider_than_a_phone_but_what_scrolls_by_itself(browser, page_file):
    """No text is smaller than 11 pixels; no element stands out on the right, outside tables and code, which scroll."""
    browser.show(page_file, width=PHONE)
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.ask("[innerWidth, document.documentElement.scrollWidth]") == [PHONE, PHONE]
    wide = f"""[...document.body.querySelectorAll("*")].filter((one) => !one.closest(".scroll > *, pre > *") &&
        one.getBoundingClientRect().right > {PHONE}).map((one) => one.outerHTML.slice(0, 200))"""
    assert browser.ask(wide) == []
    small = """[...document.body.querySelectorAll("*")].filter((one) =>
        one.checkVisibility() && one.textContent.trim() &&
        parseFloat(getComputedStyle(one).fontSize) < 11).map((one) => one.outerHTML.slice(0, 200))"""
    assert browser.ask(small) == []


COLOURS = """(() => {
  const found = {};
  for (const one of document.body.querySelectorAll("*")) {
    if (!one.checkVisibility() || ![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    continue; const backs = [];
    for (let at = one; at; at = at.parentElement) backs.push(getComputedStyle(at).backgroundColor);
    found[JSON.stringify([getComputedStyle(one).color, backs])] = one.outerHTML.slice(0, 120);
  }
  for (const one of document.querySelectorAll("input[placeholder]")) {
    found[JSON.stringify([getComputedStyle(one, "::placeholder").color, [getComputedStyle(one).backgroundColor]])] =
    "placeholder";
  }
  return Object.entries(found).map(([key, html]) => [...JSON.parse(key), html]);
})()"""


def rgba(text: str) -> tuple[float, float, float, float]:
    """Red, green and blue in [0, 1], and opacity, of a computed colour."""
    kind, _, inside = text.partition("(")
    assert kind in ("rgb", "rgba")
    red, green, blue, *opacity = (float(number) for number in inside.rstrip(")").split(","))
    return red / 255, green / 255, blue / 255, opacity[0] if opacity else 1.0


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance by WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return math.fsum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(text: str, backs: list[str]) -> float:
    """Of a text on the first background behind it that is not transparent; half-transparent ones do not occur."""
    behind = next(back for back in map(rgba, backs) if back[3] > 0)
    assert behind[3] == rgba(text)[3] == 1
    dark, light = sorted((luminance(rgba(text)), luminance(behind)))
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white_has_the_largest_contrast():
    """By WCAG's definition, 21; grey #767676 is known to pass 4.5 just so."""
    assert contrast("rgb(0, 0, 0)", ["rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"]) == pytest.approx(21)
    assert 4.5 < contrast("rgb(118, 118, 118)", ["rgb(255, 255, 255)"]) < 4.6


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_background(browser, page_file, dark):
    """By WCAG 2.2, level AA: a contrast of 4.5 or more; in the dark the background is dark, the pictures' too."""
    browser.show(page_file, dark=dark)
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    contrasts = [(contrast(text, backs), html) for text, backs, html in browser.ask(COLOURS)]
    print(f"lowest contrast {min(contrasts)[0]:.2f}")
    assert [one for one in contrasts if one[0] < 4.5] == []
    back = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (luminance(rgba(back)) < 0.05) is dark
    filters = set(browser.ask("[...document.images].map((one) => getComputedStyle(one).filter)"))
    assert all(("invert" in one) is dark for one in filters)
