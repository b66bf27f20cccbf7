"""One error root; every error is also a stdlib type and says what to do next."""

from typing import NoReturn


class WhyguardError(Exception):
    """Root of every error the toolkit raises on purpose; the CLI exits with `exit_code`."""

    exit_code = 2


class ConfigError(WhyguardError, ValueError):
    """A recipe, an option or a configuration value is not usable."""


class DataError(WhyguardError, ValueError):
    """A data file, or a table, is not what it was declared to be."""


class MissingFileError(WhyguardError, FileNotFoundError):
    """A path that was named does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingExtraError(WhyguardError, ImportError):
    """An optional package is needed and not installed."""


class MissingToolError(WhyguardError, OSError):
    """An external program is needed and not installed."""


class UnknownLanguageError(WhyguardError, LookupError):
    """A language code is malformed or not in the table."""


class ArtefactError(WhyguardError, RuntimeError):
    """Stored rows do not agree with their manifest."""


class OfflineError(WhyguardError, ConnectionError):
    """A download is needed and `WHYGUARD_OFFLINE=1` forbids it."""


class TeacherError(WhyguardError, RuntimeError):
    """A teacher backend could not answer."""


class PartialError(WhyguardError, RuntimeError):
    """The work stopped in a resumable state; the message says what is left."""

    exit_code = 3


def explain(where: str, expected: str, found: str, do: str) -> str:
    """The one message form: where, what was expected, what was found, what to do next."""
    return f"{where}\n  expected: {expected}\n  found:    {found}\n  to do:    {do}"


def fail(kind: type[WhyguardError], *, where: str, expected: str, found: str, do: str) -> NoReturn:
    """Raise `kind` with the message of `explain`."""
    raise kind(explain(where, expected, found, do))
