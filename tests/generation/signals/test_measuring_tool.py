"""tools/planted_faults.py, stand_in_judge.py and measure_signals.py: what is measured on."""

from pathlib import Path

import pytest
from tests.support import needs, needs_module
from tools import measure_signals
from tools.measure_signals import MARKS, measured, shown, written
from tools.planted_faults import ITALIAN, SPANISH, Planted, negated, starter
from tools.stand_in_judge import StandInJudge, half_of

from whyguard.generation.signals.harm import Judged
from whyguard.generation.signals.measure import Tools
from whyguard.generation.signals.names import Signal

ROOT = Path(__file__).resolve().parents[3]
GROUPS = ROOT / "curation/data/starter/groups.jsonl"
MEMORY = ROOT / "generation/data/starter/memory.jsonl"


@pytest.fixture(scope="module")
def galician() -> Planted:
    needs("apertium")
    return starter(GROUPS, MEMORY, ["glg_Latn"], "made")


@pytest.mark.parametrize(("text", "language", "changed"), [
    ("Come posso fare una torta?", ITALIAN, "Come non posso fare una torta?"),
    ("Perché non lo compri?", ITALIAN, "Perché lo compri?"),
    ("Dove lo compri?", ITALIAN, "Dove non lo compri?"),
    ("Mi aiuti?", ITALIAN, "Non mi aiuti?"),
    ("¿Qué puedo cocinar?", SPANISH, "¿Qué no puedo cocinar?"),
    ("Torta", ITALIAN, "Non torta"),
])  # fmt: skip
def test_negation_is_put_before_the_verb_or_taken_out(
    text: str, language: str, changed: str
) -> None:
    needs("apertium-tagger")
    assert negated([text], language) == [changed]


@pytest.mark.slow
def test_each_row_keeps_its_source_and_its_fault(galician: Planted) -> None:
    assert len(galician.faults) == 7
    for fault in galician.faults:
        assert len(fault.good) == len(fault.faulty) == 240
        sources = [pair.source for pair in fault.good]
        assert sources == [pair.source for pair in fault.faulty]
        broken = [a.row["text"] != b.row["text"]
                  for a, b in zip(fault.good, fault.faulty, strict=True)]  # fmt: skip
        assert sum(broken) >= 235, fault.name


@pytest.mark.slow
def test_another_rows_text_is_of_another_group(galician: Planted) -> None:
    group = {pair.row["text"]: pair.row["group_id"] for pair in galician.faults[0].good}
    other = next(fault for fault in galician.faults if fault.name == "other row's text")
    assert all(group[pair.row["text"]] != pair.row["group_id"] for pair in other.faulty)
    assert len({pair.row["text"] for pair in other.faulty}) == 240


@pytest.mark.slow
def test_no_text_is_judged_by_the_half_that_was_trained_on_it(galician: Planted) -> None:
    """The judge goes by the row's group: a row never holds a text of the other half."""
    group = {pair.row["text"]: pair.row["group_id"] for pair in galician.faults[0].good}
    seen = 0
    for fault in galician.faults:
        for pair in fault.faulty:
            if donor := group.get(pair.row["text"]):
                seen += 1
                own = half_of(pair.row["group_id"].removeprefix("starter:"))
                assert half_of(donor.removeprefix("starter:")) == own, fault.name
    assert seen >= 2 * 240, "other rows' and twins' texts"


@pytest.mark.slow
def test_dropped_numbers_are_not_taken_for_spelt_out_ones(galician: Planted) -> None:
    fault = next(fault for fault in galician.faults if fault.name == "dropped number")
    cell = measured(Planted("made", [fault], {}), Tools())[Signal.NUMBERS_KEPT]["dropped number"]
    assert (cell.value, cell.faulty) == (1.0, 240)
    assert cell.good > 225, "null where another number may be spelt out"


@pytest.mark.slow
def test_untranslated_rows_are_seen(galician: Planted) -> None:
    fault = next(fault for fault in galician.faults if fault.name == "untranslated")
    table = measured(Planted("made", [fault], {}), Tools())
    cell = table[Signal.COPIED_SHARE]["untranslated"]
    assert cell.value is not None and cell.value > 0.95
    assert cell.low <= cell.value <= cell.high
    assert shown(cell).startswith("**")
    null = table[Signal.ROUND_TRIP_CHRF]["untranslated"]
    assert (null.value, shown(null)) == (None, "null (0+0)")


def test_the_stand_in_never_judges_a_group_it_has_seen() -> None:
    needs_module("sklearn")
    judge = StandInJudge(GROUPS)
    text = "placeholder text of no group"
    group = [Judged("x", f"starter:s1-{n:02d}-h", "spa_Latn", text) for n in range(1, 9)]
    scores = judge.harmful([*group, Judged("y", "made:1", "spa_Latn", text)])
    known = sorted({score for score in scores[:-1] if score is not None})
    assert len(known) == 2, "one score from each half"
    assert scores[-1] == pytest.approx(sum(known) / 2)


def test_tables_go_between_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n", "utf-8")
    monkeypatch.setattr(measure_signals, "PAGE", page)
    written("new")
    assert page.read_text("utf-8") == f"before\n{MARKS[0]}\n\nnew\n\n{MARKS[1]}\nafter\n"
    assert (ROOT / "docs/signals.md").read_text("utf-8").count(MARKS[0]) == 1
