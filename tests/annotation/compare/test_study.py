"""A study on disk: the key stays there, answers come back with their arms."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.annotation.compare.making import ARMS, table
from tests.annotation.flow import fill_in

from whyguard.annotation.campaign import CampaignName
from whyguard.annotation.commands.compare import pull
from whyguard.annotation.compare.preferences import win_rates
from whyguard.annotation.compare.study import Study, read_scores
from whyguard.annotation.views.files.view import FilesView
from whyguard.core.errors import ConfigError, MissingFileError
from whyguard.core.progress import Progress

QUIET = Progress.silent()


def view(folder: Path) -> FilesView:
    return FilesView(folder, lambda name, space: "ast-1" if name == "Ana" else None)


def test_preferences_come_back_with_their_arms(tmp_path: Path) -> None:
    study, files = Study(tmp_path / "pilot"), tmp_path / "files"
    scores, examples = table(12)
    made = study.make(scores, examples, ARMS)
    assert made.pairs.height == 12 and made.drops.height == 0
    assert study.push(view(files), 1, QUIET) == (12, 0)
    assert study.push(view(files), 1, QUIET) == (0, 12)

    def prefers_one(shown: Mapping[str, str]) -> Mapping[str, str | int]:
        assert not set(ARMS) & set(" ".join(shown.values()).split()), "arms are hidden"
        return {"preference": "a" if shown["rationale_a"].startswith("one") else "b"}

    assert fill_in(files, "Ana", prefers_one) == 12
    changes, pulled, found = study.pull(view(files), QUIET)
    assert changes.given == 12 and not pulled.refused
    rate = win_rates(found.rows, *ARMS, draws=20).row(0, named=True)
    assert (rate["wins"], rate["losses"], rate["rate"]) == (12, 0, 1.0)
    assert study.pull(view(files), QUIET)[0].total == 0


def test_the_same_rows_make_the_same_pairs_and_the_salt_is_private(tmp_path: Path) -> None:
    study = Study(tmp_path / "pilot")
    scores, examples = table(6)
    first = study.make(scores, examples, ARMS).pairs
    assert study.make(scores, examples, ARMS).pairs.equals(first)
    assert stat.S_IMODE((tmp_path / "pilot" / "salt").stat().st_mode) == 0o600
    other = Study(tmp_path / "other").make(scores, examples, ARMS).pairs
    assert set(other["item_id"]).isdisjoint(first["item_id"])


def test_a_limit_keeps_pairs_of_each_language(tmp_path: Path) -> None:
    scores, examples = table(6)
    assert Study(tmp_path / "pilot").make(scores, examples, ARMS, limit=4).pairs.height == 4


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="review compare push"):
        Study(tmp_path / "pilot").pairs()
    with pytest.raises(MissingFileError, match=r"rows\.parquet of train\.evaluate"):
        read_scores(tmp_path / "rows.parquet")


@pytest.mark.parametrize("name", ["Pilot", "../up", "-a", "a" * 41, "a\n", ""])
def test_a_study_is_named_as_a_campaign_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        pull(name, None, tmp_path)
    with pytest.raises(ValidationError, match="pattern"):
        TypeAdapter(CampaignName).validate_python(name)
