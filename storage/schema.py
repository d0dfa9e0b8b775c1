"""The tables, as SQLAlchemy models. Only rooms inside `storage` see them; everyone else gets `records`.

Not here: `reference_fts`, the FTS5 virtual table (rowid = reference id) that migration 0001 creates, since
SQLAlchemy has no words for it. A test holds models and migrations equal.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Names of constraints follow one pattern so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, bytes: LargeBinary}  # noqa: RUF012


class Collection(Base):
    __tablename__ = "collections"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    profile: Mapped[str]
    created_at: Mapped[float]


class Document(Base):
    """former_names: those that it had before it was renamed, which a delete covers in what quotes them."""

    __tablename__ = "documents"

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    media_type: Mapped[str | None]
    bytes: Mapped[int]
    title: Mapped[str | None]
    page_count: Mapped[int | None]
    status: Mapped[str]
    error: Mapped[str | None]
    warnings: Mapped[list[Any]]
    reference_count: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[float] = mapped_column(index=True)
    finished_at: Mapped[float | None]
    unreadable_by: Mapped[str | None]
    former_names: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))


class CollectionDocument(Base):
    __tablename__ = "collection_documents"
    __table_args__ = (Index("ix_collection_documents_document_id", "document_id"),)

    collection_id: Mapped[int] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)


class Source(Base):
    """version: counts the documents that were found at this path of the collection, see `storage.sources`.

    mtime_ns, size: of the file before it was read. gone_at: when it was noticed that no file is there.
    """

    __tablename__ = "sources"
    __table_args__ = (Index("ix_sources_document_id", "document_id"),)

    collection_id: Mapped[int] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int]
    seen_at: Mapped[float]
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    gone_at: Mapped[float | None]


class Page(Base):
    """boxes: zlib of float32, see `storage.codec`. headings: [[start, level, text], ...].

    confidence: of text recognition, null where the text is the document's own. margins: [[start, end], ...].
    """

    __tablename__ = "pages"

    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    text: Mapped[str]
    width: Mapped[float | None]
    height: Mapped[float | None]
    boxes: Mapped[bytes | None]
    headings: Mapped[list[Any]]
    confidence: Mapped[float | None]
    margins: Mapped[list[Any]] = mapped_column(server_default=sa.text("'[]'"))


class Checkpoint(Base):
    """How far a document is read, while it is: see `storage.checkpoints`."""

    __tablename__ = "checkpoints"

    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    made_with: Mapped[str]
    page: Mapped[int]
    headings: Mapped[list[Any]]
    warnings: Mapped[list[Any]]


class Reference(Base):
    """AUTOINCREMENT: an id is never used twice, so that it can name a memory and a vector for ever."""

    __tablename__ = "reference"
    __table_args__ = (
        Index("ix_reference_document_id", "document_id"),
        Index("ix_reference_embedder_id", "embedder", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    page: Mapped[int]
    start: Mapped[int]
    end: Mapped[int]
    heading_path: Mapped[list[Any]]
    token_ids: Mapped[bytes]
    header_tokens: Mapped[int]
    token_offsets: Mapped[bytes]
    vector: Mapped[bytes]
    embedder: Mapped[str]


class Bank(Base):
    __tablename__ = "banks"

    fingerprint_id: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class Memory(Base):
    """document_id repeats the reference's so that counting a document's memories is one index range."""

    __tablename__ = "memories"
    __table_args__ = (
        Index("ix_memories_fingerprint_id_document_id", "fingerprint_id", "document_id"),
        Index("ix_memories_fingerprint_id_shard", "fingerprint_id", "shard"),
    )

    reference_id: Mapped[int] = mapped_column(
        ForeignKey("reference.id", ondelete="CASCADE"), primary_key=True
    )
    fingerprint_id: Mapped[str] = mapped_column(
        ForeignKey("banks.fingerprint_id", ondelete="CASCADE"), primary_key=True
    )
    document_id: Mapped[str]
    shard: Mapped[str]
    key: Mapped[str]
    bytes: Mapped[int]
    checksum: Mapped[int]


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_priority", "status", "priority"),
        Index("ix_jobs_document_id", "document_id"),
        Index("ix_jobs_collection_id_started_at", "collection_id", "started_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str]
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    collection_id: Mapped[int | None] = mapped_column(ForeignKey("collections.id", ondelete="SET NULL"))
    path: Mapped[str]
    memories: Mapped[bool]
    status: Mapped[str]
    stage: Mapped[str]
    done: Mapped[int]
    total: Mapped[int]
    error: Mapped[str | None]
    reasons: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    attempts: Mapped[int]
    priority: Mapped[int]
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]
    cancel_requested: Mapped[bool]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class Worker(Base):
    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    pid: Mapped[int]
    started_at: Mapped[float]
    heartbeat: Mapped[float]
    machine: Mapped[str | None]
    born: Mapped[float | None]
    parent: Mapped[int | None]
    parent_born: Mapped[float | None]
    tokens: Mapped[int] = mapped_column(server_default=text("0"))


class Conversation(Base):
    """user_id: whose it is; null while there is one local user. changed_at: when it was last added to."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("ix_conversations_collection_id_changed_at", "collection_id", "changed_at"),
        Index("ix_conversations_user_id", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    title: Mapped[str]
    created_at: Mapped[float]
    changed_at: Mapped[float]
    user_id: Mapped[int | None]


class KeptAnswer(Base):
    """An answer without the text of any page: see `storage.answers`.

    beside: the answer to the same question that this one is compared with. text: what the model wrote.
    body: the rest of the answer, naming documents by their number in `answer_documents`.
    """

    __tablename__ = "answers"
    __table_args__ = (
        Index("ix_answers_conversation_id", "conversation_id"),
        Index("ix_answers_beside", "beside"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    beside: Mapped[int | None] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"))
    question: Mapped[str]
    text: Mapped[str]
    mode: Mapped[str]
    max_tokens: Mapped[int]
    stopped: Mapped[bool]
    remarks: Mapped[list[Any]]
    body: Mapped[dict[str, Any]]
    rating: Mapped[int] = mapped_column(server_default=sa.text("0"))
    note: Mapped[str] = mapped_column(server_default=sa.text("''"))
    created_at: Mapped[float]


class AnswerDocument(Base):
    """A document that an answer names, by number. document_id: null once it was deleted, at deleted_at."""

    __tablename__ = "answer_documents"
    __table_args__ = (Index("ix_answer_documents_document_id", "document_id"),)

    answer_id: Mapped[int] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str | None] = mapped_column(ForeignKey("documents.id", ondelete="SET NULL"))
    deleted_at: Mapped[float | None]


class User(Base):
    """password: its hash; null for who signs in elsewhere. email: by which a provider knows them. subject:
    the provider's and its name for them, once they signed in.
    """

    __tablename__ = "users"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a removed user's id is never another's

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str | None]
    email: Mapped[str | None] = mapped_column(unique=True)
    subject: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[float]


class Grant(Base):
    """See `storage.grants`."""

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_collection_id", "collection_id"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    collection_id: Mapped[int] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str]


class Session(Base):
    """digest: of the token in the browser's cookie. seen_at: of the last request, see `storage.sessions`."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id", "user_id"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    seen_at: Mapped[float]


class LogEntry(Base):
    """A row of the audit log; triggers refuse to change or delete one. See `storage.trail`.

    user_id, name, through: who did it, and by what they came; the user may be gone since. details: ids and
    sizes. previous: the hash of the row before; hash: of all of this row but itself.
    """

    __tablename__ = "audit_log"

    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    user_id: Mapped[int | None]
    name: Mapped[str]
    through: Mapped[str]
    event: Mapped[str]
    details: Mapped[dict[str, Any]]
    previous: Mapped[str]
    hash: Mapped[str]


class ApiKey(Base):
    """digest: of the secret, which is nowhere. A revoked key stays: see `storage.keys`.

    user_id: whose it is; null for those of the administrator, which open everything.
    """

    __tablename__ = "api_keys"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    per_minute: Mapped[int]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]
    user_id: Mapped[int | None]


class Meta(Base):
    """Counters that other processes watch: see `storage.epochs`."""

    __tablename__ = "meta"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class Removal(Base):
    """Files that a committed delete still has to take off the disk: see `storage.removal`."""

    __tablename__ = "removals"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    target: Mapped[str]
