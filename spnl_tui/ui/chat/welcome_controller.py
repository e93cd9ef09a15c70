"""Fills the welcome, and does what the user chooses there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line, in_bytes, plain
from spnl_tui.ui import messages
from spnl_tui.ui.chat.welcome import Fetching, WelcomeGroup, WelcomeRow, starter_row
from spnl_tui.ui.conversations.list import age
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.model import CurrentModel, Progress
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.hub.offers import ModelHere, ModelOffers
    from spnl_tui.hub.pulls.queued_pull import QueuedPull
    from spnl_tui.models.first_models import FirstModel
    from spnl_tui.ui.chat.welcome import Welcome

_RECENT, _HERE = 3, 4
_SOON_S = 0.6
"""Seconds after a model was found before the models on this machine are examined."""


class WelcomeController:
    """Shows recent conversations, the models on this machine or good first ones, and a tip."""

    def __init__(
        self,
        screen: Screen[Any],
        welcome: Welcome,
        model: CurrentModel,
        store: ReportingStore,
        *,
        model_offers: Callable[[], Awaitable[ModelOffers]],
        find_model: Callable[[str], Awaitable[ModelHandle | None]],
        use_model: Callable[[ModelHandle], None],
        pull: Callable[[str], Awaitable[None]],
        prompts: Callable[[], int],
        now: Callable[[], float],
        key_name: Callable[[str], str],
    ) -> None:
        """`pull` starts the pull of a model by its reference. `prompts` counts the prompts ever sent.

        `now` returns Unix seconds.
        """
        self._screen = screen
        self._welcome = welcome
        self._model = model
        self._store = store
        self._model_offers = model_offers
        self._find_model = find_model
        self._use_model = use_model
        self._pull = pull
        self._prompts = prompts
        self._now = now
        self._key = key_name
        self._pulling: dict[str, str] = {}
        """References by the names of their pulls."""

    # ── filling ──────────────────────────────────────────────────────────────────────────────────

    def model_chosen(self, name: str, host: str | None = None) -> None:
        """Show that this model answers, on another machine if `host` names one, and what else is here."""
        self._welcome.ready(name, host)
        self.show_tip()
        self.show_models_soon()

    async def show_recent(self) -> None:
        """Show the conversations that were used last."""
        from spnl_tui.conversations.storage.rows import ListFilter

        page = await self._store.page(ListFilter(), limit=_RECENT) if self._store.keeps else None
        items = [] if page is None else [item for item in page.items if item.turns]
        rows = tuple(
            WelcomeRow(
                "conversation",
                item.id,
                first_line(item.title, 100) or "Untitled",
                (age(item.updated_at, self._now()), f"{item.turns} turns", first_line(item.model, 60)),
            )
            for item in items
        )
        self._welcome.set_group("recent", WelcomeGroup("Resume", rows) if rows else None)

    def show_models_soon(self) -> None:
        """Show the models on this machine once the first paint and the load have begun."""
        self._screen.set_timer(_SOON_S, lambda: start(self._screen, "offers", self.show_models))

    async def show_models(self) -> None:
        """Show the models on this machine, or good first ones if there are none and none is chosen."""
        try:
            offers = await self._model_offers()
        except SpnlError:  # the models pane reports it
            return
        current = self._model.model
        rows = tuple(_here_row(each, offers.free_bytes, current) for each in offers.here[:_HERE])
        more = len(offers.here) - len(rows)
        said = f"and {more:,} more: {self._key('models.loaded')} lists them" if more > 0 else ""
        group = WelcomeGroup("Models here", rows, ("size", "speed", "memory"), said) if rows else None
        self._welcome.set_group("here", group)
        if current is None and not self._model.fetching:
            self._offer_first(offers.first)
            self._welcome.highlight_first("model")

    def offer(self, error: SpnlError | None) -> None:
        """Show that there is no model, or why, and what to get."""
        if error is not None:
            self._welcome.report(error)
        elif self._model.has_starter:
            self._welcome.say(("Talk to a language model on this machine", "bold"))
        else:
            self._welcome.say(
                ("No model is chosen yet\n\n", "bold"),
                ("Start the program with ", "$text"),
                ("-m FILE.gguf", "bold"),
                (" to talk to a model that you have.", "$text"),
            )
        self._offer_first(())

    def _offer_first(self, first: Sequence[FirstModel]) -> None:
        rows = [starter_row()] if self._model.has_starter else []
        rows += [_first_row(model) for model in first]
        heading = "Good first models for this machine"
        group = WelcomeGroup(heading, tuple(rows), ("size", "speed", "why")) if rows else None
        self._welcome.set_group("first", group)
        self._welcome.highlight_first("starter")
        if rows:
            self._welcome.set_tip(
                "Press Enter to get the highlighted one, ↑ and ↓ to choose. No account is needed."
            )

    def progress(self, progress: Progress) -> None:
        """Show the progress of the starter's download."""
        self._welcome.progress(progress)

    def show_tip(self) -> None:
        """Show a line that fits what the user has done so far."""
        if self._model.model is None:
            return
        prompts = self._prompts()
        tips = _TIPS[0:1] if prompts == 0 else _TIPS[1:2] if prompts < 4 else _TIPS[2:]
        text, ids = tips[prompts % len(tips)]
        self._welcome.set_tip(text.format(*(self._key(id) for id in ids)))

    # ── pulls ────────────────────────────────────────────────────────────────────────────────────

    def show_pulls(self, pulls: Sequence[QueuedPull]) -> None:
        """Show the pulls that were started here in place of their rows."""
        names = {pull.name: pull for pull in pulls}
        for name, reference in self._pulling.items():
            pull = names.get(name)
            if pull is not None and pull.under_way:
                self._welcome.fetch(
                    Fetching(reference, pull.words, pull.done, pull.total, pull.bytes_per_s, pull.eta_s)
                )
            else:
                self._welcome.fetched(reference)

    def started_here(self, name: str) -> bool:
        """Return True if the pull with this name was started here and is to be loaded."""
        return name in self._pulling and self._model.model is None

    # ── choosing ─────────────────────────────────────────────────────────────────────────────────

    async def choose(self, row: WelcomeRow) -> None:
        """Resume the conversation, or load or download the model, of this row."""
        match row.kind:
            case "conversation":
                self._screen.post_message(messages.ConversationRequested(row.key))
            case "starter":
                await self._model.fetch_starter()
            case "model":
                await self._load(row.key)
            case "first":
                self._welcome.fetch(Fetching(row.key, "asking Hugging Face", 0, None))
                try:
                    await self._pull(row.key)
                except SpnlError as error:
                    tell(self._screen, error)
                    self._welcome.fetched(row.key)

    def pull_requested(self, reference: str, name: str) -> None:
        """Follow the pull with this name in place of the row with this reference."""
        self._pulling[name] = reference

    async def _load(self, name: str) -> None:
        try:
            model = await self._find_model(name)
        except SpnlError as error:
            tell(self._screen, error)
            return
        if model is not None:
            self._use_model(model)


_TIPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Enter sends   {0} begins a new line   / commands   @ files   {1} help", ("chat.newline", "app.help")),
    ("/ commands   @ files   {0} more models   ↓ to choose one of these", ("view.models",)),
    ("{0} asks again, {1} goes back to the earlier reply.", ("chat.regenerate", "turn.earlier")),
    ("{0} selects a turn, {1} shows what can be done with it.", ("turn.up", "list.menu")),
    ("{0} searches all that was ever said here.", ("talks.search",)),
    ("{0} asks for several candidates, {1} asks several models.", ("many.ask", "many.compare")),
    ("{0} opens the prompt in your editor.", ("chat.editor",)),
)
"""For the first start, for the next prompts, then in turn; each with the commands whose keys it names."""


def _here_row(model: ModelHere, free: int | None, current: ModelHandle | None) -> WelcomeRow:
    memory = f"{model.memory_bytes / 1e9:.1f} of {free / 1e9:.1f} GB" if model.memory_bytes and free else ""
    found = f"found in {model.program}" if model.program else ""
    figures = (
        in_bytes(model.size_bytes) if model.size_bytes else "",
        _speed(model.tokens_per_s),
        memory or found,
    )
    is_current = current is not None and current.name == model.name
    return WelcomeRow("model", model.name, plain(model.name), figures, is_current)


def _first_row(model: FirstModel) -> WelcomeRow:
    figures = (in_bytes(model.shape.size_bytes), _speed(model.tokens_per_s), model.why)
    return WelcomeRow("first", model.reference, model.reference, figures)


def _speed(tokens_per_s: float | None) -> str:
    return f"~{tokens_per_s:.2g}/s" if tokens_per_s else ""
