"""Reports for CI systems and people: valid, escaped, self-contained, and never more hopeful than the verdict."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from markdown_it import MarkdownIt

from skipfill.cli.reports.comparison import objections
from skipfill.cli.reports.files import refuse_unwritable
from skipfill.cli.reports.findings import findings, headline, same_as_all
from skipfill.cli.reports.github import step_summary, workflow_commands
from skipfill.cli.reports.html import html
from skipfill.cli.reports.junit import junit
from skipfill.cli.reports.next_steps import next_command
from skipfill.cli.reports.outlook import Outlook
from skipfill.cli.reports.svg import Scale
from skipfill.store.checks.report import Cell, Effort, Flips, IndexRecall, Interval, Report, Slice
from skipfill.store.checks.requirement import Requirement, Verdict
from skipfill.store.checks.scores import ScoreDistribution
from skipfill.store.errors import BadInput
from skipfill.store.parquet.digests.fingerprint import RowsBy
from tests.conftest import Skipfill, World, tree

HOSTILE = [
    "lang = 'a,b::c%'\r\n::error::x",
    "<script>alert('&\"')</script><img src=http://e.example/x onerror=a>",
    "| a | `b` \\| [c](http://e.example) **d** _e_ ![f](http://e.example/f) <b>g</b> &amp; ~h~ $i$ 1. - # j",
    "nul \0 bell \a escape \x1b[31m not a character \uffff \ufffe surrogate \udc80",
    "</title></style></svg> ]]> --> <!--",
    "right to left \u202e override, כן, 日本語, 🙂",
    "  spaces  around\t",
    "long" * 60,
]
VERDICTS: list[Verdict] = ["pass", "fail", "inconclusive"]


def requirement(name: str, verdict: Verdict, claim: str = "not worse than old/old by 0.02 in CMC@1") -> Requirement:
    low, high = {"pass": (0.01, 0.05), "fail": (-0.21, -0.03), "inconclusive": (-0.06, 0.07)}[verdict]
    more = 140 if verdict == "inconclusive" else None
    return Requirement(
        name, "not-worse", "old/old", "CMC@1", claim, -0.02, (low + high) / 2, low, high, 0.2, 0.3, verdict, more
    )


def budget(name: str) -> Requirement:
    claim = "fewer than 1.00% of queries right before and wrong after"
    return Requirement(name, "flip-budget", "", "CMC@1", claim, -0.01, -0.028, -0.034, -0.024, 0.9, 0.01, "fail", None)


def a_slice(name: str, *verdicts: Verdict) -> Slice:
    metrics = ("CMC@1", "mAP")
    pairs = {"old/old": 0.59, "new/old": 0.61, "new/new": 0.75, "ceiling": 0.8}
    asked = [requirement(name, one, f"claim {place}") for place, one in enumerate(verdicts)]
    return Slice(
        name=name,
        queries=120,
        units=100,
        cells=[Cell(pair, one, Interval(at, at - 0.05, at + 0.05)) for pair, at in pairs.items() for one in metrics],
        change={one: Interval(0.02, -0.01, 0.05) for one in metrics},
        gain={"CMC@1": Interval(0.1, -0.2, 0.4), "mAP": None},
        flips={"negative": 7, "positive": 9},
        requirements=asked,
        verdict=max(verdicts, key=["pass", "inconclusive", "fail"].index, default="inconclusive"),
    )


def a_report(*slices: Slice, verdict: Verdict | None = None) -> Report:
    worst = max((one.verdict for one in slices), key=["pass", "inconclusive", "fail"].index, default="inconclusive")
    edges = [-1.0, -0.5, 0.0, 0.5, 1.0]
    return Report(
        gallery="things",
        version=3,
        state="0123abcd",
        model="v2",
        fingerprint="f" * 64,
        verdict=verdict or worst,
        why=["empty: no query of this kind, though the gallery has rows of it"],
        slices=list(slices),
        policy={"metric": "CMC@1", "confidence": 0.95, "margin": 0.02, "accept_worse": ["tolerated"]},
        truth="labels",
        gallery_rows=1234,
        reencoded_rows=400,
        ceiling="top",
        baseline="encoded by v1",
        flips=Flips(["q1", "<q2>"], ["q3"]),
        scores=[
            ScoreDistribution(pair, edges, [0, 0.1, 0.3, 0.6], [0, 0.5, 0.5, 0]) for pair in ("old/old", "new/old")
        ],
        warnings=["12 queries left out: no label"],
        created="2026-01-02T03:04:05.678+00:00",
        seconds=12.3,
        id="71b245d1a14f",
    )


EMPTY = replace(a_slice("empty"), queries=0, units=0, cells=[], change={}, gain={})
TOLERATED = replace(a_slice("tolerated"), verdict="pass")
UNKNOWN = replace(
    a_slice("unknown", "inconclusive"),
    requirements=[
        replace(requirement("unknown", "inconclusive"), found=float("nan"), low=float("nan"), high=float("nan"))
    ],
    change={"CMC@1": Interval(float("nan"), float("-inf"), float("inf"))},
)
INDEX = IndexRecall(
    rows=1000,
    gallery_rows=1234,
    queries=100,
    given_queries=120,
    k=10,
    settings={"neighbours": 32, "ef_search": 64},
    recall={"old": Interval(0.98, 0.97, 0.99), "new": Interval(0.91, 0.9, 0.92)},
    change=Interval(-0.07, -0.08, -0.06),
    efforts=[Effort(16, 0.9, 0.8), Effort(64, 0.98, 0.91), Effort(256, 1.0, 0.99)],
    effort_needed=180,
    most_effort=4096,
    dimension={"old": 10.4, "new": None},
    dimension_neighbours=100,
    dimension_ratio=None,
    warnings=["the index finds less for new queries"],
)
REPORTS = {
    "pass": a_report(a_slice("all", "pass"), a_slice("unseen", "pass", "pass")),
    "fail": a_report(a_slice("all", "pass"), a_slice("unseen", "fail", "inconclusive")),
    "inconclusive": a_report(a_slice("all", "pass"), a_slice("unseen", "inconclusive")),
    "empty slice": a_report(a_slice("all", "pass"), EMPTY),
    "accepted": a_report(a_slice("all", "pass"), TOLERATED),
    "not a number": a_report(UNKNOWN),
    "hostile": a_report(*(a_slice(name, "pass", "fail", "inconclusive") for name in HOSTILE)),
    "verdict of its own": a_report(a_slice("all", "pass"), verdict="fail"),
    "index": replace(a_report(a_slice("all", "pass")), index=INDEX),
    "nothing": replace(a_report(), scores=[], flips=Flips([], [])),
    "many": a_report(*(a_slice(f"s{number}", VERDICTS[number % 3]) for number in range(90))),
}
every = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())


def shown(name: str) -> str:
    """A name as a reader of any report sees it."""
    escaped = (one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in name)
    return " ".join("".join(escaped).split())


# JUnit


@every
def test_junit_is_valid_and_counts_what_it_holds(report: Report) -> None:
    document = junit(report)
    xmlschema.XMLSchema(Path(__file__).parents[1] / "fixtures" / "junit.xsd").validate(document)
    root = ElementTree.fromstring(document.encode())
    cases = list(root.iter("testcase"))
    assert len(cases) == len(findings(report)) == sum(int(one.attrib["tests"]) for one in root)
    assert len(list(root.iter("failure"))) == sum(int(one.attrib["failures"]) for one in root)
    assert len({one.attrib["name"] for one in cases}) == len(cases)
    assert [one.attrib["name"] for one in root if one.attrib["name"] != "check"] == [
        shown(one.name) for one in report.slices
    ]
    # Green only if the verdict is.
    assert (report.verdict == "pass") == (root.find(".//failure") is None)


def test_junit_tells_what_was_found_and_with_what() -> None:
    root = ElementTree.fromstring(junit(REPORTS["fail"]).encode())
    properties = {one.attrib["name"]: one.attrib["value"] for one in root.iter("property")}
    assert properties["check"] == "71b245d1a14f"
    assert (properties["gallery"], properties["version"], properties["model"]) == ("things", "3", "v2")
    assert '"margin": 0.02' in properties["policy"]
    failures = [one.attrib for one in root.iter("failure")]
    assert [one["type"] for one in failures] == ["fail", "inconclusive"]
    assert "found -0.120, above -0.210 and below -0.030" in failures[0]["message"]
    assert "about 140 more queries" in failures[1]["message"]
    assert "12 queries left out" in (root.findtext("testsuite/system-out") or "")
    assert sum(float(one.attrib["time"]) for one in root) == 12.3
    accepted = ElementTree.fromstring(junit(REPORTS["accepted"]).encode())
    assert [one.attrib["name"] for one in accepted.iter("testcase") if one.find("skipped") is not None] == [
        "tolerated: measured"
    ]


# GitHub


def unescaped(line: str) -> tuple[str, str, str]:
    """Level, title and message as the runner reads them: the first `::` ends the properties, a comma parts them."""
    command, _, message = line.removeprefix("::").partition("::")
    level, _, properties = command.partition(" ")
    key, _, title = properties.partition("=")
    assert key == "title"
    assert "," not in title
    pairs = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}

    def plain(text: str) -> str:
        return re.sub("%0D|%0A|%3A|%2C|%25", lambda found: pairs[found[0]], text)

    return level, plain(title), plain(message)


@every
def test_annotations_are_one_line_each_and_fit(report: Report) -> None:
    lines = workflow_commands(report).splitlines()
    found = [unescaped(line) for line in lines]
    assert all(line.startswith("::") for line in lines)
    levels = [level for level, _, _ in found]
    assert levels == sorted(levels, key=["error", "warning", "notice"].index)
    assert max(levels.count(one) for one in levels) <= 10
    assert f"skipfill: v2 on things: {report.verdict.upper()}" in [title for _, title, _ in found]
    assert ("error" in levels) == (report.verdict != "pass")


def test_a_predicate_in_an_annotation_is_what_it_was() -> None:
    name = HOSTILE[0]
    lines = workflow_commands(a_report(a_slice(name, "fail"))).splitlines()
    assert len(lines) == 3
    assert unescaped(lines[1])[:2] == ("error", f"{shown(name)}: fail")
    assert "::error title=lang = 'a%2Cb%3A%3Ac%25'\\r\\n%3A%3Aerror%3A%3Ax%3A fail::claim 0" in lines[1]
    assert "95%25 confidence" in lines[1]


@every
def test_the_summary_is_markdown_that_shows_names_as_they_are(report: Report) -> None:
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(step_summary(report))
    tree_of = ElementTree.fromstring(f"<div>{rendered}</div>")
    asked, cells = tree_of.iter("table")
    assert [column(row, 1) for row in asked.iter("tr")][1:] == [shown(one) for one in ordered(report)]
    assert [column(row, 0) for row in cells.iter("tr")][1:] == [
        shown(one.name) for one in report.slices if not same_as_all(one, report)
    ]
    allowed = {"div", "h2", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "sub"}
    assert {one.tag for one in tree_of.iter()} <= allowed
    assert next_command(report) in [one.text for one in tree_of.iter("code")]


def column(row: ElementTree.Element, number: int) -> str:
    return "".join(row[number].itertext())


def ordered(report: Report) -> list[str]:
    order = ["fail", "inconclusive", "accepted", "pass"]
    return [one.slice for one in sorted(findings(report), key=lambda one: order.index(one.outcome))]


# HTML


class Page(HTMLParser):
    """Tags, attributes and text of a page; every tag must be closed in its order."""

    VOID = ("meta", "br", "img", "input", "link")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []

    @classmethod
    def of(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        assert not page.open
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


@every
def test_the_page_is_whole_and_needs_nothing_else(report: Report) -> None:
    text = html(report)
    page = Page.of(text)
    assert not {"script", "img", "link", "iframe", "object", "base", "form", "image", "use"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {"src", "href", "srcset", "action", "xlink:href", "style"} & names
    assert not [name for name in names if name.startswith("on")]
    styles = re.search(r"<style>(.*?)</style>", text, re.S)
    assert styles
    assert "url(" not in styles[1]
    assert "@import" not in styles[1]
    words = [" ".join(one.split()) for one in page.words]
    assert report.verdict.upper() in words
    for one in report.slices:
        assert shown(one.name) in words
    assert page.tags.count("svg") > page.tags.count("title") - 1 or not report.slices


def test_the_page_tells_each_requirement_with_its_numbers() -> None:
    report = REPORTS["fail"]
    page = Page.of(html(report))
    words = page.words
    for one in report.slices:
        for asked in one.requirements:
            assert words.count(asked.claim) == 1 + (asked.claim == "claim 0")
            assert f"{asked.found:+.3f}".replace("-", "\u2212") in words
    assert "about 140" in words
    assert headline(report) in words
    assert next_command(report) in words
    assert "<q2>" in words
    assert {"q1", "q3"} <= set(words)


def test_a_plot_puts_values_where_they_are() -> None:
    scale = Scale.over([-0.2, 0.1, float("nan")])
    places = [scale.at(value) for value in (-9.0, -0.2, -0.05, 0.1, 9.0)]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[2] == pytest.approx(50)
    assert places[-1] == 100
    for low, high in ((0.0, 1.0), (-0.213, 0.087), (0.8123, 0.8124), (-1000.0, 3.0)):
        ticks = Scale(low, high).ticks()
        assert 2 <= len(ticks) <= 6
        assert all(low <= one <= high for one in ticks)
    # Bar, ends and mark of the failed requirement, in the page's own scale.
    text = html(a_report(a_slice("all", "fail")))
    bar = re.search(r'<line class="bar" x1="([\d.]+)%"', text)
    mark = re.search(r'<svg class="mark fail" x="([\d.]+)%"', text)
    assert bar
    assert mark
    own = Scale.over([-0.02, -0.21, -0.03, 0.0])
    assert (float(bar[1]), float(mark[1])) == (own.at(-0.02), own.at(-0.12))


def test_the_index_is_drawn_and_its_warning_is_in_every_report() -> None:
    report = REPORTS["index"]
    page = html(report)
    words = Page.of(page).words
    assert {"180", "10.4", "unknown", "0.910", "16", "256"} <= set(words)
    drawn = page.split("title>Recall@10 by efSearch</title>")[1].split("</figure>")[0]
    marks = {
        side: re.findall(rf'<svg class="mark {side}" x="([\d.]+)%" y="([\d.]+)"', drawn) for side in ("old", "new")
    }
    assert [len(one) for one in marks.values()] == [3, 3]
    # More effort is further right, more recall further up, and equal steps of a factor are equally wide.
    for points in marks.values():
        (x1, y1), (x2, y2), (x3, y3) = [(float(x), float(y)) for x, y in points]
        assert x2 - x1 == pytest.approx(x3 - x2, abs=0.02)
        assert y1 > y2 > y3
    assert all(float(new[1]) > float(old[1]) for old, new in zip(*marks.values(), strict=True))
    for one in (page, junit(report), workflow_commands(report), step_summary(report)):
        assert "the index finds less for new queries" in one


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def themes() -> Iterator[dict[str, str]]:
    for block in re.findall(r":root \{(.*?)\}", html(REPORTS["pass"]), re.S)[:2]:
        yield dict(re.findall(r"--([\w-]+): (#\w{6})", block))


@pytest.mark.parametrize("write", [html, junit, step_summary, workflow_commands])
def test_what_stands_against_a_swap_is_in_every_form(write: Callable[[Report, Outlook], str]) -> None:
    said = "v2 was rolled back in version 3 by someone"
    assert said in write(REPORTS["pass"], Outlook(notes=(said,))).replace("\\", "")


@pytest.mark.parametrize("write", [html, junit, step_summary, workflow_commands])
def test_every_report_tells_who_made_the_rows_of_a_mixed_gallery(write: Callable[[Report], str]) -> None:
    one = a_report(a_slice("all", "pass"))
    own, other = RowsBy("v1", "a" * 64, 1200), RowsBy("v2", "f" * 64, 34)
    assert "1,200 rows by v1, 34 rows by v2" in write(replace(one, rows_by=[own, other]))
    assert "mixed" not in write(replace(one, rows_by=[own])) + write(one)


def test_text_and_marks_stand_out_in_light_and_dark() -> None:
    both = list(themes())
    assert len(both) == 2
    for theme in both:
        pairs = [(one, "page", 4.5) for one in ("text", "dim", "pass", "fail", "inconclusive", "accepted")]
        pairs += [(one, f"{one}-tint", 4.5) for one in ("pass", "fail", "inconclusive", "accepted")]
        pairs += [("text", f"{one}-tint", 4.5) for one in ("pass", "fail", "inconclusive")]
        pairs += [(one, "page", 3) for one in ("old", "new", "bar")] + [("bar", "allowed", 3), ("dim", "allowed", 3)]
        for front, back, least in pairs:
            light, dark = sorted((luminance(theme[front]), luminance(theme[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (front, back)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_never_wider_than_the_window(tmp_path: Path, width: int) -> None:
    """Laid out by a browser, in a frame of that width; the page itself may run no script, the one around it does."""
    page = html(a_report(*REPORTS["hostile"].slices, *REPORTS["fail"].slices, EMPTY, TOLERATED))
    (tmp_path / "page.html").write_text(re.sub("<meta http-equiv[^>]*>", "", page), encoding="utf-8", errors="strict")
    (tmp_path / "frame.html").write_text(
        f"<!doctype html><iframe id=f src=page.html style='border:0;width:{width}px;height:900px'></iframe><p id=p></p>"
        "<script>f.onload = () => { let d = f.contentDocument.documentElement;"
        "p.textContent = `${d.clientWidth} ${d.scrollWidth} ${d.querySelectorAll('td').length}` }</script>"
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    done = subprocess.run(
        ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frame.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = re.search(r'<p id="p">(\d+) (\d+) (\d+)</p>', done.stdout)
    assert found, done.stdout[-300:]
    assert int(found[2]) == int(found[1]) <= width
    assert int(found[3]) > 100


# The command line


def test_a_check_writes_its_reports_and_report_writes_the_same(
    skipfill: Skipfill, registered: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("train", "v2", "--gallery", "things", "--items", registered.items, "--epochs", 5, "--batch", 32)
    (tmp_path / "summary.md").write_text("what another step wrote")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    asked = ["check", "things", "v2", "--items", registered.heldout, "--gallery-items", registered.gallery_items]
    done = skipfill(*asked, "--junit", "j.xml", "--html", "h.html", "--github", "--json", expect=None)
    assert done.code in (0, 1, 3)
    check = done.document["check"]["id"]
    printed = [line for line in done.err.splitlines() if line.startswith("::")]
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("what another step wrote\n## ")
    assert check in (tmp_path / "h.html").read_text()
    # No label and no vector of a row is in it.
    assert "class-0" not in (tmp_path / "h.html").read_text() + summary

    before = tree(tmp_path / ".skipfill")
    again = skipfill("report", "things", check, "--junit", "j2.xml", "--html", "h2.html", "--github")
    assert again.out.splitlines() == printed
    assert tree(tmp_path / ".skipfill") == before
    for one, two in (("j.xml", "j2.xml"), ("h.html", "h2.html")):
        assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()
    assert f"check {check};" in skipfill("report", "things", check).out
    assert skipfill("report", "things", check, "--json").document["check"] == done.document["check"]
    assert not list(tmp_path.glob(".*.part"))


def test_an_unknown_check_is_named(skipfill: Skipfill, registered: World) -> None:
    assert "expected a known check" in skipfill("report", "things", "0123", expect=2).err


def test_what_cannot_be_written_is_found_before_anything_is_measured(
    skipfill: Skipfill, registered: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no model v9: the report's file is looked at first.
    command = ["check", "things", "v9", "--items", registered.heldout]
    for option, where in [("--junit", "no/such/folder/j.xml"), ("--html", "."), ("--html", "old_items.parquet/j.xml")]:
        failed = skipfill(*command, option, where, expect=2)
        assert "file that can be written to" in failed.err
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary.md"))
    assert "summary.md" in skipfill(*command, "--github", expect=2).err
    assert not (tmp_path / ".skipfill" / "checks").exists()
    assert "v9" in skipfill(*command, expect=2).err


def test_looking_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text("mine")
    refuse_unwritable(tmp_path / "j.xml", tmp_path / "new.html", None)
    assert tree(tmp_path) == {"j.xml": b"mine"}
    with pytest.raises(BadInput):
        refuse_unwritable(tmp_path / "j.xml" / "deeper")


def test_headlines_name_what_decided() -> None:
    assert headline(REPORTS["pass"]).startswith("3 requirements met, each with 95% confidence")
    assert "unseen: \u201cclaim 0\u201d: found -0.120" in headline(REPORTS["fail"])
    assert "140 more queries" in headline(REPORTS["inconclusive"])
    assert "no query of this kind" in headline(REPORTS["empty slice"])
    assert "tolerated" in headline(REPORTS["accepted"])
    commands = [next_command(REPORTS[verdict]) for verdict in VERDICTS]
    assert commands[0] == "skipfill swap things v2"
    assert all(one != two for one, two in pairwise(commands))


def test_a_budget_of_flips_is_told_in_shares_of_the_queries(tmp_path: Path) -> None:
    report = a_report(replace(a_slice("all", "pass"), requirements=[budget("all")], verdict="fail"))
    words = "found 2.80%, above 2.40% and below 3.40% (each with 95% confidence), required below 1.00%"
    assert words in headline(report)
    assert words in junit(report)
    assert words.replace("%", "%25") in workflow_commands(report)
    assert "| 2.80% | 2.40% | 3.40% | 1.00% |" in step_summary(report)
    page = html(report)
    assert '<span class="value">2.80%</span> <span class="dim ends">2.40% to 3.40%</span>' in page
    assert "found 2.80%, required below 1.00%" in "".join(map(str, objections([report])))
    assert "-0.028" not in headline(report) + junit(report) + step_summary(report) + page
