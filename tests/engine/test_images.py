"""Images on their way to mistral.rs: synthetic models of every family that sees, in real runners."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.models.parts import TextPart, images_in
from spnl_tui.models.request import Message
from tests.support.vision_chat import store_image, vision_chat
from tests.support.vision_maker import FAMILIES, make_vision_model

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("family", FAMILIES)
async def test_synthetic_model_that_sees_answers_about_images(family: str, tmp_path: Path) -> None:
    images = tmp_path / "images"
    red, blue = store_image(images, 100, 60, "red"), store_image(images, 30, 90, "blue")
    literal = "Is <image> or <|image_pad|> or <start_of_image> an image?"
    one = Message("user", (red, TextPart(literal)))
    reply, other = Message("assistant", "Yes."), Message("user", (blue, TextPart("And this?")))
    async with vision_chat(make_vision_model(tmp_path / "model", family), images) as chat:
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
