"""Commands for images: take one from the clipboard, open one in the system's viewer."""

from __future__ import annotations

from spnl_tui.errors import CommandError
from spnl_tui.models.parts import ImagePart, images_in
from spnl_tui.ui.commands.command import Availability, Command, Worker
from spnl_tui.ui.commands.conditions import IN_CHAT, unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Prompt"


def _images(context: CommandContext) -> tuple[ImagePart, ...]:
    """Return the images of the selected turn, else of the last turn that has some."""
    if (turn := context.turns.under_cursor()) is not None:
        return images_in(turn.content)
    path = context.conversation.path()
    return next((found for turn in reversed(path) if (found := images_in(turn.content))), ())


def _has_images(context: CommandContext) -> Availability:
    return unless(bool(_images(context)), "There is no image.")


async def _paste(context: CommandContext) -> None:
    mention = await context.images.pasted()
    if mention is None:
        # Without an image, the key does what it does in any text area.
        if context.typed:
            raise CommandError(
                "There is no image in the clipboard",
                "Copy one first. It is read with wl-paste, xclip or pngpaste.",
            )
        context.prompt.action_paste()
        return
    context.prompt.insert(mention)
    context.prompt.focus()


async def _open(context: CommandContext) -> None:
    for image in _images(context):
        await context.images.open(image)


COMMANDS = (
    Command(
        id="image.paste",
        keys="ctrl+v",
        run=_paste,
        needs=IN_CHAT,
        worker=Worker(group="image"),
        label="Paste image",
        help="Attach the image in the clipboard to the prompt.",
        group=_GROUP,
        place="prompt",
        slash="paste",
    ),
    Command(
        id="image.open",
        keys="",
        run=_open,
        needs=(*IN_CHAT, _has_images),
        worker=Worker(group="image"),
        label="Open image",
        help="Open the images of the selected turn, else the last ones, in the system's viewer.",
        group="Reply",
        slash="open",
    ),
)
