"""Chat templates for models that lack one or have a wrong one: built-in families, or a Jinja file.

A family's template marks turns as its makers document: ChatML (OpenAI, Qwen, SmolLM), Llama 3 (Meta's model
cards), Mistral's [INST], the turns of Gemma and Phi-3, Zephyr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import ModelFileError
from spnl_tui.text_files import UnreadableFileError, read_text_file

_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template in Jinja, and the words that end a reply to it."""

    text: str
    stop: tuple[str, ...] = ()
    """Texts that end a reply, because a base model writes them like any other text."""


def _marked(before: str, after: str, start: str, stop: str) -> ChatTemplate:
    """Return a template that puts each message between two marks, and `start` before a reply.

    The marks may contain the role.
    """
    text = (
        "{% for message in messages %}"
        f"{before}{{{{ message['content'] | trim }}}}{after}"
        "{% endfor %}"
        f"{{% if add_generation_prompt %}}{start}{{% endif %}}"
    )
    return ChatTemplate(text, (stop,))


# These families have no system role, so a system prompt goes into the first user message.
_SYSTEM_FIRST = (
    "{% set system = '' %}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = messages[0]['content'] | trim + '\n\n' %}{% set messages = messages[1:] %}"
    "{% endif %}{% for message in messages %}"
)
_WITH_SYSTEM = "{{ (system if loop.first else '') + message['content'] | trim }}"

FAMILIES: Mapping[str, ChatTemplate] = {
    "chatml": _marked(
        "{{ '<|im_start|>' + message['role'] + '\n' }}",
        "{{ '<|im_end|>\n' }}",
        "{{ '<|im_start|>assistant\n' }}",
        "<|im_end|>",
    ),
    "llama3": _marked(
        "{% if loop.first %}{{ bos_token }}{% endif %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}",
        "{{ '<|eot_id|>' }}",
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
        "<|eot_id|>",
    ),
    "phi3": _marked(
        "{{ '<|' + message['role'] + '|>\n' }}",
        "{{ '<|end|>\n' }}",
        "{{ '<|assistant|>\n' }}",
        "<|end|>",
    ),
    "zephyr": _marked(
        "{{ '<|' + message['role'] + '|>\n' }}", "{{ '</s>\n' }}", "{{ '<|assistant|>\n' }}", "</s>"
    ),
    "mistral": ChatTemplate(
        "{{ bos_token }}" + _SYSTEM_FIRST + "{% if message['role'] == 'user' %}"
        "{{ '[INST] ' }}" + _WITH_SYSTEM + "{{ ' [/INST]' }}"
        "{% else %}{{ ' ' + message['content'] | trim + '</s>' }}{% endif %}{% endfor %}",
        ("</s>", "[INST]"),
    ),
    "gemma": ChatTemplate(
        "{{ bos_token }}" + _SYSTEM_FIRST + "{{ '<start_of_turn>' }}"
        "{{ 'model' if message['role'] == 'assistant' else 'user' }}{{ '\n' }}"
        + _WITH_SYSTEM
        + "{{ '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<end_of_turn>",),
    ),
}
"""Templates by the name for `model.template` and `--template`."""


def find_template(name: str) -> ChatTemplate:
    """Return the template of this family, or else of the Jinja file at this path.

    Raises:
        ModelFileError: there is neither, or the file cannot be read.
    """
    if (family := FAMILIES.get(name.lower())) is not None:
        return family
    path = Path(name).expanduser()
    hint = f"Name one of {', '.join(sorted(FAMILIES))}, or a Jinja file."
    if not path.exists():
        raise ModelFileError("No such chat template", f"{name} is neither a family nor a file.", hint)
    try:
        return ChatTemplate(read_text_file(path, _LONGEST))
    except UnreadableFileError as error:
        raise ModelFileError("Cannot read the chat template", f"{path}: {error}.", hint) from error
