"""How the services of a run hang together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.errors import HubError, StoreError
from spnl_tui.log import start_log
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.settings import ModelSettings, Settings
from tests.support.engines import fake_local, fake_model
from tests.support.gguf_maker import make_gguf


async def test_pulls_give_way_to_a_reply_and_need_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    monkeypatch.setattr(MistralRsBackend, "needs_every_core", True)
    assert not services.rate._holds_up()  # the question constructs neither the engine nor a backend
    assert not services.engine.needs_every_core
    assert await services.engine.count_tokens(fake_model(), ["x"]) is None  # constructs the backend
    assert services.engine.needs_every_core
    assert services.rate._holds_up()


async def test_services_close_although_the_store_failed_to_open(tmp_path: Path) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    services.paths.data.parent.mkdir(parents=True, exist_ok=True)
    services.paths.data.write_text("no directory")
    with pytest.raises(StoreError):
        await services.store()
    engine = services.engine
    await services.close()
    (refused,) = [event async for event in engine.load(fake_model())]
    assert "closed" in str(refused)


async def test_a_model_that_was_asked_for_and_is_not_here_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    services = Services(Settings(model=ModelSettings(default="a/b")), Paths.below(tmp_path))
    with pytest.raises(HubError, match="a/b has not been pulled"):
        await services.wanted_model()
    with pytest.raises(HubError, match="spnl-chat pull c/d"):
        await services.wanted_model("c/d")
    monkeypatch.setattr(services.starter, "locate", lambda: None)
    assert await services.wanted_model("starter") is None
    await services.close()


async def test_interface_starts_with_the_last_used_model_that_still_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    services = Services(Settings(), Paths.below(tmp_path))
    starter = fake_model("starter")
    monkeypatch.setattr(services.starter, "locate", lambda: fake_local("starter"))
    assert await services.model_to_begin_with() == starter
    older, newer = (str(make_gguf(tmp_path / f"{name}.gguf")) for name in ("older", "newer"))
    store = await services.store()
    for name in (older, newer, "a/b", "gpt 4, of another program", ""):
        conversation = Conversation(model=name)
        conversation.add_turn("user", "Hello")
        conversation.add_turn("assistant", "Good day")
        await store.add(conversation)
    model = await services.model_to_begin_with()
    assert model is not None
    assert model.name == newer
    os.remove(newer)
    model = await services.model_to_begin_with()
    assert model is not None
    assert model.name == older
    # What is asked for goes before, and so does the settings' default.
    assert await services.model_to_begin_with("starter") == starter
    services.settings = Settings(model=ModelSettings(default="starter"))
    assert await services.model_to_begin_with() == starter
    await services.close()


async def test_without_a_store_the_starter_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    starter = fake_model("starter")
    monkeypatch.setattr(services.starter, "locate", lambda: fake_local("starter"))
    services.paths.data.parent.mkdir(parents=True, exist_ok=True)
    services.paths.data.write_text("no directory")
    assert await services.model_to_begin_with() == starter
    await services.close()


def test_log_that_cannot_be_written_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "log"
    link.symlink_to("/dev/full")
    root = logging.getLogger("spnl_tui")
    before = root.handlers
    try:
        start_log(link)
        root.info("words")
        with contextlib.suppress(OSError):
            root.handlers[0].close()
    finally:
        root.handlers = before
    assert capsys.readouterr().err == ""


async def test_process_opens_the_store_only_once(tmp_path: Path) -> None:
    """A second opening would end the locks of the first; see DeferredStore."""
    services = Services(Settings(), Paths.below(tmp_path))
    reading = await services.store_to_read()
    store = await services.store()
    with pytest.raises(StoreError):
        await reading.models_used_last()
    assert await services.store_to_read() is store
    assert await services.store() is store
    conversation = Conversation()
    conversation.add_turn("user", "kept though another program opens and closes the file")
    await store.add(conversation)
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT 1 FROM turn').fetchall()"
    file = services.paths.data / "conversations.db"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", look, str(file))
    assert await other.wait() == 0
    assert file.with_name("conversations.db-wal").exists()
    await services.close()


async def test_search_for_the_last_model_does_not_open_the_store_again(tmp_path: Path) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    store = await services.store()
    await services.model_to_begin_with()
    assert await services.store_to_read() is store
    await services.close()
