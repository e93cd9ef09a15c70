"""The user's own prompts: read from files, filled with arguments, read again when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spnl_tui.conversations.personal_prompts import PersonalPrompts
from spnl_tui.errors import CommandError

REVIEW = """---
description: Review a file
arguments: {language: English, depth: null}
---
Review in {{language}}, {{ depth }}: {{input}} {{unknown}}
"""


@pytest.fixture
def prompts(tmp_path: Path) -> PersonalPrompts:
    own, workspace = tmp_path / "config/prompts", tmp_path / "work/prompts"
    for folder in (own, workspace):
        folder.mkdir(parents=True)
    (own / "review.md").write_text(REVIEW)
    (own / "plain.md").write_text("Say it simply.")
    (own / "Not A Name.md").write_text("x")
    (workspace / "readme.md").write_text("Another program's text.")
    (workspace / "commit.md").write_text("---\ndescription: Commit message\n---\nWrite a commit message.")
    return PersonalPrompts(own, workspace)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("/review depth=deep @a.py", "Review in English, deep: @a.py {{unknown}}"),
        ('/review language="plain French" depth=x a=b c', "Review in plain French, x: a=b c {{unknown}}"),
        ("/plain", "Say it simply."),
        ("/plain two\nlines", "Say it simply.\n\ntwo\nlines"),
        ("/commit", "Write a commit message."),
        ("/readme", None),
        ("/other", None),
        ("plain text", None),
        ("/etc/plain", None),
    ],
)
def test_command_becomes_its_prompt(prompts: PersonalPrompts, typed: str, sent: str | None) -> None:
    assert prompts.expand(typed) == sent


def test_missing_argument_is_named(prompts: PersonalPrompts) -> None:
    with pytest.raises(CommandError, match="no default") as caught:
        prompts.expand("/review a")
    assert caught.value.hint == "Write: /review depth=VALUE"


def test_changed_and_removed_files_are_read_again(prompts: PersonalPrompts, tmp_path: Path) -> None:
    assert sorted(prompts.all()) == ["commit", "plain", "review"]
    file = tmp_path / "config/prompts/plain.md"
    file.write_text("Say it in verse.")
    os.utime(file, (1, 1))
    assert prompts.expand("/plain") == "Say it in verse."
    file.unlink()
    assert prompts.expand("/plain") is None
    (tmp_path / "work/prompts/review.md").write_text("---\ndescription: Ours\n---\nOurs.")
    assert prompts.expand("/review") == "Ours."  # the workspace's own comes first
