"""The settings that Argilla reads from the environment when it is imported."""

import os
import shutil
import tempfile

from whyguard.annotation.embedded.files import PRIVATE_FOLDER, HomeFiles, read_private

ENGINE_NAME = "whyguard"
_SQLITE_SECONDS = 30


def settings(files: HomeFiles) -> dict[str, str]:
    """What Argilla is told.

    Raises:
        NotPrivateError: others can read the key that signs sessions.
    """
    return {
        "ARGILLA_HOME_PATH": str(files.home),
        "ARGILLA_DATABASE_URL": f"sqlite+aiosqlite:///{files.database}?check_same_thread=False",
        "ARGILLA_DATABASE_SQLITE_TIMEOUT": str(_SQLITE_SECONDS),
        "ARGILLA_SEARCH_ENGINE": ENGINE_NAME,
        "ARGILLA_AUTH_SECRET_KEY": read_private(files.secret).strip(),
        "ARGILLA_AUTH_OAUTH_CFG": str(files.home / "oauth.yaml"),
        "ARGILLA_CORS_ORIGINS": "[]",
        "ARGILLA_ENABLE_TELEMETRY": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(files.temporary),
    }


def prepare(files: HomeFiles) -> None:
    """Set the environment and clear what is left over; call it before Argilla is imported.

    Argilla copies its 14 MB of pages to a new temporary folder at every start and leaves them.
    Settings of Argilla that the caller's environment happens to hold are dropped: another
    database, or another search engine, would be used without a word.
    """
    os.umask(0o077)
    # A killed server leaves its state behind: it must not pass for ours.
    files.state.unlink(missing_ok=True)
    for name in list(os.environ):
        if name.startswith(("ARGILLA_", "OAUTH2_")):
            del os.environ[name]
    os.environ.update(settings(files))
    clear_temporary(files)
    files.temporary.mkdir(mode=PRIVATE_FOLDER)
    tempfile.tempdir = str(files.temporary)
    os.chdir(files.home)


def clear_temporary(files: HomeFiles) -> None:
    """Remove the temporary folder."""
    if files.temporary.exists():
        shutil.rmtree(files.temporary)
