"""Alembic's entry: runs the migrations on the connection that `storage.upgrade` hands in.

The caller owns the transaction, so that an upgrade of several steps happens wholly or not at all.
"""

from alembic import context

from storage.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
context.run_migrations()
