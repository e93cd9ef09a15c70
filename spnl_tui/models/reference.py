"""References: the names of models in flags, configuration, interface and queries.

    starter                          the small model that spnl-chat installs
    qwen3:1.7b                       a pretty name: family and size (pretty_names.py)
    phi4                             a family of one size
    ORG/NAME                         a repository on Hugging Face
    ./x.gguf  ../dir  ~/x  /x        a file, or a directory that holds a model
    ollama:NAME                      a model that Ollama has pulled, loaded here from Ollama's own file
    …:QUANT                          a quantization, as in `qwen3:1.7b:Q8_0`, or a file: `ORG/NAME:dir/file`
    …@REVISION                       a branch, tag or commit of a name or repository, at the end

The prefixes `mistralrs/` and `local/` are accepted and removed. Addresses copied from the browser
(`https://huggingface.co/…`, `hf.co/…`, `hf://…`) are accepted too. The address of a file means that file,
whatever else its repository holds. In names of files, `%` and `@` are written `%25` and `%40`.
"""

from __future__ import annotations

import difflib
import os.path
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qs, unquote

from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.pretty_names import PRETTY_NAMES, pretty_name_of, sizes_of
from spnl_tui.models.quantization import escape_label, label_of_file, normalize_label

STARTER = "starter"
OLLAMA = "ollama:"
_OLLAMA_NAME = re.compile(r"[\w.-]+(?:[:/][\w.-]+)*", re.ASCII)

_DROPPED_PREFIXES = ("mistralrs/", "local/")
_SERVER_PREFIXES = ("ollama", "llamacpp", "lmstudio", "vllm")
"""Prefixes of models on servers (engine/endpoint/), which are never repositories."""
_OPENAI_SERVICE = re.compile(r"(chatgpt|gpt-\d|o\d)", re.IGNORECASE)
"""Names of models that only OpenAI serves: `openai/gpt-oss-20b` is a repository, `openai/gpt-4o` is not."""

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://", re.IGNORECASE)
_ADDRESS_OF_FILES = re.compile(r"hf://", re.IGNORECASE)
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_FILE_OF_REPOSITORY = re.compile(rf"{_SEGMENT.pattern}/{_SEGMENT.pattern}:")
_NOT_MODELS = ("datasets", "spaces", "docs", "blog", "papers", "collections")
"""The first part of Hugging Face addresses that are not models."""
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_LONGEST_ID = 96
"""The longest `ORG/NAME`, by the hub's own rule (huggingface_hub.utils.validate_repo_id)."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """The name of a model. Exactly one of `repository`, `path`, `ollama` and `is_starter` is set.

    `str()` gives the canonical text, which parses to an equal reference. Repositories keep the user's upper
    and lower case, unless a pretty name gives the right one; otherwise only the hub knows it
    (`Catalog.details`).
    """

    repository: str | None = None
    """The repository `ORG/NAME` on Hugging Face."""
    quantization: str | None = None
    """A label in its usual spelling, such as `Q4_K_M`, or the name of a file; None to let `choose` decide."""
    revision: str | None = None
    """A branch, tag or commit; None means `main`."""
    path: Path | None = None
    """The absolute path of a file or directory."""
    ollama: str | None = None
    """The name of a model pulled with Ollama."""

    @property
    def is_starter(self) -> bool:
        """True if this is the starter model."""
        return self.repository is None and self.path is None and self.ollama is None

    @property
    def pretty(self) -> str:
        """Return the shortest equivalent text, for the screen."""
        if self.path is not None:
            home = os.path.expanduser("~")
            below = str(self.path).removeprefix(f"{home}/")
            return str(self) if below == str(self.path) or home == "/" else self._text(f"~/{below}")
        name = self.repository and pretty_name_of(self.repository)
        return self._text(name) if name else str(self)

    def __str__(self) -> str:
        if self.ollama is not None:
            return f"{OLLAMA}{self.ollama}"
        return self._text(self.repository or (str(self.path) if self.path else STARTER))

    def _text(self, name: str) -> str:
        quantization = f":{escape_label(self.quantization)}" if self.quantization else ""
        return f"{name}{quantization}{f'@{self.revision}' if self.revision else ''}"

    def with_quantization(self, label: str | None) -> ModelReference:
        """Return the same model in another quantization; None means the default one."""
        return replace(self, quantization=label and normalize_label(label))

    def with_repository(self, repository: str) -> ModelReference:
        """Return the reference with the repository as the hub spells it."""
        return replace(self, repository=repository)

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Parse a reference without accessing files or the network.

        Raises:
            ModelReferenceError: the text is malformed, ambiguous or unknown; the hint suggests a valid one.
        """
        given = text.strip()
        if not given or any(ord(character) < 32 for character in given):
            raise ModelReferenceError(
                "No model named",
                f"{given!r} is not the name of a model.",
                "Use a name such as qwen3:1.7b, ORG/NAME or ./file.gguf.",
            )
        rest = given
        if prefix := next((p for p in _DROPPED_PREFIXES if rest.lower().startswith(p)), None):
            rest = rest[len(prefix) :]
        if address := _ADDRESS.match(rest):
            return _from_address(given, rest[address.end() :])
        if rest.lower().startswith(OLLAMA):
            return _from_ollama(given, rest[len(OLLAMA) :])
        if _is_path(rest):
            return _from_path(rest)
        if prefix is None:
            _refuse_services(given, rest)
        name, _, revision = rest.partition("@")
        if "@" in rest and not _REVISION.fullmatch(revision):
            hint = "The quantization comes before the revision: ORG/NAME:QUANT@REVISION."
            _malformed(given, f"{revision!r} is not a revision.", hint)
        is_repository = "/" in name.partition(":")[0]
        found = _from_repository(given, name) if is_repository else _from_pretty_name(given, name)
        if revision and found.is_starter:
            _malformed(given, "The starter has no revisions.", "Write just starter.")
        return replace(found, revision=revision or None)


