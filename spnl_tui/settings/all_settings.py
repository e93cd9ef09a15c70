"""All settings together: the sections, the personas, and where each value was set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from spnl_tui.errors import SettingsError
from spnl_tui.models.request import Sampling
from spnl_tui.settings.endpoints import EndpointSettings
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.settings.schema import (
    ChatSettings,
    ContextSettings,
    EngineSettings,
    HubSettings,
    InterfaceSettings,
    McpServer,
    ModelSettings,
    PullSettings,
    ServerSettings,
    ToolSettings,
)
from spnl_tui.settings.toml import line_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A named preset of system prompt, model and sampling for a conversation."""

    description: str = ""
    """A one-line description for the list of personas."""
    system_prompt: str | None = None
    """Replaces [chat] system_prompt."""
    model: str | None = None
    """Replaces [model] default."""
    tools: tuple[str, ...] | None = None
    """Replaces [tools] enabled."""
    sampling: Sampling = field(default_factory=Sampling)
    """The values of [sampling], overridden by the persona's and then by the command line's."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place where a value was set. `str()` describes it to the user."""

    where: str
    """A file, "environment" or "command line"."""
    name: str
    """The setting's full name, or the variable's."""
    text: str = field(default="", repr=False)
    """The file's text when it was read; empty for other sources."""
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
    """All settings. The object is frozen: a change creates another."""

    model: ModelSettings = field(default_factory=ModelSettings)
    sampling: Sampling = field(default_factory=Sampling)
    engine: EngineSettings = field(default_factory=EngineSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    tools: ToolSettings = field(default_factory=ToolSettings)
    pulls: PullSettings = field(default_factory=PullSettings)
    hub: HubSettings = field(default_factory=HubSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    interface: InterfaceSettings = field(default_factory=InterfaceSettings)
    keys: Mapping[str, str] = field(default_factory=dict)
    """Command id → keys in Textual's names, separated by commas."""
    personas: Mapping[str, Persona] = field(default_factory=dict)
    endpoints: Mapping[str, EndpointSettings] = field(default_factory=dict)
    mcp: Mapping[str, McpServer] = field(default_factory=dict)
    persona: str | None = None
    """The persona that `as_persona` applied, if any."""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    """Full name of a setting → where it was set. Settings at their default are missing."""

    def as_persona(self, name: str) -> Settings:
        """Return the settings with this persona's system prompt, model, tools and sampling.

        Raises:
            SettingsError: the persona does not exist.
        """
        if (persona := self.personas.get(name)) is None:
            raise SettingsError(
                f"No persona is called {name!r}",
                f"The personas are {', '.join(sorted(self.personas))}."
                if self.personas
                else "No persona is configured.",
                did_you_mean(name, self.personas) or "Add one to config.toml: [personas.NAME]",
            )
        flags = {setting for setting, origin in self.origins.items() if origin.where == "command line"}
        chat, model, tools = self.chat, self.model, self.tools
        if persona.system_prompt is not None and "chat.system_prompt" not in flags:
            chat = replace(chat, system_prompt=persona.system_prompt)
        if persona.model is not None and "model.default" not in flags:
            model = replace(model, default=persona.model)
        if persona.tools is not None and "tools.enabled" not in flags:
            tools = replace(tools, enabled=persona.tools)
        return replace(self, chat=chat, model=model, tools=tools, sampling=persona.sampling, persona=name)

    def sampling_for(
        self, recommended: Iterable[tuple[str, float | int]], sampling: Sampling | None = None
    ) -> Sampling:
        """Return `sampling` (by default these settings') with the values that a model's authors recommend.

        A value that the user has set, here or for the conversation, stays.
        """
        sampling = self.sampling if sampling is None else sampling
        changes: dict[str, Any] = {
            name: value
            for name, value in recommended
            if getattr(sampling, name) == getattr(_DEFAULT_SAMPLING, name) and not self._sets(name)
        }
        return replace(sampling, **changes)

    def _sets(self, name: str) -> bool:
        return (
            f"sampling.{name}" in self.origins or f"personas.{self.persona}.sampling.{name}" in self.origins
        )

    def check_keys(self, known_ids: Iterable[str]) -> None:
        """Reject ids in [keys] that no binding has.

        Raises:
            SettingsError: an id is unknown. It names the file, the line and the nearest id.
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
        """Return the error for a well-formed value that cannot be used, with the place where it was set."""
        origin = self.origins.get(name)
        place = f"{origin}: " if origin else ""
        return SettingsError(f"{name} cannot be used", f"{place}{reason}", hint)


_DEFAULT_SAMPLING = Sampling()

SECTIONS: Mapping[str, type] = {
    "model": ModelSettings,
    "sampling": Sampling,
    "engine": EngineSettings,
    "chat": ChatSettings,
    "context": ContextSettings,
    "tools": ToolSettings,
    "pulls": PullSettings,
    "hub": HubSettings,
    "server": ServerSettings,
    "interface": InterfaceSettings,
}
"""The tables of config.toml with fixed settings, in the order of the example. The user chooses the names in
[keys] and [personas.*]."""
