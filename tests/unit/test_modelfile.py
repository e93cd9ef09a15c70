"""Modelfiles of Ollama: what they say, and what of it applies here."""

from __future__ import annotations

import pytest

from spnl_tui.errors import ModelFileError
from spnl_tui.models.modelfile import looks_like_modelfile, parse_modelfile, sampling_from, sampling_of
from spnl_tui.models.request import Sampling

TEXT = '''# a comment
from llama3.2:1b
PARAMETER temperature 0.2
PARAMETER stop "User: "
parameter stop <|eot|>
PARAMETER num_ctx 4096
PARAMETER num_predict -1
PARAMETER top_k forty
TEMPLATE """{{ .System }}
{{ .Prompt }}"""
SYSTEM """
You are Mario.
# not a comment
"""
ADAPTER ./lora.gguf
LICENSE """
any
"""
MESSAGE user hello
'''


def test_every_instruction_is_read() -> None:
    found = parse_modelfile(TEXT, "Modelfile")
    assert found.base == "llama3.2:1b"
    assert found.system == "You are Mario.\n# not a comment"
    assert found.template == "{{ .System }}\n{{ .Prompt }}"
    assert found.adapters == ("./lora.gguf",)
    assert found.others == ("MESSAGE",)


def test_parameters_become_sampling_and_the_rest_is_named() -> None:
    sampling, left_out = sampling_of(parse_modelfile(TEXT, "m").parameters, Sampling())
    assert sampling == Sampling(temperature=0.2, stop=("User: ", "<|eot|>"))
    assert left_out == ["num_ctx: set [context] length instead", "top_k: forty is not a valid value"]


def test_parameters_of_a_model_yield_to_the_users() -> None:
    ours = Sampling(temperature=0.9, top_p=0.5)
    parameters = {"temperature": 0.1, "stop": ["a", "b"], "top_p": 0.2}
    found = sampling_from(parameters, ours, own=["temperature"])
    assert found == Sampling(temperature=0.9, top_p=0.2, stop=("a", "b"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM a\nnonsense", "line 2"),
        ("SYSTEM hello", "has no FROM"),
        ('FROM a\nSYSTEM """never closed', 'closing """'),
    ],
)
def test_what_cannot_be_understood_is_refused_by_line(text: str, why: str) -> None:
    with pytest.raises(ModelFileError, match=why):
        parse_modelfile(text, "Modelfile")


@pytest.mark.parametrize("text", ["", "# Notes\nFrom here on", "hello\nFROM a", "{}"])
def test_other_texts_are_not_taken_for_modelfiles(text: str) -> None:
    assert not looks_like_modelfile(text)
