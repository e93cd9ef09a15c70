"""The widgets of turns: prompts, and replies with reasoning, text and note."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from textual.app import ComposeResult, RenderResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from spnl_tui.conversations.attachments import Attachment, mentions, split
from spnl_tui.conversations.turn import Turn
from spnl_tui.engine.backend import CallProgressed
from spnl_tui.models.image_marks import marked_text
from spnl_tui.models.parts import Content as Parts
from spnl_tui.models.parts import ImagePart, ToolCallPart, ToolResultPart, images_in
from spnl_tui.text import in_bytes, plain
from spnl_tui.ui.chat.reply_text import ReplyText, Sought, highlight
from spnl_tui.ui.tools.call_block import CallBlock
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.mounting import mount

NO_CALLS: Mapping[str, CallProgressed] = MappingProxyType({})
_Segment = TypeVar("_Segment", ReplyText, CallBlock)
CountTexts: TypeAlias = Callable[[Sequence[str]], Awaitable[tuple[int, ...] | None]]
"""Counts the tokens of each text; None while they cannot be counted."""
Preview: TypeAlias = Callable[[ImagePart], Awaitable[Content | None]]
"""Returns the preview of an image; None if there is none."""


class UserTurn(Static):
    """A prompt as it was written."""

    def __init__(
        self,
        turn: Turn,
        place: tuple[int, int] = (1, 1),
        *,
        branch_keys: str = "",
        count: CountTexts | None = None,
        preview: Preview | None = None,
        sought: Sought = lambda: None,
    ) -> None:
        """`place`: its number among its siblings, and how many there are. `count` counts tokens."""
        self._preview = preview
        self._pictures: list[Content] = []
        self._tokens: Sequence[int] = ()
        self.turn = turn
        self._prose, self._attachments = split(marked_text(turn.content))
        self._place = place
        self._branch_keys = branch_keys
        self._count = count
        self._counted = False
        self._sought = sought
        super().__init__(self._content(), markup=False, name=turn.id)

    def on_mount(self) -> None:
        """Show the tokens of the files once they are known, and the images."""
        if self._attachments:
            start(self, "count", self.count_files)
        if self._preview is not None and images_in(self.turn.content):
            start(self, "preview", self._show_images)

    async def _show_images(self) -> None:
        assert self._preview is not None
        for image in images_in(self.turn.content):
            if (picture := await self._preview(image)) is not None:
                self._pictures.append(picture)
        self.update(self._content())

    async def count_files(self) -> None:
        """Count the tokens of the files, unless that is done or not possible yet."""
        if not self._attachments or self._counted or self._count is None:
            return
        if tokens := await self._count([attachment.block() for attachment in self._attachments]):
            self._counted = True
            self._tokens = tokens
            self.update(self._content())

    def render(self) -> RenderResult:
        """Return the prompt with matches of the search highlighted."""
        text = super().render()
        return highlight(text, self._sought()) if isinstance(text, Content) else text

    def _content(self) -> Content:
        text = prompt_content(self._prose, self._attachments, self._tokens)
        for picture in self._pictures:
            text = Content.assemble(text, "\n", picture)
        if self._place[1] > 1:
            text = Content.assemble(
                text, "\n", (siblings_line(self._place, self._branch_keys), "$text-muted")
            )
        return text


class Thinking(Vertical):
    """The reasoning of a model, or a summary. Folded, it is one line."""

    def __init__(self, *, folded: bool, done: str = "Thought", classes: str | None = None) -> None:
        """`done` is the title once the text is complete."""
        super().__init__(classes=classes)
        self._what = done
        self._head = Static(markup=False, classes="thinking--head")
        self._body = Static(markup=False, classes="thinking--body")
        self._text = ""
        self._done = False
        self.folded = folded
        self._body.display = not folded

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._body

    def show(self, text: str, *, done: bool) -> None:
        """Show the text so far."""
        if text == self._text and done == self._done:
            return
        self._text, self._done = text, done
        self._refresh_head()
        if not self.folded:
            self._body.update(Content(self._text))

    def fold(self, folded: bool) -> None:
        """Show one line or the whole text."""
        self.folded = folded
        self._body.display = not folded
        self._refresh_head()
        if not folded:
            self._body.update(Content(self._text))

    def _refresh_head(self) -> None:
        words = len(self._text.split())
        self._head.update(
            Content(
                f"{'▸' if self.folded else '▾'} {self._what if self._done else 'Thinking'}, {words:,} words"
            )
        )

    def on_click(self) -> None:
        """Fold or unfold on a click."""
        self.fold(not self.folded)


class Reply(Vertical):
    """A reply: reasoning, text, and a note if the model did not end it itself."""

    def __init__(
        self,
        turn: Turn,
        place: tuple[int, int] = (1, 1),
        *,
        branch_keys: str = "",
        markdown: bool = True,
        show_thinking: bool = False,
        sought: Sought = lambda: None,
    ) -> None:
        """`place`: its number among its siblings, and how many there are."""
        super().__init__(name=turn.id)
        self._place = place
        self._branch_keys = branch_keys
        self._turn = turn
        self._markdown = markdown
        self._show_thinking = show_thinking
        self._sought = sought
        self._text = ReplyText(markdown=markdown, sought=sought)
        self._segments: list[ReplyText | CallBlock] = [self._text]
        """The texts and calls of the reply, in order."""
        self._thinking: Thinking | None = None

    def compose(self) -> ComposeResult:
        if self._place[1] > 1:
            yield Static(siblings_line(self._place, self._branch_keys), markup=False, classes="siblings")
        yield self._text

    async def on_mount(self) -> None:
        """Show the text that already exists."""
        if self._turn.streaming:
            await self.show(self._turn)
        else:
            await self.finish(self._turn)

    async def show(self, turn: Turn, calls: Mapping[str, CallProgressed] = NO_CALLS) -> None:
        """Show the partial reply, which is longer than before. `calls` are the states of its calls."""
        self._turn = turn
        if not self.is_attached:
            return  # another conversation is shown by now
        await self._show_thinking_of(turn)
        await self._show_content(turn, calls, whole=False)

    async def _show_content(self, turn: Turn, calls: Mapping[str, CallProgressed], *, whole: bool) -> None:
        """Show texts and calls in order. Only the last text may still grow."""
        results = {part.call_id: part for part in turn.content if isinstance(part, ToolResultPart)}
        for place, part in enumerate(_pieces(turn.content)):
            if isinstance(part, ToolCallPart):
                block = await self._segment(place, CallBlock, partial(CallBlock, part))
                block.show(results.get(part.id), calls.get(part.id))
            else:
                text = await self._segment(place, ReplyText, self._new_text)
                await (text.show_whole(part) if whole else text.show(part))

    def _new_text(self) -> ReplyText:
        return ReplyText(markdown=self._markdown, sought=self._sought)

    async def _segment(self, place: int, kind: type[_Segment], make: Callable[[], _Segment]) -> _Segment:
        """Return the widget at this place of the reply; mount it if it is new."""
        if place < len(self._segments) and isinstance(found := self._segments[place], kind):
            return found
        new = make()
        before = self._segments[place] if place < len(self._segments) else None
        after = self._segments[-1]
        self._segments.insert(place, new)
        if before is not None:
            await mount(self, new, before=before)
        elif self.is_attached:
            await self.mount(new, after=after)
        return new

    async def _show_thinking_of(self, turn: Turn) -> None:
        if turn.reasoning:
            answering = bool(turn.model_text.strip())
            if self._thinking is None:
                self._thinking = Thinking(folded=not self._show_thinking and answering)
                await mount(self, self._thinking, before=self._text)
            elif answering and not self._thinking._done and not self._show_thinking:
                # Interesting while there was nothing else, the reasoning is now in the way of the answer.
                self._thinking.fold(True)
            self._thinking.show(plain(turn.reasoning), done=answering or not turn.streaming)

    async def finish(self, turn: Turn, note: Content | None = None) -> None:
        """Show the complete reply, with a note about its end."""
        self._turn = turn
        if not self.is_attached:
            return
        await self._show_thinking_of(turn)
        await self._show_content(turn, NO_CALLS, whole=True)
        note = note or end_note(turn)
        if note:
            kind = "-failed" if turn.finish_reason == "failed" else "-quiet"
            await mount(self, Static(note, markup=False, classes=f"note {kind}"))

    def toggle_results(self) -> None:
        """Fold or unfold the results of all calls."""
        blocks = [segment for segment in self._segments if isinstance(segment, CallBlock)]
        folded = any(not block.folded for block in blocks)
        for block in blocks:
            block.fold(folded)

    def toggle_thinking(self) -> None:
        """Fold or unfold the reasoning, if there is any."""
        if self._thinking is not None:
            self._thinking.fold(not self._thinking.folded)

    @property
    def turn(self) -> Turn:
        """The turn that this widget shows."""
        return self._turn


def _pieces(content: Parts) -> Iterator[ToolCallPart | str]:
    """Yield the calls of a reply, and the texts between them. A result is shown with its call."""
    parts = (part for part in content if not isinstance(part, ToolResultPart))
    for is_call, row in groupby(parts, lambda part: isinstance(part, ToolCallPart)):
        if is_call:
            yield from (part for part in row if isinstance(part, ToolCallPart))
        elif text := plain(marked_text(tuple(row))):
            yield text


def prompt_content(prose: str, attachments: Sequence[Attachment], tokens: Sequence[int] = ()) -> Content:
    """Return a prompt with the size and the known tokens of each file after its first mention."""
    sizes = {attachment.path: _size(attachment) for attachment in attachments}
    for attachment, count in zip(attachments, tokens, strict=False):
        sizes[attachment.path] += f", {count:,} token{'' if count == 1 else 's'}"
    parts: list[str | tuple[str, str]] = []
    at = 0
    for each in mentions(prose):
        if not each.escaped and (size := sizes.pop(each.path, None)):
            parts += [plain(prose[at : each.end]), (f" ({size})", "$text-muted")]
            at = each.end
    parts.append(plain(prose[at:]))
    # What no mention names, such as the images of an imported conversation.
    parts += [(f"\n{plain(path) or 'image'} ({size})", "$text-muted") for path, size in sizes.items()]
    return Content.assemble(*parts)


def _size(attachment: Attachment) -> str:
    size, image = in_bytes(attachment.size), attachment.image
    return f"{image.width}×{image.height}, {size}" if image is not None and image.width else size


def siblings_line(place: tuple[int, int], keys: str) -> str:
    """Return the line that shows which of several siblings a turn is. `keys` go to the others."""
    before, after = "◂" if place[0] > 1 else " ", "▸" if place[0] < place[1] else " "
    return f"{before} {place[0]} of {place[1]} {after}  {keys}".rstrip()


def end_note(turn: Turn) -> Content | None:
    """Return the note below a reply that the model did not end itself."""
    said = bool(turn.text.strip())
    thinking = " while thinking, without a reply" if turn.reasoning.strip() and not said else ""
    match turn.finish_reason:
        case "stop" if thinking:
            return Content("no reply: the model only thought")
        case "stop" if not said:
            return Content("no reply: the model ended it at once")
        case "cancelled":
            why = f": {plain(turn.error)}" if turn.error else ""
            return Content(f"stopped{thinking}{why}")
        case "length":
            return Content(f"cut off{thinking}: the reply reached its greatest length")
        case "failed":
            title, _, rest = plain(turn.error or "The reply failed").partition("\n")
            return Content.assemble((title, "bold"), *([f"\n{rest}"] if rest else []))
        case _:
            return None
