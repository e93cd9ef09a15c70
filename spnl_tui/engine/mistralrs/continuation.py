"""A reply that goes on where it stopped. Pure, standard library only: the runner uses it.

mistral.rs closes whatever is the last message and begins a new one; it has no `continue_final_message`. So
the model's own chat template is given to it with a case added: if a message holds a mark, what the template
makes of the messages is cut at that mark. (Prompts that are asked again have a mark of their own there, see
asking_again.py.) All other requests take the template as it is.

mistral.rs also strips the white space before the first token of a reply. So that it is known whether a word
goes on or another one begins, the model says the last word once more, which a grammar makes it do; as a gain,
it is free to choose other tokens where the text was cut within one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spnl_tui.engine.mistralrs.cache_reuse import AGAIN
from spnl_tui.models.request import Grammar, Message

_MARK = "\ue000continue here\ue000"
"""Of the private use area: no text has it that a person wrote or a model made."""
_LONGEST_WORD = 24
"""Characters that are said once more, at most."""


def continuable(template: str) -> str:
    """The same Jinja chat template, which also knows the mark, and that of a prompt that is asked again."""
    return (
        "{% set spnl_marked = namespace(any=false) %}{% for message in messages %}"
        f"{{% if '{_MARK}' in message['content'] or '{AGAIN}' in message['content'] %}}"
        "{% set spnl_marked.any = true %}{% endif %}{% endfor %}"
        f"{{% if spnl_marked.any %}}{{% set whole %}}{template}{{% endset %}}"
        f"{{{{ (whole | split('{_MARK}'))[0] | replace('{AGAIN}', '\\n') }}}}"
        f"{{% else %}}{template}{{% endif %}}"
    )


def is_continuable(template: str | None) -> bool:
    """Whether this template knows the mark."""
    return template is not None and _MARK in template


@dataclass(slots=True)
class Continuation:
    """The request for what follows the last message, and what to leave away of the reply to it."""

    messages: tuple[Message, ...]
    again: str
    """What is said once more."""
    _said: str | None = ""
    """What has come of it; None: all."""

    @classmethod
    def of(cls, messages: tuple[Message, ...]) -> Continuation:
        """Of a request whose last message is the beginning of the reply."""
        *before, begun = (Message(each.role, each.model_text.replace(_MARK, "")) for each in messages)
        last_word = re.search(r"\s*\S*\s*\Z", begun.model_text)
        again = last_word.group()[-_LONGEST_WORD:] if last_word else ""
        kept = begun.model_text[: len(begun.model_text) - len(again)]
        return cls((*before, Message(begun.role, kept + _MARK)), again)

    @property
    def grammar(self) -> Grammar | None:
        """What makes the model begin with the last word."""
        return Grammar("regex", rf"{re.escape(self.again)}(.|\n)*") if self.again else None

    def feed(self, text: str) -> str:
        """What is new of this piece of the reply."""
        if self._said is None:
            return text
        self._said += text
        for expected in (self.again, self.again.lstrip()):
            if self._said.startswith(expected):
                text, self._said = self._said[len(expected) :], None
                return text
        return ""
