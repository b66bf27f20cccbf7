import pytest

from whyguard.core.errors import DataError
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.normalise import normalise
from whyguard.curation.taxonomy import category, taxonomy


def test_every_code_has_a_name_and_a_definition() -> None:
    assert tuple(taxonomy().categories) == CATEGORY_CODES
    for code in CATEGORY_CODES:
        assert category(code).name == normalise(category(code).name) != ""
        assert category(code).definition
        assert category(code).written is (code not in NOT_WRITTEN)


def test_names_are_distinct() -> None:
    assert len({category(code).name for code in CATEGORY_CODES}) == len(CATEGORY_CODES)


def test_unknown_code_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"found:    'S15'[\s\S]*did you mean 'S"):
        category("S15")
