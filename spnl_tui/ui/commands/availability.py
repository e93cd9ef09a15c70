"""Keys and commands that can do nothing now: why, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.ui.commands.command import Command, Place
from spnl_tui.ui.commands.registry import CHAT_ACTIONS, TURN_ACTIONS, can_do, key_display, keys_of
from spnl_tui.ui.commands.table import COMMANDS
from spnl_tui.ui.widgets.toasts import say, withdraw

if TYPE_CHECKING:
    from textual.notifications import Notification

    from spnl_tui.ui.main_screen import MainScreen

_OF_THE_MODEL = (
    "chat.regenerate", "turn.go_on", "many.ask", "many.compare", "many.judge", "many.merge",
)  # fmt: skip
_NOT_BESIDE_A_REPLY = (
    *_OF_THE_MODEL, "chat.copy", "chat.copy_code", "many.side_by_side", "turn.delete", "turn.delete_branch",
    "turn.earlier", "turn.edit", "turn.fork", "turn.later", "turn.tree",
)  # fmt: skip
_OF_OTHERS = ("talks.list", "talks.last", "talks.search")
"""For other conversations than the one that is seen."""
_TIMEOUT_S = 3
"""At the top of a narrow screen it hides what it is about."""
_OF_A_BLANK = ("chat.get_starter", "chat.new", "chat.stop", "talks.undo")
"""Whether something was said makes no difference to them."""
_REASONS = {
    "chat.copy": "There is no reply to copy.",
    "chat.copy_code": "There is no code block in the reply.",
    "chat.get_starter": "There is a model already.",
    "chat.new": "This conversation has not begun.",
    "chat.regenerate": "The last turn is no reply.",
    "chat.stop": "No reply is being made.",
    "chat.thinking": "The model did not think, and nothing was summed up.",
    "many.judge": "There are no replies beside each other.",
    "many.merge": "There are no replies beside each other.",
    "many.pick": "There are no candidates.",
    "many.side_by_side": "There are no replies beside each other.",
    "models.delete": "The highlighted model is not on this machine.",
    "models.less_context": "No model is looked at.",
    "models.measure": "This machine is measured already, or no model is looked at.",
    "models.more_context": "No model is looked at.",
    "pulls.clear": "No pull is done.",
    "pulls.down": "No pull is selected.",
    "pulls.go_on": "No pulls are left over.",
    "pulls.load": "No pull that is done is selected.",
    "pulls.pause": "No pull that goes on or is paused is selected.",
    "pulls.retry": "No pull that has failed is selected.",
    "pulls.cancel": "No pull is selected.",
    "pulls.cancel_keep": "No pull is selected.",
    "pulls.up": "No pull is selected.",
    "talks.undo": "Nothing was deleted.",
    "turn.delete": "No turn is under the cursor: {turn.up} moves it there.",
    "turn.delete_branch": "No turn is under the cursor: {turn.up} moves it there.",
    "turn.earlier": "There are no branches here.",
    "turn.edit": "There is no prompt yet.",
    "turn.go_on": "The last turn is no reply that was stopped, cut off or edited.",
    "turn.later": "There are no branches here.",
    "turn.pin": "No turn is under the cursor: {turn.up} moves it there.",
}


def why_not(command: Command, screen: MainScreen) -> str:
    """Why this command cannot be done now."""
    action = command.action.partition("(")[0].removeprefix("screen.")

    def key(id: str) -> str:
        return key_display(screen.app, id, screen.keymap)

    if action in CHAT_ACTIONS and screen.panes.seen != "chat":
        return f"It is for the conversation: {key('view.chat')} shows it."
    if action in TURN_ACTIONS and screen.chat.conversation_list.has_focus:
        return f"It is not for the list: {key('talks.leave')} leaves that."
    if action == "show":
        return "It is shown already."
    if command.id in _OF_THE_MODEL and screen.current_model.model is None:
        return screen.current_model.why_none
    if command.id in _NOT_BESIDE_A_REPLY and screen.replying:
        return f"A reply is being made: {key('chat.stop')} stops it."
    if command.id in _OF_OTHERS or (command.place == "talks" and not screen.store.keeps):
        return "Conversations are not kept."
    if not len(screen.conversation) and action in CHAT_ACTIONS and command.id not in _OF_A_BLANK:
        return "Nothing has been said yet."
    reason = _REASONS.get(command.id, command.help)
    return reason.replace("{turn.up}", key("turn.up"))


class UnavailableReason:
    """Tells why a key has done nothing, in a toast that takes the place of the one before."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._toast: Notification | None = None

    def pressed(self, key: str) -> None:
        """Nothing was done for this key. One that is no command's, and Esc, are silent."""
        screen = self._screen
        places: tuple[Place, ...] = ("screen", "app")
        if screen.chat.conversation_list.has_focus:
            places = ("talks", *places)
        elif screen.panes.seen in ("models", "pulls"):
            places = ("models" if screen.panes.seen == "models" else "pulls", *places)
        commands = [each for each in COMMANDS if each.place in places and key in keys_of(each, screen.keymap)]
        commands.sort(key=lambda each: places.index(each.place))
        if commands and key != "escape" and not can_do(commands[0], screen):
            self.say(
                f"{key_display(screen.app, commands[0].id, screen.keymap)} does nothing now",
                why_not(commands[0], screen),
            )

    def say(self, title: str, why: str) -> None:
        """Say why nothing was done."""
        if self._toast is not None:
            withdraw(self._screen, self._toast)
        self._toast = say(self._screen, why, title=title, timeout=_TIMEOUT_S)
