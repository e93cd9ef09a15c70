"""Runs commands: those of keys and of the palette, and those that were typed."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from functools import partial

from textual.dom import DOMNode

from spnl_tui.chat.queue import QueuedCommand
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import CommandError, SpnlError
from spnl_tui.ui.commands.command import Availability, Command, Place, Unavailable
from spnl_tui.ui.commands.context import CommandContext
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
