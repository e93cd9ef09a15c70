"""Everything that a key can do: one table that yields bindings, palette entries and the help screen.

The ids are the names by which a user changes keys in the configuration (`[keys]`), so they must not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["app", "screen", "prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that the user can do."""

    id: str
    """The name in the configuration."""
    keys: str
    """The default keys, separated by commas."""
    action: str
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the palette, the help screen and the tooltip."""
    group: str
    """The heading in the help screen."""
    place: Place = "screen"
    footer: bool = False
    palette: bool = True

    def binding(self) -> Binding:
        """The command as Textual's binding.

        Those of the screen have priority, since the prompt has the focus almost always and would take some of
        these keys. Those of the prompt have not: a priority binding is acted on before the keys that were
        typed ahead of it have reached the prompt, and Enter would send half of what was typed.
        """
        return Binding(
            self.keys,
            self.action,
            self.label,
            show=self.footer,
            priority=self.place != "prompt",
            id=self.id,
            tooltip=self.help,
        )


COMMANDS: tuple[Command, ...] = (
    Command(
        id="chat.send",
        keys="enter",
        action="submit",
        label="Send",
        help="Send the prompt.",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.newline",
        keys="ctrl+j,shift+enter,alt+enter",
        action="newline",
        label="New line",
        help="Begin a new line in the prompt.",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.earlier",
        keys="up",
        action="earlier",
        label="Earlier prompt",
        help="Bring back an earlier prompt (on the first line).",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.later",
        keys="down",
        action="later",
        label="Later prompt",
        help="Go on to a later prompt (on the last line).",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.stop",
        keys="escape",
        action="stop",
        label="Stop",
        help="Stop the reply and keep what has come.",
        group="Reply",
        footer=True,
    ),
    Command(
        id="chat.regenerate",
        keys="ctrl+r",
        action="regenerate",
        label="Again",
        help="Reply again to the last prompt.",
        group="Reply",
        footer=True,
    ),
    Command(
        id="chat.copy",
        keys="ctrl+y",
        action="copy_reply",
        label="Copy",
        help="Copy the last reply.",
        group="Reply",
        footer=True,
    ),
    Command(
        id="chat.copy_code",
        keys="ctrl+b",
        action="copy_code",
        label="Copy code",
        help="Copy a code block of the last reply.",
        group="Reply",
        footer=True,
    ),
    Command(
        id="chat.thinking",
        keys="ctrl+t",
        action="toggle_thinking",
        label="Thinking",
        help="Show or hide what the model thought.",
        group="Reply",
    ),
    Command(
        id="chat.new",
        keys="ctrl+n",
        action="new_conversation",
        label="New",
        help="Begin a new conversation.",
        group="Conversation",
        footer=True,
    ),
    Command(
        id="chat.page_up",
        keys="pageup",
        action="page_up",
        label="Page up",
        help="Scroll the conversation up by a page.",
        group="Conversation",
        palette=False,
    ),
    Command(
        id="chat.page_down",
        keys="pagedown",
        action="page_down",
        label="Page down",
        help="Scroll the conversation down by a page.",
        group="Conversation",
        palette=False,
    ),
    Command(
        id="chat.follow",
        keys="end,ctrl+end",
        action="follow",
        label="Follow",
        help="Follow the reply (at the end of a line).",
        group="Conversation",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.get_starter",
        keys="ctrl+g",
        action="get_starter",
        label="Get starter",
        help="Get the starter model (94 MB).",
        group="Conversation",
    ),
    Command(
        id="app.help",
        keys="f1",
        action="help",
        label="Help",
        help="Show all keys.",
        group="Program",
        place="app",
        footer=True,
    ),
    Command(
        id="app.palette",
        keys="ctrl+p",
        action="command_palette",
        label="Commands",
        help="Search all commands.",
        group="Program",
        place="app",
        footer=True,
        palette=False,
    ),
    Command(
        id="app.theme",
        keys="f3",
        action="change_theme",
        label="Theme",
        help="Choose another theme.",
        group="Program",
        place="app",
    ),
    Command(
        id="app.quit",
        keys="ctrl+q",
        action="quit",
        label="Quit",
        help="Quit the program.",
        group="Program",
        place="app",
        footer=True,
    ),
)


def bindings(place: Place) -> list[BindingType]:
    """The bindings of the screen, or of the prompt."""
    return [command.binding() for command in COMMANDS if command.place == place]


def keys_of(command: Command, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a command, as the user has set them."""
    return tuple(key.strip() for key in keymap.get(command.id, command.keys).split(",") if key.strip())
