"""Writes prompts from messages with a model's chat template, in Jinja, for which templates are written.

Hugging Face's transformers defines the language of templates (utils/chat_template_utils.py there): a
sandboxed Jinja2 with loop controls, `raise_exception`, `strftime_now`, `tojson` without HTML escapes, and a
`generation` block that marks replies. mistral.rs has another Jinja with fewer features, so it receives
finished prompts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import jinja2

_FILE = "<template>"


class TemplateError(Exception):
    """A chat template cannot be read, or cannot write the messages.

    `line` is the line of the template with the error, None if unknown.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason, line)
        self.reason = reason
        self.line = line

    def __str__(self) -> str:
        return self.reason if self.line is None else f"{self.reason} (line {self.line} of the chat template)"


class TemplateRejection(TemplateError):
    """The chat template itself rejects the messages with `raise_exception`."""


class ChatPrompt:
    """A chat template, ready to write prompts.

    Raises:
        TemplateError: Jinja cannot read the template.
    """

    def __init__(self, template: str, tokens: Mapping[str, str] | None = None) -> None:
        """`tokens` has the texts of the model's "bos_token", "eos_token" and "unk_token", if it has them."""
        self.text = template
        self._tokens = dict(tokens or {})
        try:
            self._template = _environment().from_string(template)
        except Exception as error:  # Jinja compiles to Python, which can raise errors of its own
            raise TemplateError(_reason(error), getattr(error, "lineno", None)) from error

    def write(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> str:
        """Return the prompt for these messages.

        `thinking` reaches templates that can switch thinking on and off; `tools` (as in OpenAI's API) reach
        those that list tools.

        Raises:
            TemplateRejection: the template rejects the messages.
            TemplateError: the template fails.
        """
        # Templates use either name (Qwen 3, DeepSeek 3.1). To a template, unset differs from None.
        switches = {} if thinking is None else {"enable_thinking": thinking, "thinking": thinking}
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                # Pass None as transformers does, because some templates test for it.
                tools=[dict(tool) for tool in tools] or None,
                **self._tokens,
                **switches,
            )
        except TemplateRejection as error:
            raise TemplateRejection(error.reason, _line(error)) from error
        except Exception as error:  # expressions in templates can raise anything
            raise TemplateError(_reason(error), _line(error)) from error


@functools.lru_cache(maxsize=64)
def template_problem(template: str) -> str | None:
    """Return why this chat template cannot be used; None if it can."""
    try:
        ChatPrompt(template)
    except TemplateError as error:
        return str(error)
    return None


@functools.cache
def _environment() -> jinja2.Environment:
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Ignores the marks around replies, which are only for training."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    # mistral.rs's Jinja has this filter, and some templates of users need it.
    environment.filters["split"] = lambda text, separator=None: text.split(separator)
    environment.globals["raise_exception"] = _reject
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment


def _reject(reason: object) -> NoReturn:
    raise TemplateRejection(str(reason))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _reason(error: Exception) -> str:
    """Return the first sentence of an error, without Jinja's guesses."""
    text = str(error).strip().split(". ")[0].split("\n")[0].rstrip(".")
    return (text or type(error).__name__)[:300]


def _line(error: Exception) -> int | None:
    """Return the failing line of the template, from the traceback; None if unknown."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
