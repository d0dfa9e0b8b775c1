"""How a document stands when no job is left that would change it.

A document whose memory job was cancelled, or failed, stays answerable in the store: what it lacks is written
on first use. For people that is "partial", with the reason.
"""

from storage.records import DocumentRow, DocumentStatus


def settled_status(row: DocumentRow) -> DocumentStatus:
    """The document's status; partial if it can be asked and no job is left to write its memories."""
    return "partial" if _left_alone(row) else row.status


def settled_error(row: DocumentRow) -> str | None:
    """Why the document is not ready; of one that waits, why the last attempt came to nothing."""
    if _left_alone(row) and row.error is None:
        return (
            f"{row.name}: writing its memories was stopped; each is written when it is first needed, "
            "or all of them by `attest jobs retry`"
        )
    if row.error is None and row.job is not None and row.job.status == "queued" and row.job.reasons:
        return f"{row.name}: tried again later, {row.job.reasons[-1].message}"
    return row.error


def _left_alone(row: DocumentRow) -> bool:
    return row.status == "answerable" and row.job is None
