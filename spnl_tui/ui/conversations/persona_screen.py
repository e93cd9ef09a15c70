"""The dialog for system prompt and sampling, from a persona or edited here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Select, Static, TextArea

from spnl_tui.errors import RequestError, SpnlError
from spnl_tui.models.request import Sampling
from spnl_tui.settings import Persona
from spnl_tui.text import first_line, plain
from spnl_tui.ui.dialogs.text_screen import TextScreen

EDITED = (
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
)
_WHOLE = ("top_k", "max_tokens", "seed")
_NEEDED = tuple(item.name for item in fields(Sampling) if getattr(Sampling(), item.name) is not None)
_HINT = "Ctrl+S applies it from the next turn on. F6 keeps it as a persona for others. Esc leaves it."


class PersonaScreen(ModalScreen[Persona | None]):
    """Edits a persona. The result of the dialog is the persona to apply."""

    CSS_PATH = "persona_screen.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-wide")]
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("ctrl+s", "apply", "Apply", show=False, priority=True),
        Binding("f6", "save_as", "Save as", show=False, priority=True),
    ]

    def __init__(
        self,
        personas: Mapping[str, Persona],
        now: Persona,
        keep: Callable[[str, Persona], Awaitable[None]] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """`now` is the state of the conversation; `keep` saves a persona and may raise SpnlError.

        `name` is the persona that `now` comes from, if it is one.
        """
        super().__init__()
        self._personas = personas
        self._begun = self._now = now
        self._keep = keep
        self._chosen_name = name or ""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Persona and sampling of this conversation only"
            options = [(_line(name, persona), name) for name, persona in sorted(self._personas.items())]
            prompt = "Choose a persona" if options else "No persona is configured yet: F6 saves one"
            yield Select(options, prompt=prompt, compact=True, disabled=not options)
            area = TextArea(self._now.system_prompt or "", tab_behavior="focus", compact=True)
            area.border_title = "System prompt"
            yield area
            with Grid():
                for name in EDITED:
                    yield Label(name.replace("_", " "))
                    value = _shown(getattr(self._now.sampling, name))
                    yield Input(value, id=name, placeholder="not set", compact=True, select_on_focus=False)
            yield Static(_HINT, markup=False)

    def on_mount(self) -> None:
        """Focus the system prompt if there are no personas."""
        if self._chosen_name:
            select = self.query_one(Select)
            with select.prevent(Select.Changed):  # it is shown, and not chosen anew with its model
                select.value = self._chosen_name
        if not self._personas:
            self.query_one(TextArea).focus()

    @on(Select.Changed)
    def _chosen(self, event: Select.Changed) -> None:
        # The line without a name restores the conversation's own values, its model too.
        self._chosen_name = event.value if isinstance(event.value, str) else ""
        persona = self._personas[self._chosen_name] if self._chosen_name else self._begun
        self._now = replace(persona, system_prompt=persona.system_prompt or "")
        self.query_one(TextArea).text = persona.system_prompt or ""
        for name in EDITED:
            self.query_one(f"#{name}", Input).value = _shown(getattr(persona.sampling, name))

    @on(Input.Changed)
    def _typed(self) -> None:
        self._read()

    @on(Input.Submitted)
    def action_apply(self) -> None:
        """Apply the values, if they are valid."""
        if (persona := self._read()) is not None:
            self.dismiss(persona)

    @work
    async def action_save_as(self) -> None:
        """Save the values as a persona, which the user can then choose."""
        persona = self._read()
        if persona is None or self._keep is None:
            return
        name = await self.app.push_screen_wait(TextScreen("Name of the persona", self._chosen_name))
        if name is None:
            return
        try:
            await self._keep(name, persona)
        except SpnlError as error:
            self._say(f"{error.title}: {error.message} {error.hint}", wrong=True)
            return
        self._chosen_name = name
        self._say(f"Saved as {name}.")

    def _read(self) -> Persona | None:
        """Return the values; None (and a message) if one is invalid."""
        values: dict[str, float | int | None] = {}
        wrong = ""
        for name in EDITED:
            typed = self.query_one(f"#{name}", Input)
            try:
                values[name] = number(name, typed.value)
                Sampling(**{name: values[name]})  # type: ignore[arg-type]  # by name
                typed.remove_class("-wrong")
            except RequestError as error:
                typed.add_class("-wrong")
                wrong = wrong or f"{error.message} {error.hint}"
        if wrong:
            self._say(wrong, wrong=True)
            return None
        self._say(_HINT)
        sampling = replace(self._now.sampling, **values)  # type: ignore[arg-type]  # by name
        return replace(self._now, system_prompt=self.query_one(TextArea).text, sampling=sampling)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        line = self.query_one("PersonaScreen > Vertical > Static", Static)
        line.set_class(wrong, "-wrong")
        line.update(Content(plain(text)))


def number(name: str, typed: str) -> float | int | None:
    """Return the value typed for this setting; None if it is empty.

    Raises:
        RequestError: it is no number, or must be set.
    """
    text = typed.strip().replace(",", ".")
    if not text and name in _NEEDED:
        raise RequestError(
            f"{name} is missing", f"{name} must be set.", f"It usually is {getattr(Sampling(), name):g}."
        )
    if not text:
        return None
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise RequestError(f"{name} is wrong", f"{name} is {typed.strip()!r}; it must be {kind}.") from None


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _line(name: str, persona: Persona) -> Content:
    return Content.assemble(name, (f"  {first_line(persona.description, 60)}", "dim"))