def _malformed(given: str, why: str, hint: str) -> NoReturn:
    raise ModelReferenceError("Not a model reference", f"{given!r}: {why}", hint)


def _from_ollama(given: str, name: str) -> ModelReference:
    if not _OLLAMA_NAME.fullmatch(name):
        _malformed(given, f"{name!r} is not a valid name in Ollama.", "List the names: spnl-chat list")
    return ModelReference(ollama=name if ":" in name.rpartition("/")[2] else f"{name}:latest")


def _is_path(text: str) -> bool:
    if text in (".", "..", "~") or text.startswith(("/", "./", "../", "~/", "~")):
        return True
    # Repository names may end in "GGUF", but rarely in ".gguf".
    return text.endswith(".gguf") and text.count("/") != 2 and not _FILE_OF_REPOSITORY.match(text)


def _from_path(text: str) -> ModelReference:
    head, colon, label = text.rpartition(":")
    # File names may contain a colon, so only a valid quantization after it counts.
    if colon and head and label_of_file(f"{label}.gguf") == normalize_label(label):
        text, quantization = head, normalize_label(label)
    else:
        quantization = None
    return ModelReference(path=Path(os.path.abspath(os.path.expanduser(text))), quantization=quantization)


def _from_address(given: str, rest: str) -> ModelReference:
    """Parse `ORG/NAME…`, with `/tree/REVISION`, `/blob/REVISION/FILE.gguf` or, after hf://, `/FILE.gguf`."""
    path, _, query = rest.partition("#")[0].partition("?")
    parts = path.strip("/").split("/")
    if parts[0] in _NOT_MODELS:
        _malformed(
            given, f"This is an address of {parts[0]}, not of a model.", "Copy the address of a model's page."
        )
    if len(parts) < 2:
        _malformed(given, "this address contains no repository.", "Copy the address of a model's page.")
    reference = ModelReference.parse("/".join(parts[:2]))
    below = [unquote(part) for part in parts[2:]]
    if len(below) >= 2 and below[0] in ("tree", "blob", "resolve", "raw"):
        # The revision of a pull request has slashes, which some addresses do not escape.
        length = 3 if below[1] == "refs" and len(below) >= 4 else 1
        revision = "/".join(below[1 : 1 + length])
        reference = replace(reference, revision=None if revision == "main" else revision)
        below = below[1 + length :] if below[0] != "tree" else []
    elif below and not _ADDRESS_OF_FILES.match(given):
        below = []  # a tab of the page, such as /discussions
    # the parameter by which a page names the file that it shows
    shown = parse_qs(query).get("show_file_info")
    file = "/".join(below) or (shown[0] if shown else "")
    if not file:
        return reference
    if file.lower().endswith(".safetensors"):
        return replace(reference, quantization="safetensors")
    if not file.lower().endswith(".gguf"):
        hint = "Copy the address of a .gguf file, or of the model's page."
        _malformed(given, f"{file} is not a model.", hint)
    return replace(reference, quantization=file[: -len(".gguf")])


