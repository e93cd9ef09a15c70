"""The errors that users see.

Each one says what happened (`title`), why (`message`), and what to do (`hint`).

    SpnlError
    ├── SettingsError      a configuration file, an environment variable or a flag is not valid
    ├── ModelReferenceError a model reference is malformed, ambiguous or unknown
    ├── ModelFileError     a file is not the expected model
    ├── RequestError       the engine must not or cannot answer a request
    ├── RunnerError        a runner process could not start or has ended
    ├── HubError           Hugging Face rejected a request, failed or could not be reached
    │   └── ModelMissingError  a model is not on this machine
    ├── PullError          a download cannot continue
    ├── StoreError         conversations cannot be read or written
    ├── CommandError       a slash command does not exist or is not available now
    ├── AttachmentError    a file cannot be attached to a prompt
    ├── ClipboardError     the clipboard cannot be set
    ├── EditorError        the user's editor cannot be opened or failed
    ├── QueryError         a span query is malformed
    └── ThemeError         a theme file is not valid
"""

from __future__ import annotations


class SpnlError(Exception):
    """An error that the user can understand and act on.

    `title` is a short phrase without a full stop, `message` gives the cause, and `hint` gives the remedy and
    may be empty. All three are plain text; callers must not parse them as markup.
    """

    def __init__(self, title: str, message: str = "", hint: str = "") -> None:
        super().__init__(title, message, hint)
        self.title = title
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.title, self.message, self.hint) if part)


def cause_of(error: Exception) -> str:
    """Return the cause for a message: "No space left on device" rather than "[Errno 28] …: '/a/path'"."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


class SettingsError(SpnlError):
    """A configuration file, an environment variable or a flag is not valid."""


class ModelReferenceError(SpnlError):
    """A model reference is malformed, ambiguous or unknown."""


class ModelFileError(SpnlError):
    """A file is not the expected model."""


class RequestError(SpnlError):
    """The engine must not or cannot answer a request."""


class RunnerError(SpnlError):
    """A runner process could not start or has ended."""


class HubError(SpnlError):
    """Hugging Face rejected a request, failed or could not be reached."""


class ModelMissingError(HubError):
    """A model is not on this machine. `name` is the user's name for it; `pullable` is False for a path."""

    def __init__(self, name: str, *, pullable: bool = True) -> None:
        import shlex

        super().__init__(
            "The model is not on this machine",
            f"{name} has not been pulled." if pullable else f"{name} is not in the library.",
            f"Pull it: {shlex.join(['spnl-chat', 'pull', name])}"
            if pullable
            else "List what is here: spnl-chat list",
        )


class PullError(SpnlError):
    """A download cannot continue."""


class StoreError(SpnlError):
    """Conversations cannot be read or written."""


class CommandError(SpnlError):
    """A slash command does not exist or is not available now."""


class AttachmentError(SpnlError):
    """A file cannot be attached to a prompt."""


class ClipboardError(SpnlError):
    """The clipboard cannot be set."""


class EditorError(SpnlError):
    """The user's editor cannot be opened or failed."""


class QueryError(SpnlError):
    """A span query is malformed."""


class ThemeError(SpnlError):
    """A theme file is not valid."""
