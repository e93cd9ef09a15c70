"""The models that are loaded, and those that could be: to unload one, or to talk to another from now on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from spnl_tui.engine.backend import ModelHandle, loaded_model
from spnl_tui.text import in_bytes, plain
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.model_row import ModelRow, Row
from spnl_tui.ui.widgets.scope import bind_keys

if TYPE_CHECKING:
    from spnl_tui.engine.backend import Backend, LoadedModel
    from spnl_tui.hub.library.scan import LibraryEntry

_INTERVAL_S = 1.0
_COLUMNS = (9, 13)
"""The cells for the size and for the state."""
_STATES = {"loading": "loading", "busy": "replying", "unloading": "unloading"}


class LoadedScreen(ModalScreen[ModelHandle | None]):
    """Lists models. Typing filters both lists, Enter chooses a model; a loaded one answers at once."""

    CSS_PATH = "loaded_screen.tcss"
    PLACE = "loaded"
    """Where the keys of commands work, for the help."""
    BINDINGS = [
        Binding("question_mark", "app.command('app.help')", "Help", show=False, priority=True),
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
    ]

    def __init__(
        self,
        engine: Backend,
        in_use: ModelHandle | None,
        library: Callable[[], Awaitable[Sequence[tuple[ModelHandle, LibraryEntry]]]],
        bindings: Iterable[Binding],
        key: Callable[[str], str],
    ) -> None:
        """`in_use` is the current model, `library` lists all on this machine, `key` names a command's key."""
        super().__init__()
        bind_keys(self, bindings)
        self._key_of = key
        self._engine = engine
        self._in_use = in_use
        self._library = library
        self._entries: Sequence[tuple[ModelHandle, LibraryEntry]] | None = None
        self._unloading: set[ModelHandle] = set()
        self._shown: list[Row] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Loaded models"
            unload = self._key_of("models.unload")
            box.border_subtitle = f"Enter talks to it, {unload} unloads it, Esc closes"
            yield Input(placeholder="Filter by name", compact=True)
            yield OptionList(markup=False)
            yield Static(markup=False)

    def on_mount(self) -> None:
        """Show what is loaded at once, and soon what else there is."""
        self.query_one(OptionList).can_focus = False
        self._show()
        self.set_interval(_INTERVAL_S, self._show)
        self._read_library()

    @work(group="library")
    async def _read_library(self) -> None:
        self._entries = await self._library()
        self._show()

    @on(Input.Changed)
    def _show(self) -> None:
        """Show what there is now; the highlight stays on its model."""
        words = self.query_one(Input).value.casefold().split()
        loaded = self._engine.loaded()
        options = list(self._options(loaded, words))
        rows = [option.row for option in options]
        total = sum(each.memory_bytes for each in loaded)
        memory = f"{len(loaded)} loaded, {in_bytes(total)} of memory." if loaded else "Nothing is loaded."
        self.query_one(Static).update(memory)
        if rows == self._shown:
            return
        self._shown = rows
        models = self.query_one(OptionList)
        before = highlighted.id if (highlighted := models.highlighted_option) else None
        models.set_options(options)
        places = {option.id: place for place, option in enumerate(options) if not option.disabled}
        models.highlighted = places.get(before, next(iter(places.values()), None))

    def _options(self, loaded: Sequence[LoadedModel], words: Sequence[str]) -> Iterator[ModelRow]:
        def wanted(name: str) -> bool:
            return all(word in name.casefold() for word in words)

        running = [each for each in loaded if wanted(each.model.name)]
        if running:
            yield ModelRow.heading("Loaded", "MEMORY", "", widths=_COLUMNS)
        for each in running:
            memory = in_bytes(each.memory_bytes) if each.memory_bytes else ""
            row = Row(self._named(each.model, "in use"), (memory, self._state(each)), widths=_COLUMNS)
            yield ModelRow(_key(each.model), each.model, row)
        known = {_key(each.model) for each in loaded}
        names = {each.model.name for each in loaded}
        others = [
            (model, entry)
            for model, entry in self._entries or ()
            if wanted(entry.name)
            and (_key(model) not in known or (entry.origin == "ollama" and model.name not in names))
        ]
        if others:
            yield ModelRow.heading("On this machine", "SIZE", "", widths=_COLUMNS)
        for model, entry in others:
            row = Row(self._named(model, "current"), (in_bytes(entry.size_bytes), ""), widths=_COLUMNS)
            # Ollama has several models of one file.
            yield ModelRow(f"{model.name}\0{_key(model)}", model, row)
        if self._entries is None:
            yield ModelRow.note("reading what else is here…")

    def _named(self, model: ModelHandle, mark: str) -> str:
        """Return the name of a model; `mark` stands behind that of the current one."""
        return f"{plain(model.name)}{f' ({mark})' if model == self._in_use else ''}"

    def _state(self, each: LoadedModel) -> str:
        state = "unloading" if each.model in self._unloading else each.state
        if state != "idle" or each.idle_s is None or each.idle_s < 60:
            return _STATES.get(state, state)
        # No seconds, or the list would change all the time.
        minutes = int(each.idle_s // 60)
        return f"idle {minutes} min" if minutes < 100 else f"idle {minutes // 60} h"

    @property
    def chosen(self) -> ModelHandle | None:
        """The highlighted model."""
        option = self.query_one(OptionList).highlighted_option
        item = option.item if isinstance(option, ModelRow) else None
        return item if isinstance(item, ModelHandle) else None

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _take(self) -> None:
        if (model := self.chosen) is not None:
            self.dismiss(model)

    @work(group="unload")
    async def unload(self) -> None:
        """Unload the highlighted model; ask first if it is replying."""
        model = self.chosen
        each = None if model is None else loaded_model(self._engine, model)
        if model in self._unloading:
            return
        if model is None or each is None:
            # Its key is named below the list, whatever is highlighted.
            name = None if model is None else plain(model.name)
            said = f"{name} is on this machine, but not in memory." if name else "No model is highlighted."
            self.notify(said, title="Nothing to unload", markup=False, timeout=5)
            return
        if each.state == "busy" and not await self.app.push_screen_wait(
            ConfirmScreen(f"Unload {model.name}?", "It is replying: the reply ends here.")
        ):
            return
        self._unloading.add(model)
        self._show()
        await self._engine.unload(model)
        self._unloading.discard(model)
        self._show()

    def action_move(self, by: int) -> None:
        """Highlight another model."""
        models = self.query_one(OptionList)
        if by < 0:
            models.action_cursor_up()
        else:
            models.action_cursor_down()

    def action_page(self, by: int) -> None:
        """Move the highlight by a page."""
        models = self.query_one(OptionList)
        if by < 0:
            models.action_page_up()  # type: ignore[no-untyped-call]
        else:
            models.action_page_down()  # type: ignore[no-untyped-call]


def _key(model: ModelHandle) -> str:
    """Return what identifies a model in the list: its files, whatever name it is known by."""
    return "\0".join((model.backend, *model.key))
