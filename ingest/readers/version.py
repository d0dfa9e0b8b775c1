"""Which readers these are: it changes whenever a file that could not be read might be readable now."""

from functools import cache
from importlib import metadata

READERS = 3  # raise it with every change that lets readers read more: a format, a repair, text recognition
_LIBRARIES = (
    "pypdf", "pypdfium2", "python-docx", "lxml", "markdown-it-py", "openpyxl", "python-pptx", "olefile",
    "pillow", "rapidocr", "onnxruntime",
)  # fmt: skip


@cache
def readers_version() -> str:
    """Our own count and the versions of the libraries below, such as "1 pypdf=7.1.0 pypdfium2=5.15.2 ..."."""
    return " ".join((str(READERS), *(f"{name}={metadata.version(name)}" for name in _LIBRARIES)))
