"""Images on their way to mistral.rs: synthetic models of every family that sees, in real runners."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.models.parts import TextPart, images_in
from spnl_tui.models.request import Message
from tests.support.vision_chat import store_image, vision_chat
from tests.support.vision_maker import FAMILIES, make_vision_model
from tests.support.vision_safetensors import SAFETENSORS_FAMILIES, make_vision_safetensors

pytestmark = pytest.mark.alone


def _made(family: str, format: str, folder: Path) -> Path:
    return make_vision_model(folder, family) if format == "gguf" else make_vision_safetensors(folder, family)


@pytest.mark.parametrize(
    ("family", "format"),
    [
        *((family, "gguf") for family in FAMILIES),
        *((family, "safetensors") for family in SAFETENSORS_FAMILIES),
    ],
)
async def test_synthetic_model_that_sees_answers_about_images(
    family: str, format: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    red, blue = store_image(images, 100, 60, "red"), store_image(images, 30, 90, "blue")
    literal = "Is <image> or <|image_pad|> or <start_of_image> an image?"
    one = Message("user", (red, TextPart(literal)))
    reply, other = Message("assistant", "Yes."), Message("user", (blue, TextPart("And this?")))
    async with vision_chat(_made(family, format, tmp_path / "model"), images) as chat:
        _, text_only = await chat.ask(Message("user", literal))
        for messages in (
            (one,),
            (Message("user", (red, blue, TextPart(literal))),),
            (one, reply, Message("user", "Thanks.")),
            (one, reply, other),
        ):
            _, tokens = await chat.ask(*messages)
            assert tokens > text_only
            prompts = sum(message.role == "user" for message in messages)
            images_sent = sum(len(images_in(message.content)) for message in messages)
            counted = await chat.count(*messages) + chat.template_tokens * prompts
            # The small vocabulary has no token for two newlines, which some families put around images.
            assert counted == pytest.approx(tokens, rel=0.02, abs=2 * prompts + 3 * images_sent)
