"""What routing and auditing share: a campaign's config, and which rows may be shown."""

from collections.abc import Sequence

from pydantic import Field, field_validator

from whyguard.annotation.campaign import CampaignName
from whyguard.annotation.routing.items import releasable
from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import LanguageCode
from whyguard.core.nearest import suggest
from whyguard.core.steps import Inputs, StepConfig
from whyguard.core.tables import Row, drop


class CampaignConfig(StepConfig):
    """Which languages a campaign asks about, and in which round."""

    campaign: CampaignName
    """Name of the campaign: the same in all its rounds."""
    languages: tuple[LanguageCode, ...] = Field(min_length=1)
    round: int = Field(default=1, ge=1)
    """Counted from 1; a later round takes the items of all earlier ones as input."""
    seed: int = 0

    @field_validator("languages")
    @classmethod
    def _once(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) < len(languages):
            raise ValueError("each language once")
        return languages


def optional_rows(inputs: Inputs, name: str) -> list[Row]:
    """Rows of an input that may be left out."""
    return inputs[name].rows.to_dicts() if name in inputs else []


def shown_rows(examples: Sequence[Row]) -> tuple[list[Row], list[dict[str, str]]]:
    """Rows that may be shown, and drops (without their text) of those that may not."""
    drops = [drop({"categories": row["categories"], "withheld": True}, row["example_id"],
                  "category_not_released", "its text is not kept")
             for row in examples if not releasable(row)]  # fmt: skip
    return [row for row in examples if releasable(row)], drops


def check_languages(examples: Sequence[Row], languages: Sequence[str], where: str) -> None:
    """Refuse a language without rows.

    Raises:
        ConfigError: there is one.
    """
    known = sorted({str(row["language"]) for row in examples})
    for language in languages:
        if language not in known:
            fail(ConfigError, where=where, expected="languages of the examples",
                 found=language, do=suggest(language, known))  # fmt: skip
