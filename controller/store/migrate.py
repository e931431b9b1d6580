"""Bring a database to the tables that this version of Drumbeat knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from controller.store.errors import StoreError

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(connection: Connection) -> None:
    """Run what migrations are missing, inside the caller's transaction: all of them or none.

    Raises StoreError for a database that a newer Drumbeat has migrated.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    current = MigrationContext.configure(connection).get_current_revision()
    if current == ScriptDirectory.from_config(config).get_current_head():
        return
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"store {connection.engine.url.database}: its tables are of schema {current!r}, which this version of "
            "Drumbeat does not know; run the newer Drumbeat that made them, or restore a backup"
        ) from error
