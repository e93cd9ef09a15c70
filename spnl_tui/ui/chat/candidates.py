"""Several replies to one prompt: asked for, shown side by side, and one of them chosen."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from textual.content import Content

from spnl_tui.chat.judging import Judge
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import CommandError, HubError
from spnl_tui.settings import Settings
from spnl_tui.settings.schema import MOST_CANDIDATES as MOST
from spnl_tui.text import plain
from spnl_tui.ui.chat.candidate_list import label_of
from spnl_tui.ui.services import Services
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import warn

if TYPE_CHECKING:
    from spnl_tui.chat.reply import ReplyRun
    from spnl_tui.chat.request import Variation
    from spnl_tui.chat.status import Activity
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.chat.turns import Reply
    from spnl_tui.ui.main_screen import MainScreen

_COUNT = re.compile(r"(\d+)(?:\s+(.*))?", re.DOTALL)
_ASIDE = re.compile(r"(?:^|\s)--(?:\s|$)|\n")
"""What stands between the models and the prompt of a comparison."""


@dataclass(slots=True)
class CandidateSet:
    """Candidates among which the user has not chosen yet. The highlighted one is the active branch."""

    turns: list[str]
    labels: dict[str, str]
    best: str = ""
    """The one that the judge has chosen."""
    said: str = ""
    """What the judge has said, or why it could not."""
    judging: ReplyRun | None = field(default=None, repr=False)


class CandidatesController:
    """Asks for candidates, shows them side by side and lets the user choose one."""

    def __init__(self, screen: MainScreen, services: Services, settings: Settings) -> None:
        self._screen = screen
        self._services = services
        self._settings = settings
        self._view = screen.chat.candidates
        self._transcript = screen.chat.transcript
        self._fans: dict[str, CandidateSet] = {}
        """By the id of the conversation."""
        self._judging = Judge(screen, self, services, settings)

    @property
    def fan(self) -> CandidateSet | None:
        """The candidates that are seen."""
        return self._fans.get(self._conversation.id)

    @property
    def chosen(self) -> str:
        """The id of the highlighted candidate."""
        return self._conversation.path()[-1].id

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def many(self, argument: str = "", *, conversation: Conversation | None = None) -> None:
        """Ask for several replies: "4 Write a tagline", or "4" for the last prompt."""
        from spnl_tui.chat.request import Variation
        from spnl_tui.chat.shared_request import SharedRequest

        conversation = self._conversation if conversation is None else conversation
        match = _COUNT.fullmatch(argument)
        count, text = (int(match[1]), match[2] or "") if match else (self._settings.chat.candidates, argument)
        if not 2 <= count <= MOST:
            raise CommandError("How many candidates?", f"From 2 to {MOST}, not {count}.")
        model, sampling = self._model(), conversation.sampling
        if sampling.temperature == 0:
            warn(self._screen, "With temperature 0 all candidates will be the same.")
        if sampling.seed is None:
            shared = SharedRequest(self._services.engine, count)
            variations = [Variation(model=model, shared=shared, candidate=each) for each in range(count)]
        else:
            # Requests with one seed would have one reply.
            samplings = [replace(sampling, seed=sampling.seed + number) for number in range(count)]
            one_by_one = asyncio.Lock()
            variations = [Variation(model=model, sampling=each, turns=one_by_one) for each in samplings]
        await self._ask(conversation, text, variations)

    async def compare(self, argument: str = "", *, conversation: Conversation | None = None) -> None:
        """Ask several models: "MODEL… -- PROMPT", or without a prompt for the last one.

        One model alone is compared with the one in use.
        """
        from spnl_tui.chat.request import Variation
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        if not argument:
            ask = TextScreen("Models to compare", shlex.quote(self._model().name) + " ")
            answer = await self._screen.app.push_screen_wait(ask)
            argument = answer or ""
        before, *after = _ASIDE.split(argument, maxsplit=1)
        try:
            names = shlex.split(before)
        except ValueError as error:
            raise CommandError("Which models?", f"{before}: {error}.", "Quote a path with blanks.") from error
        if not names:
            if argument:
                raise CommandError("Which models?", "A comparison needs at least one name before the prompt.")
            return
        conversation = self._conversation if conversation is None else conversation
        with self._screen.sending.accepting(conversation):
            models = [await self._find(name) for name in names]
            if len(models) == 1:
                models.insert(0, self._model())
            if len(models) > MOST:
                raise CommandError("Too many models", f"{MOST} can be compared at once, not {len(models)}.")
            # Another model may need the memory of the one before.
            one_by_one = asyncio.Lock()
            variations = [Variation(model=model, turns=one_by_one) for model in models]
            several = len(set(models)) > 1
            labels = [plain(model.name).rpartition("/")[2] if several else "" for model in models]
            await self._ask(conversation, "".join(after).strip(), variations, labels)

    async def _find(self, name: str) -> ModelHandle:
        if (model := await self._services.find_model(name)) is None:
            raise HubError(
                "The model is not on this machine",
                f"{name} has not been pulled.",
                "The models pane pulls it.",
            )
        return model

    async def _ask(
        self,
        conversation: Conversation,
        text: str,
        variations: Sequence[Variation],
        labels: Sequence[str] | None = None,
    ) -> None:
        """Ask for a reply by each variation."""
        await self.close(conversation)
        with self._screen.sending.accepting(conversation):
            if text:
                prompt = await self._screen.sending.add_prompt(conversation, text)
            else:
                prompt = await self._uncover_prompt(conversation)
            # While there are no candidates: a new conversation is saved whole, with those yet to come.
            await self._screen.store.save_turn(conversation, prompt)
            turns = [conversation.add_turn("assistant", parent=prompt.id) for _ in variations]
            conversation.select(turns[0].id)
            await self._open(conversation, turns, labels or [""] * len(turns))
            for turn, variation in zip(turns, variations, strict=True):
                self._screen.answering.reply(conversation, turn, variation)

    async def _uncover_prompt(self, conversation: Conversation) -> Turn:
        """The last prompt, with the reply to it off the screen."""
        path = conversation.path()
        if path and path[-1].role == "assistant":
            if conversation is self._conversation:
                await self._transcript.remove_from(path[-1].id)
            path = path[:-1]
        if not path or path[-1].role != "user":
            raise CommandError("There is no prompt yet", "Send a prompt first, or type it after the command.")
        return path[-1]

    async def ask_one_more(self, label: str, variation: Variation) -> None:
        """Add a candidate that is asked for otherwise, and highlight it."""
        conversation = self._conversation
        fan = self._fans[conversation.id]
        turn = conversation.add_turn("assistant", parent=conversation[fan.turns[0]].parent)
        fan.turns.append(turn.id)
        fan.labels[turn.id] = label
        await self._view.add(turn, label)
        self._view.mark(turn.id)
        self._screen.answering.reply(conversation, turn, variation)
        self.say()

    async def judge(self, criteria: str = "") -> None:
        """Let the model choose the best candidate by these criteria; empty: ask for them."""
        await self._judging.judge(criteria)

    async def merge(self) -> None:
        """Let the model merge the candidates into one more."""
        await self._judging.merge()

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────

    def above(self, path: Sequence[Turn]) -> Sequence[Turn]:
        """What of a branch stands above the candidates: all of it, if there are none."""
        fan = self.fan
        return path if fan is None or not path or path[-1].id not in fan.turns else path[:-1]

    async def shown(self) -> None:
        """Another conversation is seen now, or another branch of it: show its candidates, or none."""
        conversation, fan = self._conversation, self.fan
        path = conversation.path()
        if fan is not None and path and path[-1].id in fan.turns:
            fan.turns = [turn_id for turn_id in fan.turns if turn_id in conversation]
            await self._show(fan)
            self.say()
            return
        self._fans.pop(conversation.id, None)
        await self._hide()

    async def _open(self, conversation: Conversation, turns: Sequence[Turn], labels: Sequence[str]) -> None:
        ids = [turn.id for turn in turns]
        fan = CandidateSet(ids, dict(zip(ids, labels, strict=True)))
        if conversation is self._conversation:
            await self._show(fan)
        # Not before: candidates whose replies have not begun could not be stopped if they were closed.
        self._fans[conversation.id] = fan
        self.say()

    async def _show(self, fan: CandidateSet) -> None:
        turns = [self._conversation[turn_id] for turn_id in fan.turns]
        await self._view.show(turns, [fan.labels[turn.id] for turn in turns], self.chosen)
        self._view.mark(self.chosen, best=fan.best)
        self._screen.chat.show_candidates(True)
        self._transcript.follow()

    async def _hide(self) -> None:
        self._screen.chat.show_candidates(False)
        await self._view.clear()

    def say(self) -> None:
        """What the judge has said, and what one can do."""
        if (fan := self.fan) is None:
            return
        judge, merge = self._screen.key("many.judge"), self._screen.key("many.merge")
        can = f"← → another · Enter takes it · {judge} judge · {merge} merge"
        said = (plain(fan.said), "$text", "\n") if fan.said else ()
        self._view.say(Content.assemble((said[0], said[1]), said[2], can) if said else Content(can))

    def progressed(self, turn: Turn, activity: Activity | None = None) -> None:
        """A reply of the conversation that is seen has come so far."""
        self._view.progressed(turn, activity)

    def widget(self, turn_id: str) -> Reply | None:
        """The reply of this id, if it is a candidate."""
        return self._view.widget(turn_id)

    # ── choosing ─────────────────────────────────────────────────────────────────────────────────

    async def highlight(self, turn_id: str) -> None:
        """Make this candidate the active branch, and remember that."""
        if self.fan is None or turn_id not in self._conversation:
            return
        self._conversation.select(turn_id)
        self._view.mark(turn_id)
        turn = self._conversation[turn_id]
        if not turn.streaming:
            await self._screen.store.save_choice(self._conversation)

    async def move(self, by: int) -> None:
        """Highlight the candidate before (-1) or after (1)."""
        if (fan := self.fan) is not None:
            at = fan.turns.index(self.chosen) + by
            await self.highlight(fan.turns[min(max(at, 0), len(fan.turns) - 1)])

    async def judged(self) -> None:
        """The judge has spoken, or could not: show it, and highlight the best one."""
        if (fan := self.fan) is not None:
            self._view.mark(self.chosen, best=fan.best)
            self.say()
            if fan.best:
                await self.highlight(fan.best)

    async def pick(self, argument: str = "") -> None:
        """Go on with the highlighted candidate, or the one of this number; the others stay beside it."""
        if (fan := self.fan) is None:
            return
        if argument:
            if not argument.isdecimal() or not 1 <= int(argument) <= len(fan.turns):
                raise CommandError("Which candidate?", f"From 1 to {len(fan.turns)}, not {argument}.")
            await self.highlight(fan.turns[int(argument) - 1])
        await self.close()

    async def close(self, conversation: Conversation | None = None) -> None:
        """Go on with the highlighted candidate, if there are any: of this conversation or of the seen one.

        It is written to its end. The others are stopped; what has come of them stays, and those of which
        nothing has come are gone.
        """
        conversation = self._conversation if conversation is None else conversation
        fan = self._fans.pop(conversation.id, None)
        if fan is None:
            return
        chosen = conversation.path()[-1].id
        if conversation is self._conversation:
            await self._hide()
        await self._screen.answering.stop(conversation.id, but=chosen)
        for turn_id in fan.turns:
            turn = conversation[turn_id]
            if turn_id != chosen and turn.finish_reason == "cancelled" and not (turn.text or turn.reasoning):
                deletion = conversation.delete_branch(turn_id)
                await self._screen.store.save_deletion(conversation, deletion)
        if not conversation[chosen].streaming:
            await self._screen.store.save_choice(conversation)
        if conversation is self._conversation:
            await self._transcript.add(conversation[chosen])
            self._transcript.follow()

    async def side_by_side(self) -> None:
        """Show the last reply and those beside it as candidates."""
        conversation, siblings = self._conversation, self.siblings()[-MOST:]
        await self._transcript.remove_from(self.chosen)
        several = len({label_of(turn) for turn in siblings}) > 1
        labels = [label_of(turn) if several else "" for turn in siblings]
        await self._open(conversation, siblings, labels)

    def stop(self) -> bool:
        """Stop the highlighted candidate; if it has ended, all of them. False: there are none."""
        if self.fan is None:
            return False
        one = self._screen.answering.run_of(self.chosen)
        if one is not None:
            one.stop()
        else:
            start(self._screen, "stop", self._screen.answering.stop, self._conversation.id)
        return True

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _conversation(self) -> Conversation:
        return self._screen.conversation

    def _model(self) -> ModelHandle:
        model = self._screen.current_model.model
        assert model is not None
        return model

    def siblings(self) -> tuple[Turn, ...]:
        """Return the last reply and those beside it; nothing if the last turn is not a reply."""
        path = self._conversation.path()
        return self._conversation.siblings(path[-1].id) if path and path[-1].role == "assistant" else ()
