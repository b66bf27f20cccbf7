"""Starts Argilla's own app in this process, with what makes it safe by default around it."""

import asyncio
import json
import logging
import os
from typing import Any

import uvicorn
from argilla_server import app

from whyguard.annotation.embedded import database
from whyguard.annotation.embedded.engine import register
from whyguard.annotation.embedded.files import HomeFiles, read_credentials, replace
from whyguard.annotation.embedded.guard import (
    Guard,
    close_to_strangers,
    content_policy,
    hide_others_answers,
)
from whyguard.annotation.embedded.jobs import run_inline
from whyguard.annotation.embedded.pages import clean_pages, inline_hashes, statics_folder

_LOG_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Announcing(uvicorn.Server):  # type: ignore[misc]  # it is not in our venv
    """Writes the state file once the socket is open, and removes it at the end."""

    def __init__(self, config: Any, files: HomeFiles) -> None:
        super().__init__(config)
        self._files = files

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            state = {"pid": os.getpid(), "host": self.config.host, "port": self.config.port}
            replace(self._files.state, json.dumps(state))

    async def shutdown(self, sockets: Any = None) -> None:
        self._files.state.unlink(missing_ok=True)
        await super().shutdown(sockets)


def serve(files: HomeFiles, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        NotPrivateError: others can read the owner's credentials.
        SystemExit: the port cannot be opened.
    """
    logging.basicConfig(format=_LOG_FORM, level=logging.WARNING, force=True)
    register(files)
    run_inline()
    close_to_strangers(app)
    hide_others_answers()
    pages = statics_folder()
    clean_pages(pages)
    database.migrate()
    asyncio.run(database.prepare(read_credentials(files)))
    guarded = Guard(app, content_policy(inline_hashes(pages)))
    config = uvicorn.Config(guarded, host=host, port=port, access_log=False,
                            server_header=False, log_level="warning")  # fmt: skip
    _Announcing(config, files).run()
