"""Pages keep how sure text recognition was of them, and which stretches of them no reference holds.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pages", sa.Column("confidence", sa.Double()))
    op.add_column("pages", sa.Column("margins", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
