"""The context of commands. The main screen constructs it; commands do not know the screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.chat.candidates import CandidatesController
    from spnl_tui.ui.chat.controller import ChatController
    from spnl_tui.ui.chat.copying import CopyController
    from spnl_tui.ui.chat.find_controller import FindController
    from spnl_tui.ui.chat.input.controller import PromptController
    from spnl_tui.ui.chat.input.image_controller import ImageController
    from spnl_tui.ui.chat.input.prompt import Prompt
    from spnl_tui.ui.chat.last_reply import LastReplyController
    from spnl_tui.ui.chat.model_controller import ModelController
    from spnl_tui.ui.chat.pane import ChatPane
    from spnl_tui.ui.chat.turns_controller import TurnsController
    from spnl_tui.ui.conversations.controller import ConversationsController
    from spnl_tui.ui.conversations.export_controller import ExportController
    from spnl_tui.ui.conversations.persona_controller import PersonaController
    from spnl_tui.ui.models.serving_controller import ServingController
    from spnl_tui.ui.panes import PaneSwitcher
    from spnl_tui.ui.pulls.controller import PullsController
    from spnl_tui.ui.pulls.pane import PullsPane
    from spnl_tui.ui.tools.controller import ToolsController
    from spnl_tui.ui.widgets.undo import UndoStack


class Program(Protocol):
    """The actions of commands on the whole program."""

    def unload_highlighted(self) -> None:
        """Unload the highlighted model, in the dialog with the loaded models."""

    def explain_quit(self) -> None:
        """Show which key quits."""

    def toggle_help(self) -> None:
        """Show or hide the help screen."""

    async def open_row_menu(self) -> None:
        """Show what can be done with the row or turn under the cursor, and do what the user chooses."""

    def open_palette(self) -> None:
        """Open the palette with all commands."""

    def redraw(self) -> None:
        """Draw the whole screen again, and scroll the conversation to its end."""

    def choose_theme(self) -> None:
        """Let the user choose a theme."""

    def edit_settings(self) -> None:
        """Open the dialog with all settings."""

    def ask_to_quit(self) -> None:
        """End the program, unless pulls are under way and the user decides to stay."""


@dataclass(eq=False, repr=False, frozen=True, slots=True, kw_only=True)
class CommandContext:
    """The controllers, and what the user typed for this run of a command."""

    program: Program
    panes: PaneSwitcher
    chat: ChatPane
    prompts: PromptController
    view: ChatController
    sessions: Sessions
    store: ReportingStore
    model: CurrentModel
    model_controller: ModelController
    reply: LastReplyController
    tools: ToolsController
    turns: TurnsController
    images: ImageController
    candidates: CandidatesController
    conversations: ConversationsController
    exports: ExportController
    personas: PersonaController
    find: FindController
    clipboard: CopyController
    pulls: PullsController
    pulls_pane: PullsPane
    serving: ServingController
    undo: UndoStack
    choose_model: Callable[[], Awaitable[None]]
    """Opens the dialog with the loaded models, and switches to the one that the user chooses."""
    find_model: Callable[[str], Awaitable[ModelHandle | None]]
    """Returns the model of this name, or None if it is not on this machine. May raise SpnlError."""
    switch_model: Callable[[ModelHandle], None]
    """Lets this model answer from the next prompt on."""

    argument: str = ""
    """What was typed after the command's name. Empty for a key."""
    typed: str = ""
    """The whole text that was typed, to put back into the prompt. Empty for a key."""
    typed_in: Conversation | None = None
    """The conversation that was shown when the command was typed. None for a key."""

    @property
    def conversation(self) -> Conversation:
        """The conversation on the screen."""
        return self.sessions.visible.conversation

    @property
    def asked_in(self) -> Conversation:
        """The conversation that the user meant: another one may be on the screen by now."""
        return self.conversation if self.typed_in is None else self.typed_in

    @property
    def replying(self) -> bool:
        """True while a reply is in progress in the conversation on the screen."""
        return self.sessions.visible.replying

    @property
    def prompt(self) -> Prompt:
        """The prompt."""
        return self.chat.prompt
