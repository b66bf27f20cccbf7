"""Errors: one root, a stdlib type each, one form of message."""

import pickle

import pytest

from whyguard.core import errors
from whyguard.core.errors import WhyguardError, explain, fail
from whyguard.core.optional import require

KINDS = [kind for kind in vars(errors).values()
         if isinstance(kind, type) and issubclass(kind, WhyguardError)]  # fmt: skip
STDLIB = (ValueError, FileNotFoundError, ImportError, OSError, LookupError, RuntimeError,
          ConnectionError)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_shows_its_message_and_can_be_sent_between_processes(
    kind: type[WhyguardError],
) -> None:
    message = explain("file.csv:3", "a label", "'x'", "correct it")
    with pytest.raises(kind, match=r"file\.csv:3\n  expected: a label\n  found:    'x'\n  to do:"):
        fail(kind, where="file.csv:3", expected="a label", found="'x'", do="correct it")
    assert str(kind(message)) == message
    assert str(pickle.loads(pickle.dumps(kind(message)))) == message  # noqa: S301 - our own bytes
    assert kind is WhyguardError or issubclass(kind, STDLIB)
    assert kind.exit_code in (2, 3)


def test_a_missing_package_names_its_extra() -> None:
    assert require("json", "none").__name__ == "json"
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'whyguard\[langid\]'"):
        require("no_such_package_at_all.sub", "langid")
