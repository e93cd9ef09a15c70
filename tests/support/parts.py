"""Content made of every kind of part."""

from __future__ import annotations

from hypothesis import strategies as st

from spnl_tui.models.parts import Content, FilePart, ImagePart, TextPart, ToolCallPart, ToolResultPart

ONE_OF_EACH: Content = (
    TextPart("Look at this."),
    ImagePart(sha256="ab" * 32, media_type="image/png", size=1234),
    FilePart(name="notes.txt", text="line one\n```\nline three"),
    ToolCallPart(id="call-1", name="weather", arguments='{"city": "Köln"}'),
    ToolResultPart(call_id="call-1", content=(TextPart("Rain."), ImagePart("cd" * 32, "image/webp", 0))),
    ToolResultPart(call_id="call-2", content=(), error=True),
    TextPart("It rains."),
)

TEXTS = st.text(max_size=20)
_SHOWN = st.one_of(
    st.builds(TextPart, text=TEXTS),
    st.builds(ImagePart, sha256=TEXTS, media_type=TEXTS, size=st.integers(0, 2**63 - 1)),
    st.builds(FilePart, name=TEXTS, text=TEXTS),
)
CONTENTS = st.lists(
    st.one_of(
        _SHOWN,
        st.builds(ToolCallPart, id=TEXTS, name=TEXTS, arguments=TEXTS),
        st.builds(
            ToolResultPart,
            call_id=TEXTS,
            content=st.lists(_SHOWN, max_size=3).map(tuple),
            error=st.booleans(),
        ),
    ),
    max_size=5,
).map(tuple)
"""Any content."""
