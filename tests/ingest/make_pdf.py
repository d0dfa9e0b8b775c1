"""Small PDFs for tests, written by hand so that every number in them is known."""

import io
from dataclasses import dataclass, field

from pypdf import PdfReader, PdfWriter


@dataclass
class Sheet:
    """lines: (x, y, size, text) in points from the bottom left, in Helvetica."""

    lines: list[tuple[float, float, float, str]] = field(default_factory=list)
    media: tuple[float, float, float, float] = (0, 0, 612, 792)
    crop: tuple[float, float, float, float] | None = None
    rotate: int = 0
    drawing: str = ""


def text_sheet(*lines: str) -> Sheet:
    return Sheet([(72, 720 - 16 * i, 11, line) for i, line in enumerate(lines)])


def make_pdf(*sheets: Sheet, info: str = "") -> bytes:
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    kids = []
    for sheet in sheets:
        content = sheet.drawing + "".join(
            f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({_escaped(text)}) Tj ET\n"
            for x, y, size, text in sheet.lines
        )
        boxes = f"/MediaBox [{' '.join(map(str, sheet.media))}]"
        if sheet.crop:
            boxes += f" /CropBox [{' '.join(map(str, sheet.crop))}]"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R {boxes} /Rotate {sheet.rotate} /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< {info} >>")
    body, offsets = "%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    table += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
    return (body + table + trailer + f"startxref\n{len(body)}\n%%EOF\n").encode("latin-1")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def rewritten(data: bytes, change: "object") -> bytes:
    """`data` after `change(writer)` by pypdf."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    assert callable(change)
    change(writer)
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()
