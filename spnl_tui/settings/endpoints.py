"""Settings of the endpoints: servers on this machine or elsewhere that answer in place of the engine here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from spnl_tui.errors import SettingsError

ServerKind = Literal[
    "auto", "openai", "gemini", "vllm", "llamacpp", "ollama", "lmstudio", "mistralrs", "spnl"
]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TAKEN = ("starter", "local", "mistralrs", "endpoint", "datasets", "spaces")
"""Words that begin other references to models."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """A server that speaks OpenAI's API. Its models are named NAME/MODEL."""

    url: str = ""
    """The address of the API, such as "http://gpu-box:8000/v1"."""
    server: ServerKind = "auto"
    """The program that answers: "auto" asks it, or "openai", "gemini", "vllm", "llamacpp", "ollama",
    "lmstudio", "mistralrs" or "spnl"."""
    api_key_env: str | None = None
    """The environment variable that holds the key."""
    api_key_command: str | None = None
    """A command that prints the key, such as "pass show work/llm". It runs before the first request, unless
    api_key_env has the key."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers of every request. "$NAME" stands for an environment variable."""
    models: tuple[str, ...] = ()
    """The models, if the server does not list them."""
    max_concurrent: int = 16
    """The most requests at once; further ones wait."""
    timeout_s: float = 300.0
    """How long the server may be silent, before a reply and within it, in seconds."""
    plain_http: bool = False
    """True sends the key, headers and words unencrypted to another machine over http://."""

    def __post_init__(self) -> None:
        if self.url:
            _check_url(self.url)
        if not 1 <= self.max_concurrent <= 10_000:
            raise SettingsError(
                "max_concurrent is out of range",
                f"max_concurrent is {self.max_concurrent}; it must be from 1 to 10,000.",
                "Set max_concurrent within these limits.",
            )
        if not 1 <= self.timeout_s <= 86_400:
            raise SettingsError(
                "timeout_s is out of range",
                f"timeout_s is {self.timeout_s}; it must be from 1 to 86,400.",
                "Set timeout_s within these limits.",
            )
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or not value.isascii() or not value.isprintable():
                raise SettingsError(
                    "A header is not valid",
                    f"The header {name[:60]!r} has characters that HTTP does not allow.",
                    "Names have letters, digits and dashes; values are printable ASCII.",
                )


def check_endpoint_name(name: str) -> None:
    """Refuse a name that could not begin a reference to a model.

    Raises:
        SettingsError: it is not valid.
    """
    if not _NAME.fullmatch(name) or name.lower() in _TAKEN:
        raise SettingsError(
            "The endpoint's name is not valid",
            f"{name!r} cannot name an endpoint.",
            "Use letters, digits, dots, dashes and underscores: [endpoints.gpu-box]",
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    else:
        if parts.scheme not in ("http", "https"):
            host = None
        elif parts.username is not None or parts.password is not None:
            raise SettingsError(
                "The address contains a password",
                "url must not hold a user name or password.",
                "Remove it, and set api_key_env, api_key_command or headers.",
            )
    if not host:
        raise SettingsError(
            "url is not an address",
            f"url is {url[:100]!r}.",
            'Write it as "http://gpu-box:8000/v1" or "https://api.example.org/v1".',
        )
