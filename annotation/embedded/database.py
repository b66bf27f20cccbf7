"""The database before the server starts: newest schema, the owner, statuses that are true."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from argilla_server.contexts import accounts
from argilla_server.database import ALEMBIC_CONFIG_FILE, AsyncSessionLocal, async_engine
from argilla_server.models import User, UserRole

from whyguard.annotation.embedded.connections import ENGINE, write
from whyguard.annotation.embedded.files import Credentials

# The `+` keeps SQLite from looking answers up by their status, of which nearly all have the same.
_STATUS = """
CASE WHEN (SELECT count(*) FROM responses p
           WHERE p.record_id = records.id AND +p.status = 'submitted')
       >= (SELECT json_extract(d.distribution, '$.min_submitted') FROM datasets d
           WHERE d.id = records.dataset_id)
     THEN 'completed' ELSE 'pending' END"""
_SET_STATUS = f"UPDATE records SET status = {_STATUS} WHERE status <> {_STATUS}"  # noqa: S608


def migrate() -> None:
    """Bring the schema to the version of the installed server."""
    config = Config(ALEMBIC_CONFIG_FILE)
    config.set_main_option("script_location", str(Path(ALEMBIC_CONFIG_FILE).parent / "alembic"))
    # Without the file's name, its [logging] section cannot turn our own logging off.
    config.config_file_name = None
    command.upgrade(config, "head")


async def prepare(owner: Credentials) -> None:
    """Make or update the owner, and set statuses that a killed server had no time to set.

    Argilla stores an answer first and the record's status after it.
    """
    await _set_owner(owner)
    await write((_SET_STATUS, {}))
    # Their connections belong to this loop; the server's own loop opens new ones.
    await ENGINE.dispose()
    await async_engine.dispose()


async def _set_owner(owner: Credentials) -> None:
    """The credentials' file is the truth: who replaces it, replaces password and key."""
    async with AsyncSessionLocal() as db:
        user = await accounts.get_user_by_username(db, owner.username)
        known = user is not None and user.api_key == owner.api_key
        if known and accounts.verify_password(owner.password, user.password_hash):
            return
        secrets = {
            "api_key": owner.api_key,
            "password_hash": accounts.hash_password(owner.password),
        }
        if user is None:
            await User.create(db, first_name="Owner", username=owner.username,
                              role=UserRole.owner, **secrets)  # fmt: skip
        else:
            await user.update(db, **secrets)
