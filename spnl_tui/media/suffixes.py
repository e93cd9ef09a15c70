"""The files that are converted, by the endings of their names."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ico",
    ".heic", ".heif", ".avif", ".svg",
})  # fmt: skip
"""Names that mean an image, whether or not it can be read."""
TEXT_SUFFIXES = frozenset({".html", ".htm", ".xhtml", ".csv", ".tsv", ".ipynb"})
"""Documents that are texts already, which queries send as they are."""
DOCUMENT_SUFFIXES = frozenset({
    ".pdf", ".docx", ".pptx", ".xlsx", ".html", ".htm", ".xhtml", ".epub", ".csv", ".tsv", ".ipynb",
})  # fmt: skip
