"""Recognizes exceptions from HTTP clients, JSON readers and URL parsers, and rewords them for the user."""

from __future__ import annotations

import logging

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub.refusals import redact
from spnl_tui.models.facts import clean

_log = logging.getLogger(__name__)


def client_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return all exception types that a request can raise, and `more`.

    httpx2 has three of them besides its HTTPError.
    """
    import httpx2

    return (
        httpx2.HTTPError,
        httpx2.InvalidURL,
        httpx2.StreamError,
        httpx2.CookieConflict,
        UnicodeError,
        *more,
    )


def foreign_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return all exception types that a request or reading its JSON can raise, and `more`.

    Deeply nested JSON raises a RecursionError and a huge number an ArithmeticError. A value of an unexpected
    type raises one of the last three.
    """
    return client_errors(
        ValueError, RecursionError, ArithmeticError, LookupError, TypeError, AttributeError, *more
    )


def why_again(error: Exception, timeout: float) -> str:
    """Return a short reason why a request failed that may be retried.

    `timeout` is the number of seconds without a byte after which the request failed.

    Raises:
        HubError: a retry will not help.
    """
    import httpx2

    match error:
        case httpx2.ReadTimeout():
            return f"no bytes for {timeout:g} s"
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return "no connection to the hub"
        case httpx2.RemoteProtocolError():
            return "the connection closed early"
        case httpx2.TooManyRedirects():
            raise redirect_loop() from None  # the cause holds addresses, which may be signed
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError() | httpx2.InvalidURL():
            raise HubError(
                "The request cannot be sent",
                "The address of the hub or the token is malformed.",
                "Check HF_ENDPOINT and HF_TOKEN.",
            ) from None  # the cause may hold the token
        case httpx2.TransportError():
            return "the connection broke"
        case _:
            # A network with a login page answers every request with that page.
            return "the answer is not the hub's"


def redirect_loop() -> HubError:
    """Return the error for endless redirects."""
    return HubError(
        "The hub redirects endlessly",
        "The request was redirected 20 times in a row.",
        "Try again later. If HF_ENDPOINT names a mirror, unset it.",
    )


def setup_error(error: Exception) -> HubError:
    """Return the error for a session that cannot be opened, before any request."""
    why = clean(redact(str(error)), 200).rstrip(".") or type(error).__name__
    return HubError(
        "Requests cannot be sent",
        f"The connection settings of this machine are wrong: {why}.",
        "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE.",
    )


def unforeseen(error: Exception) -> PullError:
    """Return the error for a bug of this program during a pull, and log its traceback."""
    _log.error("a pull failed in an unforeseen way", exc_info=error)
    why = clean(redact(repr(error)), 200)
    return PullError(
        "The pull failed in an unforeseen way", f"{why}.", "Pull again. The log file has the details."
    )
