"""Optional packages are imported through here, so that the error names what to install."""

import importlib
from types import ModuleType

from whyguard.core.errors import MissingExtraError, explain


def require(module: str, extra: str) -> ModuleType:
    """Import `module`.

    Raises:
        MissingExtraError: it is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        message = explain(
            f"package '{missing}'", "installed", "not installed", f"pip install 'whyguard[{extra}]'"
        )
        raise MissingExtraError(message) from error
