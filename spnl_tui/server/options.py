"""The options of a server, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from spnl_tui.errors import SettingsError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The address of a server, its clients, and its limits.

    Raises:
        SettingsError: others than this machine could reach the server, and it has no key.
    """

    host: str = "127.0.0.1"
    port: int = 8484
    """0 takes a free one."""
    key: str | None = field(default=None, repr=False)
    """Clients send it as `Authorization: Bearer KEY`. None: this machine's programs need none."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may use the server, such as "https://example.org"."""
    max_requests: int = 64
    """Requests that run or wait at once; further ones are refused with 429."""
    max_body_bytes: int = 32_000_000
    head_timeout_s: float = 10.0
    """Limit for the head of a request to arrive."""
    body_timeout_s: float = 30.0
    """Limit for the body of a request to arrive."""
    send_timeout_s: float = 30.0
    """Limit for a client to read the next piece of its reply."""
    keep_alive_s: float = 10.0
    """A stream without news sends a comment this often."""

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.key:
            raise SettingsError(
                "The server needs a key",
                f"Other machines can reach {self.host}, so each request must carry a key.",
                "Put a key into an environment variable and name it: --api-key-env NAME",
            )

    @property
    def is_loopback(self) -> bool:
        """True if only programs on this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return True if the host names this machine, and no other machine can reach it."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
