"""Every setting, its default and its documentation.

`example.py` prints each field's docstring into config.example.toml. None means "not set"; TOML has no word
for that, so the file omits such a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spnl_tui.errors import SettingsError
from spnl_tui.models.request import MAX_TOKENS
from spnl_tui.models.tools import PERMISSION

# The values of mistral.rs' in_situ_quant (a bare number picks the device's best format with that many bits),
# and two words of ours for the load plan.
InSituQuantization = Literal[
    "auto", "none",
    "2", "3", "4", "5", "6", "8",
    "Q2K", "Q3K", "Q4K", "Q5K", "Q6K", "Q8K", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1",
    "HQQ4", "HQQ8", "FP8", "AFQ2", "AFQ3", "AFQ4", "AFQ6", "AFQ8",
]  # fmt: skip
DEFAULT_CONTEXT = 8192
"""The context length in tokens, unless the user or the model asks for less."""
MOST_CANDIDATES = 9
"""The highest number of candidates for one prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """The model to chat with."""

    default: str | None = None
    """The model of a new conversation, as a reference: "starter", "qwen3:1.7b", "Qwen/Qwen3-1.7B-GGUF:Q8_0",
    "~/models/x.gguf". If it is not set, the interface uses the most recent model, commands the starter."""
    projector: str | None = None
    """The file of the projector (mmproj) that the default model sees with. If it is not set, the one that
    lies beside the model."""
    template: str | None = None
    """A chat template for every model, instead of its own: "chatml", "gemma", "llama3", "mistral", "phi3",
    "zephyr", or a Jinja file. If it is not set, each model uses its own; one without a template continues
    texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How models are loaded and run. The load plan decides what is "auto" or not set."""

    device: Literal["auto", "cpu", "cuda", "metal"] = "auto"
    """The device: "auto", "cpu", "cuda" or "metal". Each build of mistral.rs supports only one of them."""
    dtype: Literal["auto", "f16", "bf16", "f32"] = "auto"
    """The number format of unquantized weights: "auto", "f16", "bf16" or "f32"."""
    in_situ_quantization: InSituQuantization = "auto"
    """Re-quantize while loading: "auto" if the stored format is slow on this machine, "none" never, or always
    to the format named here, such as "Q8_0" or "Q4K"."""
    pad_rows: bool = True
    """Pad the rows of a small model with zeros while loading, if a faster kernel then reads its prompts."""
    threads: int | None = None
    """The engine's threads. More threads than usable cores make it twenty times slower."""
    prefix_cache: int = 16
    """The number of prompts that the prefix cache keeps, so that the next turn starts at once; 0 is none."""
    paged_attention: bool | None = None
    """Paged attention: true or false. If it is not set, it is used if the device supports it."""
    flash_attention: bool | None = None
    """Flash attention: true or false. If it is not set, it is used if the device supports it."""
    max_concurrent: int = 4
    """The number of requests that one model computes at once on a GPU. On a CPU, one is fastest, and used."""
    num_parallel: int = 2
    """The number of requests that one query sends at once."""
    keep_warm_minutes: float = 5.0
    """How long an unused model stays loaded, in minutes; 0 unloads it at once."""
    memory_budget_gb: float | None = None
    """The memory limit for all loaded models together, in GB (10⁹ bytes). If it is not set, what the machine
    can spare."""
    resident: Literal["auto", "always", "never"] = "auto"
    """The resident engine, which keeps models loaded for all programs (`spnl-chat engine start`): "auto" uses
    it if it runs, "always" starts it, "never" ignores it."""
    control_words: bool = False
    """True obeys the model's control words, such as <|im_end|>, in prompts and files; false sends them as
    text."""
    stream: bool = True
    """Show a reply while the model writes it. The text is the same either way."""

    def __post_init__(self) -> None:
        _within("threads", self.threads, 1, 4_096)
        _within("prefix_cache", self.prefix_cache, 0, 1_000_000)
        _within("max_concurrent", self.max_concurrent, 1, 1_024)
        _within("num_parallel", self.num_parallel, 1, 1_024)
        _within("keep_warm_minutes", self.keep_warm_minutes, 0, 1_000_000)
        _more_than_zero("memory_budget_gb", self.memory_budget_gb, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """Conversations and their display."""

    system_prompt: str = ""
    """The system prompt of every new conversation; empty for none."""
    thinking: bool | None = None
    """Ask a reasoning model to think first: true or false. If it is not set, the model decides."""
    show_thinking: bool = False
    """Show the model's thinking unfolded. One key opens it otherwise."""
    markdown: bool = True
    """Render replies as Markdown; false shows the raw text."""
    backups: int = 7
    """The number of daily backups of the conversations to keep in the data directory; 0 makes none."""
    automatic_titles: bool = True
    """Let the model name a conversation while it is idle; false uses the first prompt as the title."""
    read_ahead: bool = True
    """Let the model read the conversation and the unfinished prompt while you type."""
    longest_image_side: int = 1024
    """Images are scaled down to this many pixels on their longer side, at most 2048. More pixels take more
    tokens, and much more memory."""
    stop_repetition: bool = True
    """Stop a reply that repeats the same words again and again."""
    candidates: int = 3
    """The number of candidates that /n requests by default, from 2 to 9."""
    judge_criteria: str = "correct, clear, and to the point"
    """The default criteria for judging candidates."""

    def __post_init__(self) -> None:
        _within("longest_image_side", self.longest_image_side, 64, 2048)
        _within("backups", self.backups, 0, 10_000)
        if not 2 <= self.candidates <= MOST_CANDIDATES:
            interval = f"from 2 to {MOST_CANDIDATES}"
            raise SettingsError(
                "candidates is out of range",
                f"candidates is {self.candidates}; it must be {interval}.",
                f"Set candidates to a number {interval}.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """The part of a conversation that the model sees."""

    length: int | None = None
    """The context length in tokens. If it is not set, the model's own, as far as memory allows."""
    policy: Literal["drop_oldest", "summarize", "ask"] = "drop_oldest"
    """When the context is full, "drop_oldest" omits the oldest turns (never the system prompt or pinned
    turns), "summarize" lets the model summarize them first, and "ask" stops and asks you. The conversation
    itself is never cut."""

    def __post_init__(self) -> None:
        _within("length", self.length, 128, MAX_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """The tools that models may call. Every call needs permission."""

    enabled: tuple[str, ...] = ()
    """The tools of a new conversation: "files", "command", "web", "time", "math", or the name of one tool.
    None by default."""
    workspace: Path | None = None
    """The folder that file tools are confined to, and that commands start in. Not set: the folder in which
    the program was started."""
    max_rounds: int = 8
    """How often in one reply the model may call tools before it must answer in words."""
    allow: tuple[str, ...] = ()
    """Calls that need no question: "read_file", "run_command(make *)", "edit_file(src/*)"."""
    deny: tuple[str, ...] = ()
    """Calls that are always denied, in the same form. They outrank `allow`."""
    private_addresses: bool = False
    """Let fetch_url read addresses of this machine and its network."""

    def __post_init__(self) -> None:
        _within("max_rounds", self.max_rounds, 1, 100)
        for text in (*self.allow, *self.deny):
            if PERMISSION.fullmatch(text.strip()) is None:
                raise SettingsError(
                    "The permission is not valid",
                    f"{text!r} is neither TOOL nor TOOL(PATTERN).",
                    'Permissions look like "read_file" or "run_command(make *)".',
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """An MCP server whose tools can be chosen by its name: a program, or an address."""

    command: str | None = None
    """The program that is the server, which speaks on standard input and output."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables for it. It inherits only PATH, HOME and the like."""
    cwd: Path | None = None
    """The folder that it starts in. Not set: the workspace."""
    url: str | None = None
    """The address of a server with streamable HTTP, in place of a program."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers for every request to that address."""
    timeout_s: float = 300.0
    """How long one call may take, in seconds."""

    def __post_init__(self) -> None:
        _more_than_zero("timeout_s", self.timeout_s, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSettings:
    """Downloads of models."""

    side_by_side: int = 2
    """The number of models to pull at once."""
    connections: int = 4
    """The connections for each pull: one for each file, or for each range of one file if that is faster."""
    rate_limit_mb: float | None = None
    """The speed limit for all pulls together, in MB (10⁶ bytes) per second. If it is not set, no limit."""
    on_quit: Literal["ask", "pause", "cancel"] = "ask"
    """On quitting while pulls run: "ask", "pause" (the next start offers to resume them) or "cancel"."""

    def __post_init__(self) -> None:
        _within("side_by_side", self.side_by_side, 1, 64)
        _within("connections", self.connections, 1, 64)
        _more_than_zero("rate_limit_mb", self.rate_limit_mb, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Hugging Face. Its own HF_* variables (HF_HOME, HF_ENDPOINT, HF_TOKEN, …) work as usual."""

    token: str | None = field(default=None, repr=False, metadata={"secret": True})
    """The access token if HF_TOKEN is not set, from MISTRALRS_HF_TOKEN only, because it is never written to
    our files. If neither is set, the Hugging Face login."""
    model_cache_dir: Path | None = None
    """Another directory of models, such as SPNL's, besides the Hugging Face cache. A relative path starts at
    the configuration file."""
    model_dirs: tuple[Path, ...] = ()
    """Folders of yours with models, such as ["~/models"]. Relative paths start at the configuration file."""
    other_programs: bool = True
    """List the models that Ollama, LM Studio, llama.cpp, Jan, GPT4All, text-generation-webui and KoboldCpp
    have pulled, and run them in place; false hides them."""
    timeout_s: int = 10
    """How long to wait for a response from the hub, in seconds."""

    def __post_init__(self) -> None:
        _within("timeout_s", self.timeout_s, 1, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSettings:
    """The terminal interface."""

    theme: str = "spnl-dark"
    """The name of a built-in theme, or of a file of yours in themes/ beside config.toml."""
    mouse: bool = True
    """Use the mouse. If it is false, the terminal's own selection works without a modifier key."""
    notifications: Literal["always", "unfocused", "never"] = "unfocused"
    """When to notify the terminal of a finished pull or a long reply: "always", "unfocused" or "never"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The server for other programs: `spnl-chat serve`, and /serve in the interface."""

    host: str = "127.0.0.1"
    """The address to listen on. All but those of this machine require a key."""
    port: int = 8484
    """The port to listen on; 0 takes a free one."""
    api_key_env: str | None = None
    """The environment variable that holds the key of clients. Not set: programs on this machine need none."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may use the server, as "https://example.org"."""
    max_requests: int = 64
    """Requests that run or wait at once; further ones are refused until later."""

    def __post_init__(self) -> None:
        _within("port", self.port, 0, 65_535)
        _within("max_requests", self.max_requests, 1, 10_000)


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
