"""Who may do what: rules for tools and their arguments, and the decision about one call.

A rule is written as TOOL or TOOL(PATTERN): `read_file`, `run_command(make *)`, `edit_file(src/*)`,
`fetch_url(https://docs.python.org/*)`. In both parts * stands for any letters. A rule for a server's tool
ends with the hash of the tool's description, so that it no longer applies once the server changes the tool.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spnl_tui.errors import SettingsError
from spnl_tui.models.tools import PERMISSION
from spnl_tui.tools.tool import BUILT_IN, BoundTool, Effect

Decision: TypeAlias = Literal["allow", "deny", "ask"]

_SHELL_SIGNS = re.compile(r"[;&|<>`$()\\\n\r{}!#~]|\*\*")
"""Signs by which one command becomes several, or another one than it seems."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A tool, or some of its calls."""

    tool: str
    pattern: str = ""
    """Empty for all calls."""
    fingerprint: str = ""
    """Of the tool that was approved; empty for any."""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule that is written so.

        Raises:
            SettingsError: it is not a rule.
        """
        match = PERMISSION.fullmatch(text.strip())
        if match is None:
            raise SettingsError(
                "The permission is not valid",
                f"{text!r} is neither TOOL nor TOOL(PATTERN).",
                'Permissions look like "read_file" or "run_command(make *)".',
            )
        return cls(match["tool"], match["pattern"] or "", match["hash"] or "")

    def __str__(self) -> str:
        pattern = f"({self.pattern})" if self.pattern else ""
        return f"{self.tool}{pattern}{'#' + self.fingerprint if self.fingerprint else ''}"

    def covers(self, tool: BoundTool, effect: Effect, *, strict: bool) -> bool:
        """Return True if the rule is about this call.

        `strict`: the rule allows something, so that a pattern must not match more than it seems to: a command
        with signs of the shell only if it is the very same.
        """
        if not _matches(self.tool, tool.tool.name):
            return False
        if self.fingerprint and self.fingerprint != fingerprint(tool):
            return False
        if strict and tool.origin != BUILT_IN and not self.fingerprint and "*" in self.tool:
            return False
        subject = effect.subject or effect.summary
        if not self.pattern or self.pattern == subject:
            return True
        if strict and effect.kind == "command" and _SHELL_SIGNS.search(subject):
            return False
        return _matches(self.pattern, subject)


class Permissions:
    """The rules that apply to one conversation. What denies beats what allows."""

    def __init__(
        self, allow: Iterable[str] = (), deny: Iterable[str] = (), *, all_allowed: bool = False
    ) -> None:
        """`allow` and `deny` are rules that always apply."""
        self.allow = [Rule.parse(text) for text in allow]
        self.deny = [Rule.parse(text) for text in deny]
        self.conversation: list[Rule] = []
        """Rules that allow something until the conversation ends."""
        self._all_allowed = all_allowed

    def for_conversation(self) -> Permissions:
        """Return permissions that share the rules that always apply, and have further ones of their own."""
        own = Permissions(all_allowed=self._all_allowed)
        own.allow, own.deny = self.allow, self.deny
        return own

    def decide(self, tool: BoundTool, effect: Effect) -> Decision:
        """Return what the rules say about a call; "ask" if they say nothing."""
        if any(rule.covers(tool, effect, strict=False) for rule in self.deny):
            return "deny"
        allowing = (*self.allow, *self.conversation)
        if self._all_allowed or any(rule.covers(tool, effect, strict=True) for rule in allowing):
            return "allow"
        return "ask"

    def revoke(self, rule: Rule) -> None:
        """Remove a rule, wherever it is."""
        for rules in (self.allow, self.deny, self.conversation):
            if rule in rules:
                rules.remove(rule)


def rule_for(tool: BoundTool, effect: Effect) -> Rule:
    """Return the rule that "always" stands for: calls like this one, not more.

    For a command without signs of the shell these are the program and its first argument; for a file the
    file, for an address the host.
    """
    mark = "" if tool.origin == BUILT_IN else fingerprint(tool)
    subject = effect.subject or effect.summary
    name = tool.tool.name
    if effect.kind == "command":
        words = subject.split(" ")
        if _SHELL_SIGNS.search(subject) or "*" in subject or len(words) < 2:
            return Rule(name, subject, mark)
        return Rule(name, f"{words[0]} {words[1]}" if len(words) == 2 else f"{words[0]} {words[1]} *", mark)
    if name == "fetch_url":
        return Rule(name, "/".join([*subject.split("/")[:3], "*"]), mark)
    if tool.read_only:
        return Rule(name, "", mark)
    return Rule(name, subject if tool.origin == BUILT_IN else "", mark)


def fingerprint(tool: BoundTool) -> str:
    """Return the hash of what a tool says about itself."""
    said = f"{tool.origin}\0{tool.tool.name}\0{tool.tool.description}\0{tool.tool.parameters}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
