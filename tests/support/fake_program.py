"""Run the whole program on the fake runner: `python -m tests.support.fake_program [--line] [--resume]`."""

from __future__ import annotations

import sys

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.service import EngineService
from spnl_tui.line.repl import chat_in_lines
from spnl_tui.models.files.local import LocalModel
from spnl_tui.paths import Paths
from spnl_tui.run_app import run_app
from spnl_tui.services import Services, make_services
from spnl_tui.settings import ChatSettings, Settings
from tests.support.engines import FAKE_RUNNER, fake_model, fake_plan


async def plan(model: LocalModel, context: int | None = None) -> LoadPlan:
    return fake_plan()


async def find_model(name: str | None = None) -> ModelHandle | None:
    return fake_model()


def main() -> None:
    paths = Paths.for_user()
    services: Services = make_services(Settings(chat=ChatSettings(automatic_titles=False)), paths)
    services.engine = EngineService([MistralRsBackend(plan, paths, runner_command=FAKE_RUNNER)])
    services.find_model = find_model  # type: ignore[method-assign]
    resume = "" if "--resume" in sys.argv else None
    if "--line" in sys.argv:
        sys.exit(chat_in_lines(services, resume=resume))
    sys.exit(run_app(services, resume=resume))


if __name__ == "__main__":
    main()
