"""The text of a reply while it grows: finished blocks as Markdown, the open end cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from spnl_tui.ui.markdown_stream import MarkdownSplitter, Piece, parser
from spnl_tui.ui.markdown_tail import tail_content

if TYPE_CHECKING:
    from textual.widgets import Markdown

_CODE_LINES = 25
"""Lines of an open code block for one widget: only the last one is drawn anew."""


class ReplyText(Vertical):
    """Shows a growing text at a cost that does not grow with it.

    Textual's Markdown builds its last top-level block anew for each addition, which for a long list takes
    more than half a second. Here a block becomes Markdown once, when it is complete; what follows
    the last complete block is drawn as plain content.
    """

    def __init__(self, *, markdown: bool = True) -> None:
        super().__init__()
        self._as_markdown = markdown
        self._source = ""
        self._splitter = MarkdownSplitter()
        self._tail: list[Static] = []
        self._finished = False

    async def show(self, source: str) -> None:
        """Show `source`, which begins with what was shown before."""
        added = source[len(self._source) :]
        self._source = source
        if not added:
            return
        pieces = self._splitter.feed(added) if self._as_markdown else []
        if pieces:
            with self.app.batch_update():
                await self._remove_tail()
                await self.mount_all(self._markdown(piece) for piece in pieces)
                await self._show_tail()
        else:
            await self._show_tail()

    async def finish(self) -> None:
        """Render what is still open. Afterwards the text is as if it had been rendered whole."""
        if self._finished or not self._as_markdown:
            return
        self._finished = True
        with self.app.batch_update():
            if self._splitter.has_references:
                # A reference at the end changes links in blocks that are shown already.
                await self.remove_children()
                await self.mount(self._markdown(Piece(self._source)))
            else:
                await self._remove_tail()
                if self._splitter.tail.strip():
                    await self.mount(self._markdown(Piece(self._splitter.tail)))
        self._splitter.tail = ""

    def _markdown(self, piece: Piece) -> Markdown:
        # Not at the top: the first paint does not need the parser, and it takes a tenth of a second.
        from textual.widgets import Markdown

        return Markdown(
            piece.source,
            parser_factory=parser,
            open_links=False,
            classes="-continues" if piece.continues else "",
        )

    async def _show_tail(self) -> None:
        tail = self._splitter.tail if self._as_markdown else self._source
        if tail.lstrip().startswith(("```", "~~~")) and self._as_markdown:
            lines = tail.lstrip().splitlines()[1:]
            await self._show_code(lines)
        else:
            widget = await self._tail_widget(0, code=False)
            widget.update(tail_content(tail) if self._as_markdown else Content(tail))

    async def _show_code(self, lines: list[str]) -> None:
        for number in range(max(0, len(self._tail) - 1), max(1, -(-len(lines) // _CODE_LINES))):
            part = lines[number * _CODE_LINES : (number + 1) * _CODE_LINES]
            (await self._tail_widget(number, code=True)).update(Content("\n".join(part)))

    async def _tail_widget(self, number: int, *, code: bool) -> Static:
        if number == len(self._tail):
            self._tail.append(Static(markup=False, classes="tail"))
            await self.mount(self._tail[number])
        self._tail[number].set_class(code, "-code")
        return self._tail[number]

    async def _remove_tail(self) -> None:
        for widget in self._tail:
            await widget.remove()
        self._tail = []
