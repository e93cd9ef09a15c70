"""The errors that a user meets.

Every one says three things: what happened (`title`), why (`message`), and what to do next (`hint`).

    SpnlError
    ├── SettingsError      a configuration file, an environment variable or a flag is wrong
    ├── ModelReferenceError a model reference is malformed, ambiguous or unknown
    ├── ModelFileError     a file is not the model that it should be
    ├── RequestError       a request that the engine must not or cannot serve
    ├── RunnerError        a runner process could not be started, or ended by itself
    ├── HubError           Hugging Face refused, failed or could not be reached
    │   └── ModelMissingError  a model is not on this machine
    ├── PullError          a download cannot go on
    ├── StoreError         conversations cannot be read or written
    ├── CommandError       what was typed after a "/" is no command, or none that can be done now
    ├── AttachmentError    a file cannot be sent along with a prompt
    ├── ClipboardError     the machine's clipboard cannot be set
    ├── EditorError        the user's editor cannot be opened, or failed
    ├── QueryError         a span query is malformed
    └── ThemeError         a theme file is wrong
"""

from __future__ import annotations

import shlex


class SpnlError(Exception):
    """Something went wrong that the user can understand and act on.

    `title` is a short phrase without a full stop, `message` tells the cause, `hint` tells the way out
    and may be empty. All three are plain text: whoever shows them must not parse them as markup.
    """

    def __init__(self, title: str, message: str = "", hint: str = "") -> None:
        super().__init__(title, message, hint)
        self.title = title
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.title, self.message, self.hint) if part)


class SettingsError(SpnlError):
    """A configuration file, an environment variable or a flag is wrong."""


class ModelReferenceError(SpnlError):
    """A model reference is malformed, ambiguous or unknown."""


class ModelFileError(SpnlError):
    """A file is not the model that it should be."""


class RequestError(SpnlError):
    """A request that the engine must not or cannot serve."""


class RunnerError(SpnlError):
    """A runner process could not be started, or ended by itself."""


class HubError(SpnlError):
    """Hugging Face refused, failed or could not be reached."""


class ModelMissingError(HubError):
    """A model is not on this machine. `name` is what the user called it; `pullable` is false for a path."""

    def __init__(self, name: str, *, pullable: bool = True) -> None:
        super().__init__(
            "The model is not on this machine",
            f"{name} has not been pulled." if pullable else f"{name} is not in the library.",
            f"Pull it: {shlex.join(['spnl-chat', 'pull', name])}"
            if pullable
            else "List what is here: spnl-chat list",
        )


class PullError(SpnlError):
    """A download cannot go on."""


class StoreError(SpnlError):
    """Conversations cannot be read or written."""


class CommandError(SpnlError):
    """What was typed after a "/" is no command, or none that can be done now."""


class AttachmentError(SpnlError):
    """A file cannot be sent along with a prompt."""


class ClipboardError(SpnlError):
    """The machine's clipboard cannot be set."""


class EditorError(SpnlError):
    """The user's editor cannot be opened, or failed."""


class QueryError(SpnlError):
    """A span query is malformed."""


class ThemeError(SpnlError):
    """A theme file is wrong."""
