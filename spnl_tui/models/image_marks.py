"""Images as marks in a text: each mark is a few characters that hold the image's hash and size.

Prompts are cut, compared and counted as text, so images need a place in the text. The runner replaces the
marks by the model's own placeholder in the prompt, and by a number of tokens when counting. Standard library
only, because the runner imports it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from spnl_tui.models.parts import Content, ImagePart, Part, TextPart, as_content, as_text

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
"""Characters from the private use area, which no text of a person or a model contains."""
_MARK = re.compile(
    f"{_OPEN}([0-9a-f]{{64}}):([\\w/+.-]*):(\\d{{1,9}})x(\\d{{1,9}}):(\\d{{1,15}}):([^{_CLOSE}]*){_CLOSE}"
)


def image_mark(image: ImagePart) -> str:
    """Return the mark of an image."""
    size = f"{image.width}x{image.height}:{image.size}"
    return f"{_OPEN}{image.sha256}:{image.media_type}:{size}:{image.name}{_CLOSE}"


def content_of(text: str) -> Content:
    """Return the content of a text with marks: its images and the texts between them."""
    parts: list[Part] = []
    at = 0
    for match in _MARK.finditer(text) if _OPEN in text else ():
        parts += as_content(text[at : match.start()].strip("\n"))
        parts.append(_image(match))
        at = match.end()
    return (*parts, *as_content(text[at:]))


def marked_text(content: Content) -> str:
    """Return all parts as text, with a mark for each image."""
    if not any(isinstance(part, ImagePart) for part in content):
        return as_text(content)
    # Put images directly before the text about them, as in the prompts on which models were trained.
    pieces: list[str] = []
    after_image = True
    for part in content:
        if isinstance(part, ImagePart):
            pieces.append(image_mark(part))
        else:
            text = part.text if isinstance(part, TextPart) else as_text((part,))
            pieces.append(text if after_image else f"\n\n{text}")
        after_image = isinstance(part, ImagePart)
    return "".join(pieces)


def replace_marks(text: str, replacement: Callable[[ImagePart], str]) -> str:
    """Return the text with each mark replaced."""
    if _OPEN not in text:
        return text
    return _MARK.sub(lambda match: replacement(_image(match)), text)


def marked_images(text: str) -> tuple[ImagePart, ...]:
    """Return the images of a text in order, including repetitions."""
    return tuple(_image(match) for match in _MARK.finditer(text)) if _OPEN in text else ()


def without_partial_mark(text: str) -> str:
    """Return the text without a mark that was cut off at its end."""
    at = text.rfind(_OPEN)
    return text if at < 0 or _CLOSE in text[at:] else text[:at]


def _image(match: re.Match[str]) -> ImagePart:
    return ImagePart(match[1], match[2], int(match[5]), match[6], int(match[3]), int(match[4]))
