"""The view itself: the protocol of `views/base.py` over one server."""

from collections.abc import Sequence

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.pull import pull_sheets
from whyguard.annotation.views.argilla.push import push_sheets
from whyguard.annotation.views.base import Pulled, Pushed, Sheet
from whyguard.core.progress import Progress


class ArgillaView:
    """Sheets as datasets of an Argilla server: a workspace a language, a dataset a sheet."""

    def __init__(self, server: Argilla, people: People) -> None:
        self._server, self._people = server, people

    def push(self, sheets: Sequence[Sheet], progress: Progress) -> Pushed:
        """See `push_sheets`."""
        return push_sheets(self._server, sheets, progress)

    def pull(self, sheets: Sequence[Sheet], progress: Progress) -> Pulled:
        """See `pull_sheets`."""
        return pull_sheets(self._server, self._people, sheets, progress)
