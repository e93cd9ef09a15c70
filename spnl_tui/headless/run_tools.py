"""Tools for commands, where no user can be asked: what no flag and no setting allows is denied."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.headless.output import show_error
from spnl_tui.tools.agent import Agent
from spnl_tui.tools.permissions import Permissions
from spnl_tui.tools.toolbox import GROUPS, Toolbox, built_in_tools

if TYPE_CHECKING:
    from spnl_tui.services import Services


@asynccontextmanager
async def agent_for(services: Services, allow: Sequence[str], *, allow_all: bool) -> AsyncIterator[Agent]:
    """Yield an agent with the tools of the settings. `allow` are further rules.

    Raises:
        SettingsError: there are no such tools, or a rule is not valid.
    """
    settings = services.settings.tools
    if allow_all:
        print(
            "Warning: every call is allowed. The model can change and delete files and run any command.",
            file=sys.stderr,
        )
    workspace = settings.workspace or Path.cwd()
    servers = [name for name in settings.enabled if name in services.settings.mcp and name not in GROUPS]
    built_in = [name for name in settings.enabled if name not in servers]
    tools = built_in_tools(built_in, workspace, private_addresses=settings.private_addresses)
    permissions = Permissions((*settings.allow, *allow), settings.deny, all_allowed=allow_all)
    source = None
    if servers:
        from spnl_tui.tools.mcp.servers import ChosenServers

        source = ChosenServers(services.mcp(), servers)
    toolbox = Toolbox(tools, source)
    yield Agent(services.engine, toolbox, permissions, max_rounds=settings.max_rounds, report=show_error)
