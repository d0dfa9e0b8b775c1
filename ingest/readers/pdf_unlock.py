"""A PDF without its encryption, for those who know the password; runs only inside the reading process."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pypdf
import pypdfium2
import pypdfium2.raw as pdfium

from ingest.errors import WrongPassword
from ingest.readers.pdf_text import open_pdf

_BLOCK = 4 * 2**20


def unlocked(path: Path, passwords: Sequence[str]) -> Iterator[bytes]:
    """The document rewritten without encryption, in blocks; none if its reading needs no password.

    PDFium rewrites; what it refuses is left to pypdf. Raises WrongPassword.
    """
    if _refuses(path, None) != pdfium.FPDF_ERR_PASSWORD:
        return  # open to everyone, or it is not the password that is missing
    for rewrite in (_by_pdfium, _by_pypdf):
        for password in passwords:
            whole = rewrite(path, password)
            if whole is not None:
                for start in range(0, len(whole), _BLOCK):
                    yield whole[start : start + _BLOCK]
                return
    raise WrongPassword(f"{path.name}: none of the passwords opens this PDF")


def _refuses(path: Path, password: str | None) -> int | None:
    try:
        open_pdf(path, password).close()
    except pypdfium2.PdfiumError as error:
        return int(error.err_code)
    return None


def _by_pdfium(path: Path, password: str) -> bytes | None:
    try:
        pdf = open_pdf(path, password)
    except pypdfium2.PdfiumError:
        return None
    whole = io.BytesIO()
    pdf.save(whole, flags=pdfium.FPDF_REMOVE_SECURITY)
    pdf.close()
    return whole.getvalue()


def _by_pypdf(path: Path, password: str) -> bytes | None:
    try:
        reader = pypdf.PdfReader(path)
        if not reader.decrypt(password):
            return None
        whole = io.BytesIO()
        pypdf.PdfWriter(clone_from=reader).write(whole)
    except Exception:  # noqa: BLE001 - pypdf raises anything on damaged files; this was the last attempt
        return None
    return whole.getvalue()
