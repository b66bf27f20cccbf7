"""The longest field of csv is lent for a block."""

import csv

import pytest

from whyguard.core.csv_fields import longest_field


def test_a_limit_counts_in_its_block_alone() -> None:
    before = csv.field_size_limit()
    with longest_field(10):
        with pytest.raises(csv.Error, match="field larger than field limit"):
            next(csv.reader(["x" * 11]))
        with longest_field(20):
            assert next(csv.reader(["x" * 11])) == ["x" * 11]
        assert csv.field_size_limit() == 10
    assert csv.field_size_limit() == before
