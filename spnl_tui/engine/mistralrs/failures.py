"""Errors of mistral.rs, reworded for the user. The runner uses it."""

from __future__ import annotations

import re

from spnl_tui.engine.backend import ErrorKind, RequestFailed
from spnl_tui.errors import SpnlError
from spnl_tui.models.prompts.chat_prompt import TemplateError, TemplateRejection


class PromptTooLong(Exception):
    """The prompt has about `tokens` tokens, but the context holds `limit`. `chosen`: the user set that
    limit."""

    def __init__(self, tokens: int, limit: int, *, chosen: bool = False) -> None:
        super().__init__(tokens, limit)
        self.tokens = tokens
        self.limit = limit
        self.chosen = chosen


class NoChatTemplate(Exception):
    """The model has no chat template, so it can only continue texts."""


def load_failure(error: BaseException) -> RequestFailed:
    """Return the event for a load that failed."""
    if isinstance(error, SpnlError):
        return _failure("load", error.title, error.message, error.hint)
    reason = str(error)
    if "CUDA_ERROR_NO_DEVICE" in reason or '"cuda" shared library' in reason:
        return _failure(
            "load",
            "No graphics card was found",
            "The installed mistral.rs was built for CUDA and computes on nothing else.",
            "Check that nvidia-smi shows the card, or install mistralrs without CUDA, which "
            "computes on the processor.",
        )
    if "CUDA_ERROR_OUT_OF_MEMORY" in reason:
        return _failure(
            "load",
            "The graphics card has too little memory",
            first_line(error),
            "Close other programs that use it, or choose a smaller quantization or context.",
        )
    if "exited before reporting readiness" in reason:
        return _failure(
            "load",
            "The engine could not start",
            "It exited while starting, most likely because memory or threads are limited (ulimit).",
            "Raise the limit, close other programs or choose a smaller quantization.",
        )
    return _damage(reason, "load") or _failure("load", "The model could not be loaded", first_line(error))


def request_failure(error: BaseException) -> RequestFailed:
    """Return the event for a request that failed. mistral.rs raises ValueError for every cause."""
    reason = str(error)
    if isinstance(error, PromptTooLong):
        return _failure(
            "context",
            "The prompt is longer than the context",
            f"The prompt has about {error.tokens:,} tokens, and the context holds {error.limit:,}.",
            "Shorten it, start a new conversation, or "
            + ("raise [context] length." if error.chosen else "choose a model with a longer context."),
        )
    if isinstance(error, NoChatTemplate) or "does not have a chat template" in reason:
        return _failure(
            "template",
            "This model cannot chat",
            "It is a base model without a chat template.",
            "Choose an instruct model (its name often ends in -Instruct, -it or -Chat), set model.template "
            "to the template it was trained with, or let it continue a text: spnl-chat run --completion.",
        )
    if isinstance(error, TemplateError):
        rejected = isinstance(error, TemplateRejection)
        return _failure(
            "template",
            "The chat template refuses these messages" if rejected else "The chat template cannot be used",
            f"{error}.",
            "Choose another template with --template or model.template; chatml suits many models.",
        )
    if "NoExtensionBias" in reason:
        return _failure(
            "request",
            "No reply can match this format",
            "The JSON schema or grammar allows no text: it refers to itself endlessly, or its rules "
            "contradict each other.",
            "Correct the schema or grammar.",
        )
    if "Invalid grammar" in reason:
        return _failure(
            "request",
            "The reply format is not valid",
            _grammar_problem(error),
            "Correct the JSON schema, regular expression or grammar.",
        )
    return _damage(reason, "request") or _failure(
        "internal", "The engine could not serve the request", first_line(error)
    )


_DAMAGE = (
    # A pattern of mistral.rs's error message → the description for the user.
    (r"[Mm]issing required tensor.*?: (?P<name>[\w.]+)", "It lacks the tensor {name}."),
    (r"cannot find tensor (?P<name>[\w.]+)", "It lacks the tensor {name}."),
    (r"missing a tensor matching `(?P<name>[^`]+)`", "It lacks the tensor {name}."),
    (r"tokenizer must include (?P<name>merges)", "Its tokenizer has no {name}."),
    (r"metadata `(?P<name>[^`]+)`.* (?:no non-zero|has no)", "Its value {name} is not valid."),
    (r"requires GGUF metadata `(?P<name>[^`]+)`", "It lacks the value {name}."),
    (r"missing one of \[(?P<name>[^\]]+)\]", "It lacks all of {name}."),
    (r"GGUF `(?P<name>\w+)` token id \d+ is out of bounds", "Its {name} token is not in its vocabulary."),
    (
        r"[Ss]hape mismatch|unexpected shape|divide by zero|index out of bounds",
        "The shapes of its tensors contradict each other.",
    ),
    (
        r"invalid logits|NaN|A weight is (?:invalid|negative)",
        "Its results are not numbers, so its weights are damaged.",
    ),
)


def _damage(reason: str, kind: ErrorKind) -> RequestFailed | None:
    """Return the failure if this message of mistral.rs reports a damaged or unsupported model file; else
    None."""
    for pattern, words in _DAMAGE:
        if match := re.search(pattern, reason, re.DOTALL):
            return _failure(
                kind,
                "The model's file is damaged",
                words.format(**match.groupdict()),
                "Pull the model again, or choose another file of it.",
            )
    if match := re.search(r"[Uu]nknown .*architecture `(?P<name>[^`]+)`", reason):
        return _failure(
            kind,
            "The model cannot be loaded",
            f"mistral.rs has no loader for the architecture {match['name']}.",
            "Choose a model of another family.",
        )
    return None


def is_too_long(error: BaseException) -> bool:
    """Return True if mistral.rs refused the prompt because of its length."""
    return "Prompt sequence length is greater than" in str(error)


def first_line(error: BaseException) -> str:
    """Return the first line of the error. Rust adds backtraces and a picture that marks the position."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _grammar_problem(error: BaseException) -> str:
    """Return the error on one line. For a regular expression, the reason follows a picture of it."""
    line = first_line(error)
    if not line.endswith(":"):
        return line
    reasons = (each.strip() for each in str(error).splitlines())
    reason = next((each for each in reasons if each.startswith("error: ")), "")
    return f"{line} {reason.removeprefix('error: ')}".rstrip()


def _failure(
    kind: ErrorKind, title: str, message: str, hint: str = "The log has the details."
) -> RequestFailed:
    return RequestFailed(kind=kind, title=title, message=message, hint=hint)
