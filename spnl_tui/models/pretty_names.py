"""Short names for popular models, as in SPNL: `qwen3:1.7b` is a family and a size.

A name does not say that the model runs here; the verdict does (`fit.py`). All names mean chat models, never
base models. SPNL's own names keep their meaning, except `qwen2.5`, which means the Coder variants in SPNL and
the plain models here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

_FAMILIES: Mapping[str, Mapping[str, str]] = {
    "deepseek-r1": {
        "1.5b": "unsloth/DeepSeek-R1-Distill-Qwen-1.5B-GGUF",
        "7b": "unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF",
        "8b": "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF",
        "14b": "unsloth/DeepSeek-R1-Distill-Qwen-14B-GGUF",
        "32b": "unsloth/DeepSeek-R1-Distill-Qwen-32B-GGUF",
        "70b": "unsloth/DeepSeek-R1-Distill-Llama-70B-GGUF",
    },
    "gemma2": {
        "2b": "bartowski/gemma-2-2b-it-GGUF",
        "9b": "bartowski/gemma-2-9b-it-GGUF",
        "27b": "bartowski/gemma-2-27b-it-GGUF",
    },
    "gemma3": {
        "270m": "unsloth/gemma-3-270m-it-GGUF",
        "1b": "unsloth/gemma-3-1b-it-GGUF",
        "4b": "unsloth/gemma-3-4b-it-GGUF",
        "12b": "unsloth/gemma-3-12b-it-GGUF",
        "27b": "unsloth/gemma-3-27b-it-GGUF",
    },
    "gemma4": {
        "e2b": "unsloth/gemma-4-E2B-it-GGUF",
        "e4b": "unsloth/gemma-4-E4B-it-GGUF",
        "12b": "unsloth/gemma-4-12b-it-GGUF",
        "26b": "unsloth/gemma-4-26B-A4B-it-GGUF",
        "31b": "unsloth/gemma-4-31B-it-GGUF",
    },
    "glm4": {"9b": "bartowski/THUDM_GLM-4-9B-0414-GGUF"},
    "gpt-oss": {
        "20b": "ggml-org/gpt-oss-20b-GGUF",
        "120b": "ggml-org/gpt-oss-120b-GGUF",
    },
    "lfm2": {"1.2b": "LiquidAI/LFM2-1.2B-GGUF"},
    "llama3": {
        "8b": "bartowski/Meta-Llama-3-8B-Instruct-GGUF",
        "70b": "bartowski/Meta-Llama-3-70B-Instruct-GGUF",
    },
    "llama3.1": {
        "8b": "unsloth/Llama-3.1-8B-Instruct-GGUF",
        "70b": "bartowski/Meta-Llama-3.1-70B-Instruct-GGUF",
    },
    "llama3.2": {
        "1b": "unsloth/Llama-3.2-1B-Instruct-GGUF",
        "3b": "unsloth/Llama-3.2-3B-Instruct-GGUF",
    },
    "llama3.3": {"70b": "unsloth/Llama-3.3-70B-Instruct-GGUF"},
    "mistral": {"7b": "bartowski/Mistral-7B-Instruct-v0.3-GGUF"},
    "mistral-nemo": {"12b": "bartowski/Mistral-Nemo-Instruct-2407-GGUF"},
    "mistral-small": {"24b": "unsloth/Mistral-Small-3.2-24B-Instruct-2506-GGUF"},
    "mixtral": {"8x7b": "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF"},
    "phi3": {"3b": "microsoft/Phi-3-mini-4k-instruct-gguf"},
    "phi3.5": {"3b": "bartowski/Phi-3.5-mini-instruct-GGUF"},
    "phi4": {"14b": "unsloth/phi-4-GGUF"},
    "phi4-mini": {"3.8b": "unsloth/Phi-4-mini-instruct-GGUF"},
    "qwen2.5": {
        "0.5b": "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "1.5b": "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        "3b": "Qwen/Qwen2.5-3B-Instruct-GGUF",
        "7b": "Qwen/Qwen2.5-7B-Instruct-GGUF",
        "14b": "Qwen/Qwen2.5-14B-Instruct-GGUF",
        "32b": "Qwen/Qwen2.5-32B-Instruct-GGUF",
        "72b": "Qwen/Qwen2.5-72B-Instruct-GGUF",
    },
    "qwen2.5-coder": {
        "0.5b": "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        "1.5b": "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        "3b": "Qwen/Qwen2.5-Coder-3B-Instruct-GGUF",
        "7b": "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        "14b": "Qwen/Qwen2.5-Coder-14B-Instruct-GGUF",
        "32b": "Qwen/Qwen2.5-Coder-32B-Instruct-GGUF",
    },
    "qwen3": {
        "0.6b": "unsloth/Qwen3-0.6B-GGUF",
        "1.7b": "unsloth/Qwen3-1.7B-GGUF",
        "4b": "unsloth/Qwen3-4B-GGUF",
        "8b": "unsloth/Qwen3-8B-GGUF",
        "14b": "unsloth/Qwen3-14B-GGUF",
        "30b": "unsloth/Qwen3-30B-A3B-GGUF",
        "32b": "unsloth/Qwen3-32B-GGUF",
        "235b": "unsloth/Qwen3-235B-A22B-GGUF",
    },
    "qwen3-coder": {
        "30b": "unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
        "480b": "unsloth/Qwen3-Coder-480B-A35B-Instruct-GGUF",
    },
    "qwen3.5": {
        "0.8b": "unsloth/Qwen3.5-0.8B-GGUF",
        "2b": "unsloth/Qwen3.5-2B-GGUF",
        "4b": "unsloth/Qwen3.5-4B-GGUF",
        "9b": "unsloth/Qwen3.5-9B-GGUF",
        "27b": "unsloth/Qwen3.5-27B-GGUF",
        "35b": "unsloth/Qwen3.5-35B-A3B-GGUF",
    },
    "qwen3.6": {
        "27b": "unsloth/Qwen3.6-27B-GGUF",
        "35b": "unsloth/Qwen3.6-35B-A3B-GGUF",
    },
    "qwq": {"32b": "unsloth/QwQ-32B-GGUF"},
    "smollm2": {
        "135m": "bartowski/SmolLM2-135M-Instruct-GGUF",
        "360m": "bartowski/SmolLM2-360M-Instruct-GGUF",
        "1.7b": "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
    },
    "smollm3": {"3b": "ggml-org/SmolLM3-3B-GGUF"},
    "tinyllama": {"1.1b": "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF"},
}

PRETTY_NAMES = {
    f"{family}:{size}": repository
    for family, sizes in _FAMILIES.items()
    for size, repository in sizes.items()
}
"""`family:size` → repository. Families are in alphabetical order, sizes ascending."""


def sizes_of(family: str) -> tuple[str, ...]:
    """Return the sizes of a family, smallest first; empty if the family is unknown."""
    return tuple(_FAMILIES.get(family, ()))


def pretty_name_of(repository: str) -> str | None:
    """Return the short name of this repository, ignoring case; None if it has none."""
    return _names().get(repository.casefold())


@cache
def _names() -> dict[str, str]:
    """Return the names by repository; the first name if several mean the same repository."""
    return {target.casefold(): name for name, target in reversed(PRETTY_NAMES.items())}
