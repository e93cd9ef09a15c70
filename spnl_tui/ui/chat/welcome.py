"""The welcome, shown while the conversation is empty."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from spnl_tui.chat.model import Progress
from spnl_tui.errors import SpnlError
from spnl_tui.text import plain

_BAR = 32
_NAMED = 4
"""How many models of this machine are named."""


class Welcome(Static):
    """Offers the starter model, shows its download, then explains the first keys."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return the width of the text, which centers it. Longer lines wrap."""
        return min(super().get_content_width(container, viewport), container.width)

    def offer(
        self,
        *,
        starter: bool,
        error: SpnlError | None = None,
        here: Sequence[str] = (),
        key: str = "",
    ) -> None:
        """Show how to get a model, or why the requested one cannot be used.

        `here` are the models on this machine; `key` shows them.
        """
        parts: list[tuple[str, str]] = []
        if error is not None:
            parts += [(plain(error.title), "bold $text-error"), (f"\n{plain(error.message)}", "")]
            if error.hint:
                parts.append((f"\n{plain(error.hint)}", "$text-muted"))
        if starter:
            parts += [
                ("\n\n" if parts else "", ""),
                ("Talk to a language model on this machine\n\n", "bold"),
                ("No model is chosen yet. A good one to start with:\n\n", ""),
                ("  SmolLM2-135M-Instruct", "bold $text-primary"),
                ("   94 MB, Apache-2.0\n\n", ""),
                ("Press ", ""),
                ("Enter", "bold"),
                (" to get it. No account is needed.", ""),
            ]
        elif error is None:
            parts += [
                ("No model is chosen yet\n\n", "bold"),
                ("Start the program with ", ""),
                ("-m FILE.gguf", "bold"),
                (" to talk to a model that you have.", ""),
            ]
        if here:
            parts.append(("\n\nOr choose one that is on this machine already:\n\n", ""))
            parts += [(f"  {plain(name)}\n", "$text-primary") for name in here[:_NAMED]]
            if len(here) > _NAMED:
                parts.append((f"  and {len(here) - _NAMED:,} more\n", "$text-muted"))
            parts += [("\nPress ", ""), (key, "bold"), (" to choose.", "")]
        self.update(Content.assemble(*parts))

    def progress(self, progress: Progress) -> None:
        """Show the progress of the download."""
        head = ("Getting SmolLM2-135M-Instruct\n\n", "bold")
        if not progress.total:
            self.update(Content.assemble(head, f"{plain(progress.stage)}…"))
            return
        share = min(1.0, progress.done / progress.total)
        full = round(_BAR * share)
        self.update(
            Content.assemble(
                head,
                ("━" * full, "$primary"),
                ("━" * (_BAR - full), "$foreground 20%"),
                f" {share:4.0%}\n",
                (
                    f"{plain(progress.stage)}: {progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB",
                    "dim",
                ),
            )
        )

    def ready(self, model: str) -> None:
        """Show that a model is ready, and the first keys."""
        self.update(
            Content.assemble(
                ("What would you like to know?\n\n", "bold"),
                (plain(model), "$text-primary"),
                " answers on this machine; nothing leaves it.\n\n",
                *_key("Enter", "sends"),
                *_key("Ctrl+J", "begins a new line"),
                *_key("F1", "shows all keys"),
            )
        )


def _key(key: str, does: str) -> tuple[tuple[str, str], str]:
    return (f"{key:>7}", "bold"), f"  {does}\n"
