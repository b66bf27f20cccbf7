"""Inputs and workspaces."""

from pathlib import Path

from tests.core.test_artefact import make

from whyguard.core.steps import Estimate, Input, Runtime, StepResult, Workspace, total
from whyguard.core.tables import drops_frame


def test_an_input_joins_its_artefacts_in_order(tmp_path: Path) -> None:
    given = Input((make(tmp_path / "a", "one"), make(tmp_path / "b", "two")))
    assert given.rows["text"].to_list() == ["one", "two"]
    assert given.first.folder == tmp_path / "a"


def test_results_have_no_drops_by_default() -> None:
    assert StepResult(drops_frame()).drops.equals(drops_frame())


def test_the_folders_of_a_workspace() -> None:
    space = Workspace(Path("w"))
    folders = {space.store, space.scratch, space.datasets, space.reports, space.models}
    assert {folder.parent for folder in folders} == {Path("w")}
    assert len(folders) == 5


def test_a_runtime_names_where_the_key_is_never_the_key() -> None:
    assert "api_key_env" in Runtime.model_fields
    assert "api_key" not in Runtime.model_fields


def test_a_total_adds_up_money_of_one_currency_only() -> None:
    one = Estimate(1, 2, 3, 4, 0.5, "EUR")
    assert total([Estimate(), one, None]) == one
    assert total([one, one]) == Estimate(2, 4, 6, 8, 1.0, "EUR")
    assert total([one, one._replace(currency="USD")]).money is None
    assert total([]) == Estimate()
