"""Images that go with a prompt, from the drop to the transcript."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from textual import events

from spnl_tui.engine.backend import Capabilities
from spnl_tui.media.image_store import ImageStore
from spnl_tui.media.media_reader import MediaReader
from spnl_tui.models.parts import ImagePart, TextPart, images_in
from spnl_tui.ui.chat.turns import UserTurn
from tests.support.scripted_engine import MODEL
from tests.support.waiting import wait_until
from tests.ui.support import chat, told

SEEING = replace(MODEL, capabilities=Capabilities(grammars=True, vision=True))


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MediaReader:
    """A reader, and a working directory with an image."""
    (tmp_path / "work").mkdir()
    Image.new("RGB", (40, 20), "red").save(tmp_path / "work" / "my photo.png")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return MediaReader(ImageStore(tmp_path / "images"))


@pytest.mark.slow
async def test_dropped_image_is_sent_shown_and_taken_back_by_an_edit(media: MediaReader) -> None:
    async with chat(model=SEEING, media=media) as it:
        it.app.post_message(events.Paste(f"'{Path.cwd()}/my photo.png'"))
        await it.pilot.pause()
        assert it.prompt.text == '@"my photo.png" '
        await it.ask("Red?")
        image, text = it.engine.asked[0][-1].content
        assert isinstance(image, ImagePart)
        assert text == TextPart('@"my photo.png" Red?')
        assert media.images.read(image)
        turn = it.screen.query_one(UserTurn)
        await wait_until(lambda: "▀" in str(turn.content))
        assert '@"my photo.png" (40×20, ' in str(turn.content)
        Image.new("RGB", (9, 9), "blue").save("my photo.png")
        await it.press("ctrl+e")
        assert it.prompt.text == '@"my photo.png" Red?'
        await it.ask("")
        assert [images_in(message.content)[0].width for message in it.engine.asked[1]] == [9]


async def test_model_without_vision_gives_the_prompt_back_unsent(media: MediaReader) -> None:
    async def others() -> tuple[str, ...]:
        return ("acme/Seer-GGUF:Q8_0",)

    async with chat(media=media, models_that_see=others) as it:
        await it.ask('What is @"my photo.png"?', wait=False)
        await wait_until(lambda: bool(told(it)))
        assert told(it) == [
            "This model cannot see images: SmolLM2-135M-Instruct reads only text.\n"
            "/model acme/Seer-GGUF:Q8_0 sees."
        ]
        assert it.prompt.text == 'What is @"my photo.png"?'
        assert it.turns == []


async def test_image_from_the_clipboard_is_attached_under_a_name(
    media: MediaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Path("my photo.png").read_bytes()  # noqa: ASYNC240

    async def read() -> bytes:
        return copied

    monkeypatch.setattr("spnl_tui.ui.chat.clipboard.read_clipboard_image", read)
    async with chat(model=SEEING, media=media) as it:
        await it.press("ctrl+v")
        await wait_until(lambda: it.prompt.text.startswith("@clipboard-"))
        await it.ask("Red?")
        (image,) = images_in(it.engine.asked[0][-1].content)
        assert image.name == it.turns[0][1].split()[0].removeprefix("@")
        await it.press("ctrl+e")
        await it.ask("", wait=False)
        await wait_until(lambda: len(it.engine.asked) == 2)
        assert images_in(it.engine.asked[1][-1].content) == (image,)
