"""Every setting, its default and what it is for.

A field's docstring is its documentation: config.example.toml is made from it. A value of None means
"not set"; TOML has no word for that, so such a setting is left out of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from spnl_tui.errors import SettingsError
from spnl_tui.models.request import MAX_TOKENS, Sampling
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.settings.toml import line_of

# What mistral.rs takes as in_situ_quant (a bare number picks the best format of that many bits for the
# device), and our two words for the load plan.
InSituQuantization = Literal[
    "auto", "none",
    "2", "3", "4", "5", "6", "8",
    "Q2K", "Q3K", "Q4K", "Q5K", "Q6K", "Q8K", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1",
    "HQQ4", "HQQ8", "FP8", "AFQ2", "AFQ3", "AFQ4", "AFQ6", "AFQ8",
]  # fmt: skip
DEFAULT_CONTEXT = 8192
"""Tokens, where neither the user nor the model asks for less."""
MOST_CANDIDATES = 9
"""Candidates at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which model to talk to."""

    default: str | None = None
    """The model of a new conversation, as a reference: "starter", "qwen3:1.7b", "Qwen/Qwen3-1.7B-GGUF:Q8_0",
    "~/models/x.gguf". Not set: in the interface the one that was talked to last, else the starter."""
    template: str | None = None
    """The chat template of every model, in place of its own: "chatml", "gemma", "llama3", "mistral", "phi3",
    "zephyr", or a Jinja file. Not set: the model's own; one that has none continues texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How models are loaded and run. "auto" and what is not set are left to the load plan."""

    device: Literal["auto", "cpu", "cuda", "metal"] = "auto"
    """Where the model runs: "auto", "cpu", "cuda" or "metal". A mistral.rs is built for one of them only."""
    dtype: Literal["auto", "f16", "bf16", "f32"] = "auto"
    """The number format of weights that are not quantized: "auto", "f16", "bf16" or "f32"."""
    in_situ_quantization: InSituQuantization = "auto"
    """Re-quantize while loading: "auto" where the stored format is slow here, "none" never, or a format
    such as "Q8_0" or "Q4K" always."""
    pad_rows: bool = True
    """Fill rows up with zeros while loading, where a fast kernel then reads the prompts of a small model."""
    threads: int | None = None
    """Threads of the engine. More than there are usable cores slows it down twentyfold."""
    prefix_cache: int = 16
    """How many earlier prompts to keep computed, so that the next turn starts at once; 0 keeps none."""
    paged_attention: bool | None = None
    """Paged attention: true, false, or not set: where the device has it."""
    flash_attention: bool | None = None
    """Flash attention: true, false, or not set: where the device has it."""
    max_concurrent: int = 4
    """Requests that one model computes at once on a GPU. On a CPU it is one, which is fastest there."""
    num_parallel: int = 2
    """Requests of one query that are under way at once."""
    keep_warm_minutes: float = 5.0
    """How long a model that nobody uses stays loaded, in minutes; 0 unloads it at once."""
    memory_budget_gb: float | None = None
    """Memory for all loaded models together, in GB (10⁹ bytes). Not set: what the machine can spare."""
    control_words: bool = False
    """True lets control words of the model in prompts and files, as <|im_end|>, act; else they are text."""
    stream: bool = True
    """Show a reply while it is made. The text is the same either way."""

    def __post_init__(self) -> None:
        _within("threads", self.threads, 1, 4_096)
        _within("prefix_cache", self.prefix_cache, 0, 1_000_000)
        _within("max_concurrent", self.max_concurrent, 1, 1_024)
        _within("num_parallel", self.num_parallel, 1, 1_024)
        _within("keep_warm_minutes", self.keep_warm_minutes, 0, 1_000_000)
        _more_than_zero("memory_budget_gb", self.memory_budget_gb, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """A conversation, and how it is shown."""

    system_prompt: str = ""
    """What every new conversation begins with; empty for none."""
    thinking: bool | None = None
    """Ask a reasoning model to think first: true, false, or not set: as the model does by itself."""
    show_thinking: bool = False
    """Show the model's thinking unfolded. Folded, one key opens it."""
    markdown: bool = True
    """Render replies as Markdown; false shows them as they were written."""
    automatic_titles: bool = True
    """Have the model name a conversation while it is idle; false takes the title from the first prompt."""
    read_ahead: bool = True
    """Have the model read what is being typed, and the conversation before it, while it is typed."""
    candidates: int = 3
    """How many candidates /n asks for when it is not told, from 2 to 9."""
    judge_criteria: str = "correct, clear, and to the point"
    """What candidates are judged by when nothing else is said."""

    def __post_init__(self) -> None:
        if not 2 <= self.candidates <= MOST_CANDIDATES:
            interval = f"from 2 to {MOST_CANDIDATES}"
            raise SettingsError(
                "candidates is out of range",
                f"candidates is {self.candidates}; it must be {interval}.",
                f"Set candidates to a number {interval}.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """How much the model sees of a conversation."""

    length: int | None = None
    """The context length wanted, in tokens. Not set: the model's own, as far as memory allows."""
    policy: Literal["drop_oldest", "summarize", "ask"] = "drop_oldest"
    """When the context is full: "drop_oldest" leaves the oldest turns out (never the system prompt or
    pinned turns), "summarize" has the model sum them up first, "ask" stops and asks. The conversation
    itself is never cut."""

    def __post_init__(self) -> None:
        _within("length", self.length, 128, MAX_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSettings:
    """Downloads of models."""

    side_by_side: int = 2
    """How many models are pulled at once."""
    connections: int = 4
    """Connections for each of them: files, or ranges of one file where that is faster."""
    rate_limit_mb: float | None = None
    """The most that all pulls together take, in MB (10⁶ bytes) a second. Not set: no limit."""
    on_quit: Literal["ask", "pause", "cancel"] = "ask"
    """Quitting with pulls under way: "ask", "pause" (the next start offers to go on) or "cancel"."""

    def __post_init__(self) -> None:
        _within("side_by_side", self.side_by_side, 1, 64)
        _within("connections", self.connections, 1, 64)
        _more_than_zero("rate_limit_mb", self.rate_limit_mb, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Hugging Face. Its own HF_* variables (HF_HOME, HF_ENDPOINT, HF_TOKEN, …) work as everywhere."""

    token: str | None = field(default=None, repr=False, metadata={"secret": True})
    """The access token where HF_TOKEN is not set, from MISTRALRS_HF_TOKEN only: it is never written to a file
    of ours. Neither set: the Hugging Face login."""
    model_cache_dir: Path | None = None
    """A directory of models beside the Hugging Face cache, such as SPNL keeps. A relative path starts at
    the configuration file."""
    timeout_s: int = 10
    """How long to wait for an answer of the hub, in seconds."""

    def __post_init__(self) -> None:
        _within("timeout_s", self.timeout_s, 1, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSettings:
    """The terminal interface."""

    theme: str = "spnl-dark"
    """The name of a theme: one of ours, or a file of yours in themes/ beside config.toml."""
    mouse: bool = True
    """Take mouse events. Without, the terminal's own selection works unmodified."""
    notifications: Literal["always", "unfocused", "never"] = "unfocused"
    """When the terminal is told of a finished pull or a long reply: "always", "unfocused" or "never"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A named preset: choose it, and a conversation has its system prompt, model and sampling."""

    description: str = ""
    """A line for the list of personas."""
    system_prompt: str | None = None
    """Replaces [chat] system_prompt."""
    model: str | None = None
    """Replaces [model] default."""
    sampling: Sampling = field(default_factory=Sampling)
    """[sampling], with what the persona says put over it, and the command line over that."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set. `str()` tells it to the user."""

    where: str
    """A file, "environment" or "command line"."""
    name: str
    """The setting's full name, or the variable's."""
    text: str = field(default="", repr=False)
    """The file as it was read; empty for other sources."""
    keys: tuple[str, ...] = ()
    """The path of TOML keys that leads to the value."""

    def __str__(self) -> str:
        if self.where == "environment":
            return f"environment variable {self.name}"
        if not self.keys:
            return f"{self.where}, {self.name}"
        line = line_of(self.text, self.keys)
        return f"{self.where}, line {line}" if line else f"{self.where}, {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the user may choose. Frozen: a change makes a new object."""

    model: ModelSettings = field(default_factory=ModelSettings)
    sampling: Sampling = field(default_factory=Sampling)
    engine: EngineSettings = field(default_factory=EngineSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    pulls: PullSettings = field(default_factory=PullSettings)
    hub: HubSettings = field(default_factory=HubSettings)
    interface: InterfaceSettings = field(default_factory=InterfaceSettings)
    keys: Mapping[str, str] = field(default_factory=dict)
    """Command id → keys in Textual's names, separated by commas."""
    personas: Mapping[str, Persona] = field(default_factory=dict)
    persona: str | None = None
    """The one that these settings are of, by `as_persona`."""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    """Full name of a setting → where it was set; what is at its default is not in it."""

    def as_persona(self, name: str) -> Settings:
        """The settings with this persona's system prompt, model and sampling.

        Raises:
            SettingsError: there is no such persona.
        """
        if (persona := self.personas.get(name)) is None:
            raise SettingsError(
                f"There is no persona {name!r}",
                f"There are {', '.join(sorted(self.personas))}." if self.personas else "None is configured.",
                did_you_mean(name, self.personas) or "Add one to config.toml: [personas.NAME]",
            )
        flags = {setting for setting, origin in self.origins.items() if origin.where == "command line"}
        chat, model = self.chat, self.model
        if persona.system_prompt is not None and "chat.system_prompt" not in flags:
            chat = replace(chat, system_prompt=persona.system_prompt)
        if persona.model is not None and "model.default" not in flags:
            model = replace(model, default=persona.model)
        return replace(self, chat=chat, model=model, sampling=persona.sampling, persona=name)

    def check_keys(self, known_ids: Iterable[str]) -> None:
        """Refuse a binding id that no binding has.

        Raises:
            SettingsError: names the file, the line and the nearest id.
        """
        known = sorted(known_ids)
        for binding_id in self.keys:
            if binding_id not in known:
                raise self.mistake(
                    f"keys.{binding_id}",
                    f"No binding has the id {binding_id!r}.",
                    did_you_mean(binding_id, known) or "The help panel lists the ids.",
                )

    def mistake(self, name: str, reason: str, hint: str = "") -> SettingsError:
        """The error for a value that is well formed and yet cannot be used, with the place it came from."""
        origin = self.origins.get(name)
        place = f"{origin}: " if origin else ""
        return SettingsError(f"{name} cannot be used", f"{place}{reason}", hint)


SECTIONS: Mapping[str, type] = {
    "model": ModelSettings,
    "sampling": Sampling,
    "engine": EngineSettings,
    "chat": ChatSettings,
    "context": ContextSettings,
    "pulls": PullSettings,
    "hub": HubSettings,
    "interface": InterfaceSettings,
}
"""The tables of config.toml with fixed settings, in the order of the example; [keys] and [personas.*] have
names of the user's."""


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise SettingsError(
            f"{name} is out of range",
            f"{name} is {value!r}; it must be from {low:,} to {high:,}.",
            f"Set {name} to {low:,} or more." if value < low else f"Lower {name}.",
        )


def _more_than_zero(name: str, value: float | None, high: float) -> None:
    if value is not None and not 0 < value <= high:
        raise SettingsError(
            f"{name} is out of range",
            f"{name} is {value!r}; it must be more than 0 and at most {high:,}.",
            f"Set {name} within these limits, or leave it out.",
        )
