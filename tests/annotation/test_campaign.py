"""Campaigns: found by name, their items replaced by step and round."""

from pathlib import Path

import pytest
from tests.annotation.made import example, item

from whyguard.annotation.campaign import Campaign, Head, find_campaign
from whyguard.core.errors import ArtefactError, ConfigError, MissingFileError
from whyguard.core.schemas import ReviewItem
from whyguard.core.steps import Workspace
from whyguard.core.tables import frame


def made(workspace: Workspace, name: str = "made", number: int = 1) -> Campaign:
    campaign = Campaign(workspace.review / name)
    campaign.put_items("route-1", frame(ReviewItem, [item(example(number))]))
    return campaign


def test_the_only_campaign_needs_no_name(workspace: Workspace) -> None:
    with pytest.raises(MissingFileError, match=r"run a recipe with annotation\.route"):
        find_campaign(workspace, None)
    made(workspace)
    assert find_campaign(workspace, None).name == "made"
    made(workspace, "mode")
    with pytest.raises(ConfigError, match="name one of: made, mode"):
        find_campaign(workspace, None)
    with pytest.raises(MissingFileError, match="did you mean 'made'"):
        find_campaign(workspace, "maade")


def test_a_step_that_ran_again_replaces_its_items(workspace: Workspace) -> None:
    campaign = made(workspace)
    campaign.put_items("audit-1", frame(ReviewItem, [item(example(2), "blind")]))
    assert campaign.items().height == 2
    campaign.put_items("route-1", frame(ReviewItem, [item(example(3))]))
    assert sorted(campaign.items()["example_id"]) == ["made:002-h:ast_Latn", "made:003-h:ast_Latn"]
    campaign.put_items("route-2", frame(ReviewItem, [item(example(3))]))
    with pytest.raises(ArtefactError, match="1 more than once"):
        campaign.items()


def test_no_items_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"annotation\.route first"):
        Campaign(tmp_path / "made").items()


def test_the_recipe_is_remembered(workspace: Workspace) -> None:
    campaign = made(workspace)
    assert campaign.head() is None
    head = Head(recipe="recipe.yaml", data=None, settings={"model": "x", "limit": 3})
    campaign.put_head(head)
    assert Campaign(campaign.folder).head() == head
    (campaign.folder / "campaign.json").write_text("{")
    with pytest.raises(ArtefactError, match="whyguard review push RECIPE"):
        campaign.head()
