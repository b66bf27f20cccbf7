"""annotation.route: items of each language within its budget, later rounds, the fit."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.annotation.made import decision, example
from tests.annotation.routing.making import faulty, ordinary
from tests.generation.making import make_room, stored

from whyguard.annotation.routing.step import ROUTE, RouteConfig
from whyguard.core.errors import ConfigError
from whyguard.core.schemas import Decision, Example, Prompt, ReviewItem
from whyguard.core.steps import Input, Runtime, StepResult
from whyguard.core.tables import Row

SCHEMAS = {"examples": Example, "prompts": Prompt, "items": ReviewItem, "decisions": Decision}
BAD = range(0, 60, 10)


def config(**changes: Any) -> RouteConfig:
    return RouteConfig(**({"campaign": "made", "languages": ("ast_Latn",), "minutes": 20.0}
                          | changes))  # fmt: skip


def run(folder: Path, settings: RouteConfig, **tables: list[Row]) -> StepResult:
    inputs = {name: Input((stored(folder / name, SCHEMAS[name], rows),))
              for name, rows in tables.items()}  # fmt: skip
    return ROUTE.run(inputs, settings, Runtime(), make_room(folder / "room"))


def rows(count: int = 60, languages: tuple[str, ...] = ("ast_Latn",)) -> list[Row]:
    """Rows of which every tenth has another length than it should."""
    return [
        faulty(row, length_ratio_z=9.0) if n in BAD else row
        for language in languages
        for n, row in enumerate(ordinary(count, language))
    ]


def named(result: StepResult) -> list[Row]:
    return result.rows.to_dicts()


def test_the_riskiest_rows_are_asked_about_with_reason_and_suggestion(tmp_path: Path) -> None:
    items = named(run(tmp_path, config(), examples=rows()))
    single = [one for one in items if one["purpose"] == "work" and one["wanted"] == 1]
    wrong = {rows()[n]["example_id"] for n in BAD}
    asked = {one["example_id"] for one in items if one["kind"] == "rationale"}
    assert len(wrong & asked) == len(wrong)
    hit = next(one for one in single if one["example_id"] in wrong)
    assert hit["reason"].startswith("length_ratio_z 9 (farther from 0 than 9") and hit["suggest"]
    assert hit["weight"] == 1.0 and 0.0 < hit["risk"] < 1.0 and hit["round"] == 1


def test_every_language_has_its_own_budget_and_none_is_exceeded(tmp_path: Path) -> None:
    both = ("ast_Latn", "glg_Latn")
    result = run(tmp_path, config(languages=both), examples=rows(languages=both))
    seconds = {"blind": 20.0, "rationale": 75.0}
    for language in both:
        own = [one for one in named(result) if one["language"] == language]
        spent = sum(one["wanted"] * seconds[one["kind"]] for one in own)
        told = result.notes["languages"][language]
        assert 1100 < spent <= 1200 and told["minutes"] == round(spent / 60, 1)
        assert told["pool"] == 60 and told["items"] == len(own)
        assert sum(told["by_purpose"].values()) == told["chosen"]


def test_a_budget_in_items_counts_answers(tmp_path: Path) -> None:
    result = run(tmp_path, config(minutes=None, items=25), examples=rows())
    assert sum(one["wanted"] for one in named(result)) <= 25
    assert result.notes["languages"]["ast_Latn"]["answers"] >= 24


def test_rows_by_chance_and_overlap_rows_have_a_blind_item_and_no_suggestion(tmp_path: Path
                                                                             ) -> None:  # fmt: skip
    items = named(run(tmp_path, config(overlap_share=0.5), examples=rows()))
    blind = {one["example_id"]: one for one in items if one["kind"] == "blind"}
    several = [one for one in items if one["kind"] == "rationale"
               and (one["purpose"] == "random" or one["wanted"] == 2)]  # fmt: skip
    assert {one["example_id"] for one in several} == set(blind)
    assert not any(one["suggest"] for one in [*several, *blind.values()])
    assert all(one["wanted"] == 2 and one["reason"] == "" for one in blind.values())
    assert {one["purpose"] for one in several} == {"work", "random"}
    chance = [one for one in several if one["purpose"] == "random"]
    assert {one["reason"] for one in chance} == {"drawn by chance"}
    assert {one["weight"] for one in chance} <= {1.0, 60 / len(chance)}


def test_gold_rows_are_asked_blind_and_hold_the_known_verdict(tmp_path: Path) -> None:
    data = rows()
    names = [data[n]["example_id"] for n in (1, 2)]
    path = tmp_path / "gold.csv"
    path.write_text("example_id,verdict\n" + "".join(f"{name},harmful\n" for name in names))
    items = named(run(tmp_path, config(gold=str(path)), examples=data))
    gold = [one for one in items if one["purpose"] == "gold"]
    assert sorted(one["example_id"] for one in gold) == sorted(names)
    assert all((one["kind"], one["gold"], one["weight"]) == ("blind", "harmful", None)
               for one in gold)  # fmt: skip
    assert not any(one["example_id"] in names for one in items if one["purpose"] != "gold")


def test_a_later_round_asks_nothing_twice_unless_its_text_changed(tmp_path: Path) -> None:
    data = rows()
    first = named(run(tmp_path / "1", config(), examples=data))
    changed = {first[0]["example_id"]: "a text that was mended"}
    data = [row | {"text": changed.get(row["example_id"], row["text"])} for row in data]
    settings = config(round=2, minutes=500.0)
    later = named(run(tmp_path / "2", settings, examples=data, items=first))
    assert not {one["item_id"] for one in first} & {one["item_id"] for one in later}
    before = {one["example_id"] for one in first if one["kind"] == "rationale"} - set(changed)
    assert {one["example_id"] for one in later} == {row["example_id"] for row in data} - before
    assert all(one["round"] == 2 for one in later)


def test_answers_of_earlier_rounds_fit_the_risk(tmp_path: Path) -> None:
    data = rows(120)
    first = named(run(tmp_path / "1", config(minutes=60.0), examples=data))
    wrong = {data[n]["example_id"] for n in BAD}
    said = [decision(one, "translation_adequacy", "1" if one["example_id"] in wrong else "5")
            for one in first if one["kind"] == "rationale"]  # fmt: skip
    result = run(tmp_path / "2", config(round=2), examples=data, items=first, decisions=said)
    assert result.notes["fit"]["how"] == "answers" and result.notes["fit"]["wrong"] == 6
    assert result.notes["fit"]["wrong"] + result.notes["fit"]["right"] == len(said)
    cold = run(tmp_path / "3", config(round=2), examples=data, items=first)
    assert cold.notes["fit"]["how"].startswith("no answers") and cold.notes["fit"]["right"] == 0


def test_the_same_inputs_give_the_same_items_and_another_seed_others(tmp_path: Path) -> None:
    one = run(tmp_path / "1", config(), examples=rows())
    other = run(tmp_path / "2", config(), examples=rows()[::-1])
    assert sorted(one.rows["item_id"]) == sorted(other.rows["item_id"])
    seeded = run(tmp_path / "3", config(seed=1), examples=rows())
    assert sorted(one.rows["item_id"]) != sorted(seeded.rows["item_id"])


def test_sources_come_from_the_prompts(tmp_path: Path) -> None:
    data = rows(20)
    shared = {"source": "made", "source_row": "1", "licence": "CC0-1.0", "label_sense": "request",
              "edits": [], "signals": [], "split": "train"}  # fmt: skip
    prompts = []
    for row in data:
        own = {name: row[name] for name in ("family_id", "group_id", "label", "categories")}
        spanish = f"{row['family_id']}:spa_Latn"
        prompts += [shared | own | {"prompt_id": spanish, "language": "spa_Latn", "text": "es"},
                    shared | own | {"prompt_id": row["example_id"], "language": "ast_Latn",
                                    "text": row["text"], "translation_of": spanish}]  # fmt: skip
    items = named(run(tmp_path, config(), examples=data, prompts=prompts))
    sources = {(one["kind"], one["source_language"], one["source_text"]) for one in items}
    assert sources == {("rationale", "spa_Latn", "es"), ("blind", None, None)}


def test_withheld_rows_are_dropped_and_never_asked_about(tmp_path: Path) -> None:
    data = [*rows(20), example(900, categories=["S4"])]
    result = run(tmp_path, config(minutes=500.0), examples=data)
    assert result.drops["rule"].to_list() == ["category_not_released"]
    assert "made:900-h:ast_Latn" not in result.rows["example_id"].to_list()


def test_unknown_languages_and_unclear_budgets_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotation\.route: languages"):
        run(tmp_path, config(languages=("ben_Beng",)), examples=rows(4))
    for wrong in ({"items": 3}, {"minutes": None}, {"random_share": 0.95}, {"minutes": 0.0}):
        with pytest.raises(ValidationError, match=r"minutes|random_share"):
            config(**wrong)
