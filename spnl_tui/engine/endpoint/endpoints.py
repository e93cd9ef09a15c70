"""The endpoints that the user can name: configured ones, and those with a built-in prefix."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from spnl_tui.engine.backend import Capabilities
from spnl_tui.settings.endpoints import EndpointSettings, ServerKind

_GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"
"""https://ai.google.dev/gemini-api/docs/openai"""
_LOOPBACK_PORTS: Mapping[str, int] = {"llamacpp": 8080, "lmstudio": 1234, "vllm": 8000}
"""The default port of each server."""
_OLLAMA_PORT = 11434
PREFIXES = ("openai", "gemini", "ollama", *_LOOPBACK_PORTS)
"""The names of endpoints that need no configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server and how to reach it."""

    name: str
    url: str
    """The address of the API, without a slash at the end."""
    server: ServerKind = "auto"
    configured: bool = False
    """True if it comes from the configuration."""
    chosen: bool = False
    """True if the user has set its address, in the configuration or a variable."""
    api_key_env: str | None = None
    api_key_command: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    models: tuple[str, ...] = ()
    max_concurrent: int = 16
    timeout_s: float = 300.0
    plain_http: bool = False

    @property
    def root(self) -> str:
        """The address without the version. Servers offer their other APIs there."""
        return self.url.removesuffix("/v1")

    @property
    def host(self) -> str:
        """The host and port, for the user."""
        return urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        """True if the server runs on this machine, so that prompts do not leave it."""
        name = urlsplit(self.url).hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    @property
    def unencrypted(self) -> bool:
        """True if prompts and the key would cross the network in plain text."""
        return self.url.startswith("http://") and not self.is_local


def known_endpoints(
    configured: Mapping[str, EndpointSettings], environ: Mapping[str, str]
) -> dict[str, Endpoint]:
    """Return the endpoints by lower-case name. The configuration overrides environment variables."""
    found = {each.name: each for each in _without_configuration(environ)}
    for name, settings in configured.items():
        kind = settings.server
        found[name.lower()] = Endpoint(
            name=name,
            url=normal_url(settings.url, kind),
            server=name.lower() if kind == "auto" and name.lower() in PREFIXES else kind,  # type: ignore[arg-type]  # the prefixes are kinds
            configured=True,
            chosen=True,
            api_key_env=settings.api_key_env,
            api_key_command=settings.api_key_command,
            headers=settings.headers,
            models=settings.models,
            max_concurrent=settings.max_concurrent,
            timeout_s=settings.timeout_s,
            plain_http=settings.plain_http,
        )
    return found


def _without_configuration(environ: Mapping[str, str]) -> list[Endpoint]:
    openai = environ.get("OPENAI_BASE_URL", "").strip()
    local = Endpoint(name="ollama", url=_ollama_url(environ), server="ollama", max_concurrent=4)
    return [
        Endpoint(
            name="openai",
            url=normal_url(openai or "https://api.openai.com/v1", "openai"),
            server="auto" if openai else "openai",
            chosen=bool(openai),
            # A self-hosted server may need no key.
            api_key_env=None if openai and not environ.get("OPENAI_API_KEY") else "OPENAI_API_KEY",
        ),
        Endpoint(name="gemini", url=_GEMINI, server="gemini", api_key_env="GEMINI_API_KEY"),
        replace(local, chosen=bool(environ.get("OLLAMA_HOST", "").strip())),
        Endpoint(name="llamacpp", url=_loopback("llamacpp"), server="llamacpp", max_concurrent=4),
        Endpoint(name="lmstudio", url=_loopback("lmstudio"), server="lmstudio", max_concurrent=4),
        Endpoint(name="vllm", url=_loopback("vllm"), server="vllm", max_concurrent=64),
    ]


def _loopback(name: str) -> str:
    return f"http://127.0.0.1:{_LOOPBACK_PORTS[name]}/v1"


def normal_url(url: str, kind: ServerKind) -> str:
    """Return the address of the API: `/v1` is added to an address without a path, except for Ollama's."""
    parts = urlsplit(url.strip())
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    if kind == "ollama":
        path = path.removesuffix("/v1").removesuffix("/api")
    elif not path:
        path = "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _ollama_url(environ: Mapping[str, str]) -> str:
    """Read OLLAMA_HOST as Ollama does (envconfig/config.go): scheme, host and port may each be missing."""
    text = environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default = (
        {"http": 80, "https": 443}[scheme] if separator and scheme in ("http", "https") else _OLLAMA_PORT
    )
    host_and_port, _, path = rest.partition("/")
    if host_and_port.startswith("[") or host_and_port.count(":") <= 1:
        host, _, port = host_and_port.rpartition(":") if ":" in host_and_port.rpartition("]")[2] else (
            host_and_port, "", "")  # fmt: skip
    else:
        host, port = f"[{host_and_port}]", ""  # an IPv6 address without a port
    if host in ("", "0.0.0.0", "[::]"):  # Ollama listens on every interface: use this machine's.
        host = "127.0.0.1"
    number = int(port) if port.isdecimal() and int(port) < 65_536 else default
    return normal_url(f"{scheme}://{host}:{number}/{path}", "ollama")


# ── what each server can do ──────────────────────────────────────────────────────────────────────

_OPENAI_LIKE = Capabilities(
    counts_tokens=True, schemas=True, vision=True, tools=True, thinking=True, parallel=True
)
_OWN_SERVER = replace(_OPENAI_LIKE, continues_text=True, continues_replies=True)

CAPABILITIES: Mapping[str, Capabilities] = {
    "openai": _OPENAI_LIKE,
    "gemini": _OPENAI_LIKE,
    "lmstudio": replace(_OPENAI_LIKE, continues_text=True),
    "vllm": replace(_OWN_SERVER, grammars=True),
    "llamacpp": _OWN_SERVER,
    "llamacpp-python": replace(
        _OWN_SERVER, continues_replies=False, vision=False, thinking=False, parallel=False
    ),
    "ollama": _OWN_SERVER,
    "mistralrs": replace(_OPENAI_LIKE, grammars=True, continues_text=True),
    "spnl": _OWN_SERVER,
    "other": _OPENAI_LIKE,
    # The kind is not known yet. Once it is, unsupported requests are refused.
    "auto": replace(_OWN_SERVER, grammars=True),
}
"""The capabilities of each kind of server, given a capable model."""
