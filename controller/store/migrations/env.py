"""Run by Alembic: migrates over the connection that it is given, in that connection's transaction."""

from alembic import context

from controller.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
