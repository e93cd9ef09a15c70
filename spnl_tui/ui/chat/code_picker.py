"""The dialog that asks which code block to copy."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.text import first_line
from spnl_tui.ui.chat.markdown.stream import CodeBlock


class CodePicker(ModalScreen[CodeBlock | None]):
    """A list of code blocks. The last one is highlighted, because it is the likeliest."""

    CSS_PATH = "code_picker.tcss"
    BINDINGS = [Binding("escape", "dismiss", "Close", show=False)]

    def __init__(self, blocks: Sequence[CodeBlock]) -> None:
        super().__init__()
        self._blocks = blocks

    def compose(self) -> ComposeResult:
        options = OptionList(*(Option(_line(block)) for block in self._blocks), markup=False)
        options.border_title = "Copy which code block?"
        options.highlighted = len(self._blocks) - 1
        yield options

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._blocks[event.option_index])


def _line(block: CodeBlock) -> Content:
    count = block.code.count("\n") + 1
    about = f"{block.language or 'text'}, {count} line{'' if count == 1 else 's'}"
    return Content.assemble((f"{about:<22} ", "$text-muted"), first_line(block.code, 48))
