"""Writes conversations to one self-contained HTML file without scripts, for light and dark displays.

Replies are Markdown, and HTML in them is shown as text. A content security policy forbids everything except
the file's own style and images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.message_export import Branch, image_address
from spnl_tui.conversations.turn import Turn
from spnl_tui.media.image_store import ImageStore
from spnl_tui.models.parts import FilePart, ImagePart, Part, TextPart, ToolCallPart, ToolResultPart, as_text
from spnl_tui.text import plain, well_formed

_Render: TypeAlias = Callable[[str], str]

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1d1f23; --paper: #fdfcf9; --dim: #6b6f76; --box: #f0eee8; --line: #d9d5ca; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e4e2dc; --paper: #17181a; --dim: #9a9ca1; --box: #222427; --line: #3a3c40; } }
body { margin: 0 auto; max-width: 46rem; padding: 2rem 1.2rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 2.5rem 0 .2rem; }
.about, .who, summary { color: var(--dim); font-size: .85rem; }
.who { margin: 1.6rem 0 .2rem; font-weight: 600; }
.user { background: var(--box); padding: .1rem 1rem; border-radius: .5rem; }
pre { background: var(--box); padding: .8rem; border-radius: .4rem; overflow-x: auto; }
code { font: .9em ui-monospace, monospace; }
details { border-left: 2px solid var(--line); padding-left: .8rem; margin: .6rem 0; }
img { max-width: 100%; }
table { border-collapse: collapse; }
td, th { border: 1px solid var(--line); padding: .2rem .6rem; }
blockquote { border-left: 3px solid var(--line); margin-left: 0; padding-left: 1rem; color: var(--dim); }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def to_html(branches: Sequence[Branch], images: ImageStore | None = None) -> str:
    """Return the branches, one below the other, as an HTML file."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    # An image in a reply would be fetched from the network, so show only its description.
    markdown.disable("image")
    title = branches[0][0].title if len(branches) == 1 else f"{len(branches)} conversations"
    body = "\n".join(
        _conversation(conversation, turns, markdown.render, images) for conversation, turns in branches
    )
    return well_formed(
        f'<!doctype html>\n<html lang="und">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _conversation(
    conversation: Conversation, turns: Sequence[Turn], render: _Render, images: ImageStore | None
) -> str:
    about = [
        datetime.fromtimestamp(conversation.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        conversation.model,
        *(f"#{tag}" for tag in conversation.tags),
    ]
    parts = [
        f"<h1>{_text(conversation.title or 'Conversation')}</h1>",
        f'<p class="about">{_text(" · ".join(filter(None, about)))}</p>',
    ]
    if conversation.system_prompt:
        parts.append(_folded("System prompt", f"<pre>{_text(conversation.system_prompt)}</pre>"))
    return "\n".join([*parts, *(_turn(turn, render, images) for turn in turns)])


def _turn(turn: Turn, render: _Render, images: ImageStore | None) -> str:
    model = turn.provenance.model if turn.provenance else ""
    who = "You" if turn.role == "user" else (model or "Model")
    inside = [_part(part, render, images) for part in turn.content]
    if turn.reasoning:
        inside.insert(0, _folded("Thinking", render(plain(turn.reasoning))))
    if turn.error or turn.finish_reason in ("cancelled", "failed"):
        inside.append(f"<p><em>{_text(turn.error or 'Stopped.')}</em></p>")
    said = f'<div class="{turn.role}">\n{"".join(inside)}</div>'
    return f'<section>\n<p class="who">{_text(who)}</p>\n{said}\n</section>'


def _part(part: Part, render: _Render, images: ImageStore | None) -> str:
    match part:
        case TextPart():
            return render(plain(part.text))
        case ImagePart():
            name = _text(part.name or "image")
            address = image_address(part, images)
            return f'<p><img alt="{name}" src="{address}"></p>\n' if address else f"<p>[{name}]</p>\n"
        case FilePart():
            return _folded(part.name, f"<pre>{_text(part.text)}</pre>")
        case ToolCallPart():
            return _folded(f"Tool call: {part.name}", f"<pre>{_text(part.arguments)}</pre>")
        case ToolResultPart():
            pictures = "".join(
                _part(each, render, images) for each in part.content if isinstance(each, ImagePart)
            )
            words = as_text(tuple(each for each in part.content if not isinstance(each, ImagePart)))
            return _folded(
                "Tool error" if part.error else "Tool result", f"<pre>{_text(words)}</pre>{pictures}"
            )


def _folded(title: str, inside: str) -> str:
    return f"<details>\n<summary>{_text(title)}</summary>\n{inside}\n</details>\n"


def _text(text: str) -> str:
    return escape(plain(text))
