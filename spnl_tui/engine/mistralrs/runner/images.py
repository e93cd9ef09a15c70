"""Handles the images in one model's prompts: their placeholders, token counts and bytes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from spnl_tui.models.image_marks import image_mark, marked_images, replace_marks
from spnl_tui.models.parts import ImagePart
from spnl_tui.models.vision import VisionRule, read_vision


class MissingImage(Exception):
    """A message names an image that is not stored."""


_GEMMA_FAULT = "image hashes but"
"""mistral.rs 0.9.5 refuses a Gemma 3 prompt if its prefix cache holds some, but not all, of the images."""


class PromptImages:
    """The images of prompts for one model."""

    def __init__(self, rule: VisionRule | None = None, folder: Path = Path()) -> None:
        """`rule` is None if the model reads only text. `folder` holds the images, named by their SHA-256."""
        self._rule = rule
        self._folder = folder
        self._apart = 0
        """The number of prompts that were changed to avoid the prefix cache."""

    @classmethod
    def of(cls, base: str | None, folder: str) -> PromptImages:
        """Return the PromptImages for a model with these config files; `base` is None if it reads only
        text."""
        return cls(None if base is None else read_vision(Path(base)), Path(folder))

    @property
    def words(self) -> tuple[str, ...]:
        """The control words that texts must not contain, because each would count as an image."""
        if self._rule is None:
            return ()
        placeholder = self._rule.placeholder
        inner = ("<|image_pad|>",) if "<|image_pad|>" in placeholder else ()
        return (placeholder, *inner)

    def count(self, text: str, count: Callable[[str], int]) -> int:
        """Return the tokens of a text with image marks. `count` counts the tokens of a text without marks."""
        rule = self._rule
        if not (images := marked_images(text)):
            return count(text)
        if rule is None:
            return count(replace_marks(text, lambda _: ""))
        tokens = sum(rule.image_tokens(image.width, image.height) for image in images)
        return count(replace_marks(text, lambda _: "")) + tokens

    def messages(self, prompt: str) -> list[Any]:
        """Return a finished prompt as the messages of a mistral.rs request.

        Raises:
            MissingImage: an image is no longer stored.
        """
        rule = self._rule
        if rule is None or not (images := marked_images(prompt)):
            # Images reach a text-only model only in drafts that are read ahead, never in requests.
            return [{"role": "user", "content": replace_marks(prompt, lambda _: "")}]
        number = 0

        def placeholder(_: ImagePart) -> str:
            nonlocal number
            number += 1
            return rule.placeholder.replace("{number}", str(number))

        text = replace_marks(prompt, placeholder)
        # mistral.rs takes images, in order, and the finished prompt as separate parts.
        urls = [{"type": "image_url", "image_url": {"url": self._data_url(image)}} for image in images]
        return [{"role": "user", "content": [*urls, {"type": "text", "text": text}]}]

    def stream(self, prompt: str, send: Callable[[list[Any]], Iterator[Any]]) -> Iterator[Any]:
        """Send a finished prompt with `send` and return the stream of the reply.

        If Gemma 3 refuses a prompt because of the prefix cache, send it again with newlines before its first
        image, so that the cache does not match.
        """
        first_image = next(iter(marked_images(prompt)), None)
        if self._rule is None or first_image is None:
            return send(self.messages(prompt))
        return self._with_images(prompt, image_mark(first_image), send)

    def _with_images(
        self, prompt: str, first_image: str, send: Callable[[list[Any]], Iterator[Any]]
    ) -> Iterator[Any]:
        try:
            # The first chunk is empty and arrives before the prompt is read, so wait for the second.
            stream = send(self.messages(prompt))
            first = [*islice(stream, 2)]
        except Exception as error:  # mistral.rs raises the same type for all errors
            if _GEMMA_FAULT not in str(error):
                raise
            self._apart += 1
            apart = prompt.replace(first_image, "\n" * self._apart + first_image, 1)
            stream = send(self.messages(apart))
            first = []
        yield from first
        yield from stream

    def _data_url(self, image: ImagePart) -> str:
        try:
            data = (self._folder / image.sha256).read_bytes()
        except OSError as error:
            name = image.name or image.sha256[:12]
            raise MissingImage(f"{name} is no longer in the data directory; attach it again") from error
        return f"data:{image.media_type};base64,{base64.b64encode(data).decode()}"
