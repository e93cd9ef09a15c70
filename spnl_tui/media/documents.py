"""Turns documents into text for a model, with marks for pages and sheets. Runs in a child process."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spnl_tui.media.refusal import Refusal

MOST_CHARACTERS = 4_000_000
"""A longer text fits into no model's context."""
_MOST_UNPACKED = 200 << 20
_MOST_ENTRIES = 20_000
_PASSWORD = ("It is protected with a password.", "Remove the password first.")


def read_document(source: str | bytes, name: str, *, pages: str = "") -> tuple[dict[str, Any], bytes]:
    """Return facts, and the text in UTF-8. `pages` selects pages, slides or sheets: "3-7,9".

    Raises:
        Refusal: it cannot be read, or has no text.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    suffix = PurePosixPath(name.partition("#")[0].lower()).suffix
    reader = _READERS[suffix]
    wanted = selected(pages) if pages else None
    facts: dict[str, Any] = {}
    pieces: list[str] = []
    length = 0
    for piece in reader(data, wanted, facts):
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise _too_long()
        pieces.append(piece)
    text = "\n\n".join(pieces).strip()
    if not text:
        raise Refusal(
            "It has no text: its pages may be scanned." if suffix == ".pdf" else "It has no text.",
            "Attach its pages as images to a model that sees." if suffix == ".pdf" else "",
        )
    return facts, text.encode("utf-8", "replace")


def _too_long() -> Refusal:
    return Refusal(
        f"Its text has more than {MOST_CHARACTERS // 1_000_000} million characters.",
        "Choose pages, as in @paper.pdf#3-7.",
    )


def selected(pages: str) -> Callable[[int], bool]:
    """Return a test of page numbers for a selection such as "3-7,9" or "5-".

    Raises:
        Refusal: it is not a selection.
    """
    spans: list[tuple[int, float]] = []
    for span in pages.split(","):
        match = re.fullmatch(r"(\d{1,6})(-(\d{1,6})?)?", span)
        if match is None:
            raise Refusal(f"{pages!r} selects no pages.", "Write them as in @paper.pdf#3-7,9.")
        first = int(match[1])
        spans.append((first, first if match[2] is None else int(match[3]) if match[3] else float("inf")))
    return lambda number: any(first <= number <= last for first, last in spans)


_UNSEEN = re.compile(r"<(script|style|head|svg|noscript)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
Wanted = Callable[[int], bool] | None


def _pdf(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refusal(*_PASSWORD)
        count = len(reader.pages)
    except (PyPdfError, NotImplementedError, ImportError) as error:
        raise Refusal(f"It is a damaged PDF ({' '.join(str(error).split())[:120]}).") from error
    facts["pages"] = count
    scanned: list[int] = []
    read = 0
    for number in range(1, count + 1):
        if wanted is not None and not wanted(number):
            continue
        read += 1
        text = (reader.pages[number - 1].extract_text() or "").strip()
        if text:
            yield f"[page {number} of {count}]\n{text}"
        else:
            scanned.append(number)
    if not read:
        raise Refusal(f"It has {count} pages, and none of them was selected.")
    facts["scanned"] = scanned
    if scanned and len(scanned) < read:
        yield f"[no text on page {_numbers(scanned)}: scanned, or only pictures]"


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown} and {len(numbers) - 20} more" if len(numbers) > 20 else shown


def _check_zip(data: bytes) -> None:
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        # An encrypted Office file is an OLE container, as are the formats of before 2007.
        raise Refusal(
            "It is protected with a password, or of a format from before 2007.", "Save it anew without."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Refusal("It is damaged, or not what its name says.", "Copy or download it again.") from error
    if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > _MOST_UNPACKED:
        raise Refusal("Unpacked, it would be enormous.", "Is it what it claims to be?")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refusal(*_PASSWORD)


def _docx(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    _check_zip(data)
    import docx
    from docx.table import Table

    document = docx.Document(io.BytesIO(data))
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield table([[cell.text for cell in row.cells] for row in block.rows])
        elif text := block.text.strip():
            style = (block.style.name or "") if block.style is not None else ""
            level = style.removeprefix("Heading ") if style.startswith("Heading ") else ""
            if level.isdigit():
                yield f"{'#' * min(6, int(level))} {text}"
            else:
                yield f"- {text}" if style.startswith("List") else text


def _pptx(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    _check_zip(data)
    import pptx

    slides = pptx.Presentation(io.BytesIO(data)).slides
    facts["pages"] = len(slides)
    for number, slide in enumerate(slides, 1):
        if wanted is not None and not wanted(number):
            continue
        texts: list[str] = []
        for shape in slide.shapes:
            if getattr(shape, "has_table", False):
                rows = getattr(shape, "table").rows  # noqa: B009  # only some shapes have one
                texts.append(table([[cell.text for cell in row.cells] for row in rows]))
            elif getattr(shape, "has_text_frame", False):
                texts.append(getattr(shape, "text_frame").text)  # noqa: B009
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text
            texts += [f"Notes: {notes}"] if notes.strip() else []
        yield "\n".join([f"[slide {number} of {len(slides)}]", *(text for text in texts if text.strip())])


def _xlsx(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    _check_zip(data)
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    facts["pages"] = len(book.sheetnames)
    for number, sheet in enumerate(book.worksheets, 1):
        if wanted is not None and not wanted(number):
            continue
        rows: list[list[str]] = []
        characters = 0
        for row in sheet.iter_rows(values_only=True):
            cells = ["" if cell is None else str(cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                rows.append(cells)
                characters += sum(map(len, cells))
            if characters > MOST_CHARACTERS:
                break
        yield f"[sheet {number}: {sheet.title}]\n{table(rows)}"


def _html(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    yield _markdown(_decoded(data))


def _epub(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    _check_zip(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        container = archive.read("META-INF/container.xml").decode("utf-8", "replace")
        package = re.search(r'full-path="([^"]+)"', container)
        if package is None or package[1] not in names:
            raise Refusal("It is damaged: it names no chapters.")
        described = archive.read(package[1]).decode("utf-8", "replace")
        base = PurePosixPath(package[1]).parent
        items: dict[str, str] = {}
        for item in re.findall(r"<(?:\w+:)?item\b[^>]*>", described):
            values = dict(re.findall(r'([\w-]+)="([^"]*)"', item))
            if "id" in values and "href" in values:
                items[values["id"]] = str(base / values["href"])
        chapters = [
            items.get(id, "") for id in re.findall(r'<(?:\w+:)?itemref\b[^>]*?idref="([^"]+)"', described)
        ]
        chapters = [chapter for chapter in chapters if chapter in names]
        facts["pages"] = len(chapters)
        for number, chapter in enumerate(chapters, 1):
            if wanted is None or wanted(number):
                yield f"[chapter {number} of {len(chapters)}]\n{_markdown(_decoded(archive.read(chapter)))}"


def _csv(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    text = _decoded(data)
    if len(text) > MOST_CHARACTERS:
        raise _too_long()
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], ",;\t|")
    except csv.Error:
        dialect = "excel"
    csv.field_size_limit(MOST_CHARACTERS)
    yield table(list(csv.reader(io.StringIO(text), dialect)))


def _notebook(data: bytes, wanted: Wanted, facts: dict[str, Any]) -> Iterator[str]:
    try:
        cells = json.loads(data)["cells"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refusal("It is not a Jupyter notebook, or one of before version 4.") from error
    for number, cell in enumerate(cells, 1):
        if wanted is not None and not wanted(number):
            continue
        source = _joined(cell.get("source"))
        if cell.get("cell_type") != "code":
            yield source
            continue
        yield f"[cell {number}]\n{source}"
        for output in cell.get("outputs", []):
            shown = output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue")
            if shown:
                yield f"[output]\n{_joined(shown)[:20_000]}"


def _joined(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _decoded(data: bytes) -> str:
    if len(data) > 4 * MOST_CHARACTERS:
        raise _too_long()
    if b"\0" in data[:4096] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise Refusal("It is a binary file.", "Its name says that it is text.")
    for encoding in ("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _markdown(html: str) -> str:
    from markdownify import markdownify

    html = re.sub(
        r"<(script|style|head|svg|noscript)\b.*?</\1\s*>", "", html, flags=re.DOTALL | re.IGNORECASE
    )
    text: str = markdownify(html, heading_style="ATX", strip=["img"])
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a Markdown table; the first is its head."""
    whole = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    width = max(map(len, whole), default=0)
    if not width:
        return ""
    lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in whole]
    return "\n".join([lines[0], f"|{'---|' * width}", *lines[1:]])


_READERS = {
    ".pdf": _pdf,
    ".docx": _docx,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    ".html": _html,
    ".htm": _html,
    ".xhtml": _html,
    ".epub": _epub,
    ".csv": _csv,
    ".tsv": _csv,
    ".ipynb": _notebook,
}
