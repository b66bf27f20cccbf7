"""The dataset card: front matter, figures, hostile text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whyguard.cards.card import card_counts, stated_front_matter
from whyguard.core.engine import Finished
from whyguard.core.tables import Row

Make = Callable[..., Finished]
HOSTILE = "x | <script>alert(1)</script>\n---\n# y `z` [l](http://a.b) =1+1"


def _card(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def _front(card: str) -> dict[str, Any]:
    front: dict[str, Any] = stated_front_matter(card)
    return front


def test_front_matter(version: Path) -> None:
    front = _front(_card(version))
    assert front["language"] == ["ast", "ca", "gl"]
    assert front["license"] == "apache-2.0"
    assert front["pretty_name"] == "A made-up set"
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["text-classification", "text-generation"]
    assert "machine-translated" in front["tags"]
    files = front["configs"][0]["data_files"]
    assert files[0] == {"split": "train", "path": "data/train.parquet"}


@pytest.mark.slow
def test_the_hub_reads_it(version: Path) -> None:
    import huggingface_hub

    card = huggingface_hub.DatasetCard(_card(version))
    facts: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    assert facts["license"] == "apache-2.0"
    assert facts["configs"][0]["config_name"] == "default"


def test_a_licence_the_hub_has_no_word_for(make_version: Make, rows: list[Row]) -> None:
    front = _front(_card(make_version(rows, licence="Gemma Terms").published[0].path))
    assert front["license"] == "other" and front["license_name"] == "Gemma Terms"


def test_sections(version: Path) -> None:
    card = _card(version)
    for heading in ("What was not reviewed", "Counts", "Categories", "Licences by source",
                    "What was dropped", "How it was made", "What the label says",
                    "Intended use and limits", "How to load, check and make it again",
                    "Hashes"):  # fmt: skip
        assert f"\n## {heading}\n" in card
    assert "Reviewed by native speakers: 0 of 72 rows (0%)" in card
    assert "Machine-translated: 72 of 72 rows (100%)" in card
    assert "| made.source | bad\\_label | 1 |" in card
    assert "| S1 Violent Crimes | 4 | 4 | 4 |" in card


def test_people_who_translate_are_not_machines(make_version: Make, rows: list[Row]) -> None:
    for row in rows:
        row["translator"] = "native speakers of MultiJail"
        row["explanation_translator"] = None
        row["reviewed"] = True
    card = _card(make_version(rows, human_translators=("native",)).published[0].path)
    assert "Machine-translated" not in card and "machine-translated" not in _front(card)["tags"]
    assert "72 of 72 rows (100%)" in card


def test_counts_can_be_read_back(version: Path) -> None:
    assert card_counts(_card(version)) == {
        code: [6, 6, 2, 2, 4, 4, 24] for code in ("ast_Latn", "cat_Latn", "glg_Latn")
    }
    with pytest.raises(ValueError, match="no section '## Counts'"):
        card_counts("nothing")


def test_requests_and_rationales_are_not_printed(version: Path) -> None:
    assert "placeholder" not in _card(version)


def test_hostile_text_is_data(make_version: Make, rows: list[Row]) -> None:
    for row in rows:
        row["source"] = row["licence"] = row["translator"] = HOSTILE
    folder = make_version(rows, title=HOSTILE, description=HOSTILE, review_notice=HOSTILE,
                          rerun="whyguard run `x`\n```\n<script>").published[0].path  # fmt: skip
    card = _card(folder)
    body = card.partition("\n---\n")[2]
    assert _front(card)["pretty_name"] == " ".join(HOSTILE.split())
    assert "<script>alert" not in body
    assert "http://" not in body
    assert "\n# y" not in body
    assert card_counts(card)["ast_Latn"][-1] == 24
