"""A campaign's config and the rows that may be shown."""

import json

import pytest
from pydantic import ValidationError
from tests.annotation.made import example

from whyguard.annotation.routing.rows import CampaignConfig, check_languages, shown_rows
from whyguard.core.errors import ConfigError


def test_names_and_languages() -> None:
    config = CampaignConfig(campaign="spring-1", languages=("ast_Latn",))
    assert (config.round, config.seed) == (1, 0)
    with pytest.raises(ValidationError, match="each language once"):
        CampaignConfig(campaign="a", languages=("ast_Latn", "ast_Latn"))
    for name in ("Spring", "../up", ""):
        with pytest.raises(ValidationError, match="campaign"):
            CampaignConfig(campaign=name, languages=("ast_Latn",))


def test_a_language_without_rows_is_an_error() -> None:
    check_languages([example(1)], ["ast_Latn"], "here")
    with pytest.raises(ConfigError, match=r"here\n(.*\n)*.*use one of|did you mean"):
        check_languages([example(1)], ["ben_Beng"], "here")


def test_rows_of_withheld_categories_are_dropped_without_their_text() -> None:
    rows, drops = shown_rows([example(1), example(2, categories=["S4"])])
    assert [row["example_id"] for row in rows] == ["made:001-h:ast_Latn"]
    assert drops[0]["rule"] == "category_not_released"
    assert json.loads(drops[0]["row"]) == {"categories": ["S4"], "withheld": True}
