"""Documents have checkpoints, jobs keep the reasons of their attempts, workers can be told alive from dead.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("made_with", sa.String(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("headings", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", name="pk_checkpoints"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_checkpoints_document_id", ondelete="CASCADE"
        ),
    )
    op.add_column("jobs", sa.Column("reasons", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("workers", sa.Column("machine", sa.String()))
    op.add_column("workers", sa.Column("born", sa.Double()))
    op.add_column("workers", sa.Column("parent", sa.Integer()))
    op.add_column("workers", sa.Column("parent_born", sa.Double()))
    op.add_column("workers", sa.Column("tokens", sa.Integer(), nullable=False, server_default="0"))
