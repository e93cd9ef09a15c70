"""One thing that the user can do, by key, from the palette or typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

Place = Literal["app", "screen", "prompt", "find", "talks", "pulls", "models", "loaded"]


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
    slash: str = ""
    """The name by which it is typed in the prompt, after a "/": letters, digits and hyphens."""
    argument: str = ""
    """What may be typed after that name, in a word for the list of commands: "TITLE". The action has it as
    its last parameter when something was typed, and does without it otherwise. Empty: it takes none."""

    before_prompt: re.Pattern[str] | None = None
    """Matches what is typed after the name before a prompt, which may mention files; None: none follows."""

    def binding(self) -> Binding:
        """The command as Textual's binding.

        Those of the screen have priority, since the prompt has the focus almost always and would take some of
        these keys. Those of the prompt and the panes have not: a priority binding is acted on before the keys
        that were typed ahead of it have reached the prompt, and Enter would send half of what was typed.
        """
        return Binding(
            self.keys,
            self.action,
            self.label,
            show=self.footer,
            priority=self.place in ("app", "screen"),
            id=self.id,
            tooltip=self.help,
        )
