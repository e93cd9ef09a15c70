"""Runs commands: those of keys and of the palette, and those that were typed."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from functools import partial

from textual.binding import Binding
from textual.dom import DOMNode

from spnl_tui.chat.queue import QueuedCommand
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import CommandError, SpnlError
from spnl_tui.ui.commands.command import Availability, Command, Place, Unavailable
from spnl_tui.ui.commands.context import CommandContext
from spnl_tui.ui.commands.footer import chat_footer
from spnl_tui.ui.commands.registry import CommandRegistry, KeyNames
from spnl_tui.ui.messages import CommandSubmitted
from spnl_tui.ui.widgets.background import restart, start
from spnl_tui.ui.widgets.notice import Notice
from spnl_tui.ui.widgets.toasts import tell


class CommandRunner:
    """Runs commands as workers of the screen. Errors become toasts, and typed text returns to the prompt."""

    def __init__(
        self,
        screen: DOMNode,
        registry: CommandRegistry,
        keys: KeyNames,
        context: CommandContext,
        notice: Notice,
    ) -> None:
        self._screen = screen
        self._registry = registry
        self._keys = keys
        self._context = context
        self._notice = notice

    def availability(self, command: Command) -> Availability:
        """Return whether a key could run this command now."""
        return command.availability(self._context)

    def is_available(self, command: Command) -> bool:
        """Return True if a key could run this command now."""
        return not isinstance(self.availability(command), Unavailable)

    def here(self) -> tuple[str, ...]:
        """Return the ids of the commands for where the user is, those of the footer first."""
        place = self._places()[0]
        places = ("prompt",) if place == "screen" else (place,)
        own = (command.id for command in self._registry if command.place in places)
        return tuple(dict.fromkeys((*self.footer(), *own)))

    async def run_from_help(self, id: str | None) -> None:
        """Run the command chosen in the help, or show why it cannot run now."""
        if id is None:
            return
        command = self._registry[id]
        if self.is_available(command):
            await self.run(command)
        else:
            self._notice.show(f"{command.label} cannot run now", self._reason(command))

    def footer(self) -> tuple[str, ...]:
        """Return the ids of the commands that the footer shows; empty: those that say so themselves."""
        return chat_footer(self._context)

    async def run(self, command: Command) -> None:
        """Run a command for a key or from the palette."""
        await self._run(command, self._context)

    async def run_typed(self, message: CommandSubmitted, typed_in: Conversation | None = None) -> None:
        """Run a typed command. One that is unavailable returns to the prompt.

        Until the program knows whether there is a model, an unavailable command waits among the prompts.
        `typed_in` is the conversation in which it waited.
        """
        typed_in = self._context.conversation if typed_in is None else typed_in
        command, prompt = self._registry[message.command], self._context.prompt
        try:
            argument = await self._expand(command, message.argument)
        except SpnlError as error:
            prompt.give_back(message.text)
            tell(self._screen, error)
            return
        context = replace(self._context, argument=argument, typed=message.text, typed_in=typed_in)
        if not isinstance(command.availability(context), Unavailable):
            await self._run(command, context)
        elif not context.model.looked:
            waiting = QueuedCommand(
                message.text,
                partial(self.run_typed, message, typed_in),
                partial(self.refuse, command.id),
            )
            await context.sessions.of(typed_in).enqueue(waiting)
        else:
            prompt.give_back(message.text)
            self.refuse(command.id)
        # Let it begin with what is on the screen: a command typed after it may show another conversation.
        await asyncio.sleep(0)

    def refuse(self, id: str) -> None:
        """Show why this typed command cannot run now."""
        command = self._registry[id]
        title = f"{command.usage.partition(' ')[0]} cannot run now"
        tell(self._screen, CommandError(title, self._reason(command)))

    async def open_row_menu(self) -> None:
        """Show what can be done with the row or turn under the cursor, and do what the user chooses."""
        from spnl_tui.ui.dialogs.row_menu import MenuItem, RowMenu

        app, place = self._screen.app, self._places()[0]
        items = [
            MenuItem(command.id, command.label, keys, app.get_key_display(Binding(keys[0], "")), command.help)
            for command in self._registry
            if (command.on_turn if place == "screen" else command.place == place and command.in_menu)
            and (keys := self._registry.keys_of(command))
            and self.is_available(command)
        ]
        if not items:
            return
        chosen = await app.push_screen_wait(RowMenu(self._row_title(place), items))
        if chosen is not None:
            await self.run(self._registry[chosen])

    def _row_title(self, place: Place) -> str:
        """Return what the row or turn under the cursor is called."""
        context = self._context
        match place:
            case "talks":
                return chosen.title if (chosen := context.chat.conversation_list.chosen) else ""
            case "models":
                return pane.title_under_cursor if (pane := context.panes.models) else ""
            case "pulls":
                return current.name if (current := context.pulls_pane.current) else ""
            case _:
                turn = context.turns.under_cursor()
                return turn.text if turn is not None else ""

    def explain_key(self, key: str) -> None:
        """Show why this key did nothing. Esc and keys of no command stay silent."""
        if key == "escape":
            return
        places = self._places()
        commands = [c for c in self._registry if c.place in places and key in self._registry.keys_of(c)]
        commands.sort(key=lambda command: places.index(command.place))
        if commands and (reason := self._reason(commands[0])):
            self._notice.show(f"{self._keys(commands[0].id)} does nothing now", reason)

    def _reason(self, command: Command) -> str:
        answer = self.availability(command)
        return self._keys.fill(answer.reason) if isinstance(answer, Unavailable) else ""

    def _places(self) -> tuple[Place, ...]:
        """Return where keys work now, the innermost place first."""
        if (place := getattr(self._screen.app.screen, "PLACE", None)) is not None:
            return (place, "app")
        if self._context.chat.conversation_list.has_focus:
            return ("talks", "screen", "app")
        match self._context.panes.seen:
            case "models":
                return ("models", "screen", "app")
            case "pulls":
                return ("pulls", "screen", "app")
            case _:
                return ("screen", "app")

    async def _expand(self, command: Command, argument: str) -> str:
        """Return the argument with folded pastes and mentioned files written out.

        Raises:
            AttachmentError: a file cannot be read, is not text or is too large.
        """
        if command.before_prompt is None:
            return self._context.prompt.folds.unfold(argument)
        if (before := command.before_prompt.match(argument)) is None:
            return argument
        return before[0] + await self._context.prompts.whole(argument[before.end() :])

    async def _run(self, command: Command, context: CommandContext) -> None:
        async def work() -> None:
            try:
                if inspect.isawaitable(result := command.run(context)):
                    await result
            except SpnlError as error:
                if context.typed:
                    context.prompt.give_back(context.typed)
                tell(self._screen, error)

        async def work_and_refresh() -> None:
            await work()
            self._screen.refresh_bindings()

        worker = command.worker
        if worker is None:
            await work()
            return
        asks = worker.asks_for_reply
        if asks is True or (callable(asks) and asks(context)):
            context.sessions.of(context.asked_in).prepare(worker.group, work_and_refresh)
        elif worker.exclusive:
            restart(self._screen, worker.group, work_and_refresh)
        else:
            start(self._screen, worker.group, work_and_refresh)