def is_of_service(name: str, model: str) -> bool:
    """Return True if SPNL means a service by this prefix, not a repository.

    OpenAI has published some models, such as openai/gpt-oss-20b, and only serves others.
    """
    match name.lower():
        case "openai":
            return bool(_OPENAI_SERVICE.match(model)) and "oss" not in model.lower()
        case "gemini":
            return model.lower().startswith("gemini")
        case prefix:
            return prefix in _SERVER_PREFIXES


def _refuse_services(given: str, text: str) -> None:
    prefix, _, rest = text.partition("/")
    if not rest or not is_of_service(prefix, rest):
        return
    name = rest.lower()
    close = name if name in PRETTY_NAMES else _nearest(name)
    raise ModelReferenceError(
        "This model runs on a server",
        f"{given!r} runs on a server, so there are no files to pull or load on this machine.",
        f"Chat with it: spnl-chat -m {given}{f' · On this machine: {close}' if close else ''}",
    )


def _from_repository(given: str, name: str) -> ModelReference:
    repository, colon, label = name.partition(":")
    segments = repository.split("/")
    if len(segments) != 2:
        hint = f"For a file or directory, write ./{repository}. For a repository, write ORG/NAME."
        _malformed(given, "the name of a repository has one slash.", hint)
    wrong = next((s for s in segments if not _SEGMENT.fullmatch(s) or ".." in s or "--" in s), None)
    if wrong is not None or len(repository) > _LONGEST_ID:
        why = f"{wrong!r} cannot be part of a repository's name." if wrong is not None else "it is too long."
        hint = "Names have letters, digits, dots, dashes and underscores: ORG/NAME, ORG/NAME:Q4_K_M."
        _malformed(given, why, hint)
    known = pretty_name_of(repository)
    return ModelReference(
        repository=PRETTY_NAMES[known] if known else repository,
        quantization=_label(given, label) if colon else None,
    )


def _from_pretty_name(given: str, name: str) -> ModelReference:
    family, *rest = name.split(":")
    family = family.lower()
    size = f"{family}:{rest[0].lower()}" if rest else ""
    if family == STARTER:
        if rest:
            _malformed(given, "the starter has only one quantization.", "Write just starter.")
        return ModelReference()
    if size in PRETTY_NAMES:
        repository, rest = PRETTY_NAMES[size], rest[1:]
    elif len(sizes := sizes_of(family)) == 1 and (not rest or label_of_file(f"{rest[0]}.gguf")):
        repository = PRETTY_NAMES[f"{family}:{sizes[0]}"]
    elif sizes:
        what = f"{family} has no size {rest[0]!r}" if rest else f"{family} comes in several sizes"
        names = ", ".join(f"{family}:{size}" for size in sizes)
        raise ModelReferenceError(f"Which {family}?", f"{given!r}: {what}.", f"Choose one of {names}.")
    else:
        close = _nearest(name.lower())
        raise ModelReferenceError(
            "Unknown model",
            f"{given!r} is not a name that spnl-chat knows.",
            f"Did you mean {close}?" if close else "Search for it, or give its repository: ORG/NAME.",
        )
    if len(rest) > 1:
        _malformed(given, "too many colons.", "The longest form is FAMILY:SIZE:QUANT@REVISION.")
    return ModelReference(repository=repository, quantization=_label(given, rest[0]) if rest else None)


def _label(given: str, label: str) -> str:
    if not label.strip() or ":" in label:
        _malformed(given, f"{label!r} is not a quantization.", "Quantizations look like Q4_K_M or Q8_0.")
    return normalize_label(unquote(label))


def _nearest(name: str) -> str:
    """Return up to three similar known names as text; empty if there are none."""
    family = name.partition(":")[0]
    close = difflib.get_close_matches(name, [*PRETTY_NAMES, STARTER], n=3, cutoff=0.6)
    if not close:
        families = {known.partition(":")[0] for known in PRETTY_NAMES}
        alike = difflib.get_close_matches(family, families, n=3, cutoff=0.6)
        close = [f"{name}:{sizes_of(name)[0]}" for name in alike]
    if len(close) < 2:
        return "".join(close)
    return f"{', '.join(close[:-1])} or {close[-1]}"
