"""The user's own prompts as slash commands: suggested, sent with their arguments, offered in the palette."""

from __future__ import annotations

from pathlib import Path

from textual.command import CommandPalette
from textual.widgets import OptionList

from spnl_tui.conversations.personal_prompts import PersonalPrompts
from spnl_tui.ui.chat.input.completion_list import Completions
from tests.support.waiting import wait_until
from tests.ui.support import chat


async def test_own_prompt_is_suggested_filled_and_sent(tmp_path: Path) -> None:
    (tmp_path / "review.md").write_text(
        "---\ndescription: Review a text\narguments: {tone: kind}\n---\nReview, be {{tone}}:\n{{input}}"
    )
    (tmp_path / "help.md").write_text("A prompt that is called like a command of the program.")
    async with chat(prompts=PersonalPrompts(tmp_path)) as it:
        await it.press(*"/rev")
        options = it.screen.chat.query_one(Completions)
        await wait_until(lambda: options.option_count > 0)
        assert "Review a text" in str(options.get_option_at_index(0).prompt)
        it.prompt.text = ""
        await it.ask("/review tone=strict My text")
        assert it.turns[0] == ("user", "Review, be strict:\nMy text")
        assert [prompt.name for prompt in it.screen.personal_prompts.all()] == ["review"]
        await it.press("ctrl+p")
        await wait_until(lambda: isinstance(it.app.screen, CommandPalette))
        await it.press(*"review")
        results = it.app.screen.query_one(OptionList)
        await wait_until(lambda: any("/review" in str(o.prompt) for o in results.options))
