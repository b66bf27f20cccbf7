"""A pairwise study on disk: its pairs with the key, its salt, and the answers that stand."""

import secrets
from pathlib import Path
from typing import NamedTuple

import polars as pl

from whyguard.annotation.compare.pairs import Pair, make_pairs
from whyguard.annotation.compare.preferences import Preferences, preferences
from whyguard.annotation.compare.sheet import compare_sheets
from whyguard.annotation.people import write_private
from whyguard.annotation.store import AnswerStore, Changes, Sheetful
from whyguard.annotation.views.base import Given, Pulled, Pushed, Sheet, View
from whyguard.core.drafts import replacing
from whyguard.core.errors import MissingFileError, fail
from whyguard.core.progress import Progress
from whyguard.core.schemas import Score
from whyguard.core.tables import validated

_SALT, _PAIRS = "salt", "pairs.parquet"
_SALT_BYTES = 24


class Made(NamedTuple):
    """A study's pairs, and what was left out of it."""

    pairs: pl.DataFrame
    drops: pl.DataFrame


class Answered(NamedTuple):
    """What a pull brought, and all preferences that stand."""

    changes: Changes
    pulled: Pulled
    preferences: Preferences


class Study:
    """One study: `workspace/review/NAME/`. The key never leaves this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, scores: pl.DataFrame, examples: pl.DataFrame, arms: tuple[str, str], *,
             seed: int = 0, limit: int | None = None) -> Made:  # fmt: skip
        """Pair two arms' rationales; called again with the same rows it gives the same pairs.

        `limit` keeps so many pairs a language, chosen by their ids, which say nothing of a text;
        sides are then balanced on average.
        """
        made = make_pairs(scores, examples, arms, seed=seed, salt=self._salt())
        rows = made.rows.sort("language", "item_id")
        if limit is not None:
            rows = rows.group_by("language", maintain_order=True).head(limit)
        self._write(_PAIRS, validated(Pair, rows.sort("item_id"), "pairs"))
        return Made(self.pairs(), made.drops)

    def pairs(self) -> pl.DataFrame:
        """The pairs with their key.

        Raises:
            MissingFileError: the study was not made yet.
        """
        path = self.folder / _PAIRS
        if not path.is_file():
            fail(MissingFileError, where=str(path), expected="the pairs of a study",
                 found="none", do="make it: whyguard review compare push")  # fmt: skip
        return validated(Pair, pl.read_parquet(path), str(path))

    def sheets(self, wanted: int = 1) -> list[Sheet]:
        """The sheets: prompts and two rationales, without arms."""
        return compare_sheets(self.folder.name, self.pairs(), wanted=wanted)

    def push(self, view: View, wanted: int, progress: Progress) -> Pushed:
        """Send the pairs; a second push writes nothing."""
        return view.push(self.sheets(wanted), progress)

    def pull(self, view: View, progress: Progress) -> Answered:
        """Take over the answers, and put the key to them."""
        sheets = self.sheets()
        pulled = view.pull(sheets, progress)
        store = AnswerStore(self.folder)
        changes = store.take([_sheetful(sheet, pulled) for sheet in sheets])
        standing = [Given(a.item_id, a.question, a.annotator, a.value, a.submitted_at)
                    for a in store.standing()]  # fmt: skip
        return Answered(changes, pulled, preferences(standing, self.pairs()))

    def _salt(self) -> str:
        path = self.folder / _SALT
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_urlsafe(_SALT_BYTES) + "\n")
        return path.read_text("utf-8").strip()

    def _write(self, name: str, table: pl.DataFrame) -> None:
        with replacing(self.folder / name) as draft:
            table.write_parquet(draft)


def _sheetful(sheet: Sheet, pulled: Pulled) -> Sheetful:
    items = {item.item_id for item in sheet.items}
    return Sheetful(pulled.places[sheet.name], items, False, sheet.guideline_version,
                    [answer for answer in pulled.given if answer.item_id in items])  # fmt: skip


def read_scores(path: Path) -> pl.DataFrame:
    """Score rows of a parquet file.

    Raises:
        MissingFileError: there is no such file.
        DataError: they are no scores.
    """
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="rows.parquet of train.evaluate",
             found="no such file", do="name the artefact's folder in the store")  # fmt: skip
    return validated(Score, pl.read_parquet(path), str(path))
