"""References to models on servers, and the addresses of servers without configuration."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from spnl_tui.engine.endpoint.backend import EndpointBackend
from spnl_tui.engine.endpoint.endpoints import known_endpoints, normal_url
from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.parts import ImagePart
from spnl_tui.models.reference import ModelReference
from spnl_tui.settings.endpoints import EndpointSettings
from tests.support.endpoint_server import WELL, serving

BOX = EndpointSettings(url="http://gpu-box:8000")


def no_image(image: ImagePart) -> bytes:
    raise AssertionError


def backend(environ: Mapping[str, str] | None = None, *, here: tuple[str, ...] = ()) -> EndpointBackend:
    async def is_here(repository: str) -> bool:
        return repository in here

    return EndpointBackend(
        known_endpoints({"Box": BOX}, environ or {}), environ={}, read_image=no_image, is_here=is_here
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Box/org/name", ("box", "org/name")),
        ("box/x", ("box", "x")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai/o3-mini", ("openai", "o3-mini")),
        ("gemini/gemini-2.5-pro", ("gemini", "gemini-2.5-pro")),
        ("ollama/llama3.2:1b", ("ollama", "llama3.2:1b")),
        ("vllm/Qwen/Qwen3-8B", ("vllm", "Qwen/Qwen3-8B")),
        ("endpoint/openai/gpt-oss-20b", ("openai", "gpt-oss-20b")),
        ("openai/gpt-oss-20b", None),
        ("openai/whisper-tiny", None),
        ("local/openai/gpt-4o", None),
        ("gemini/other", None),
        ("org/name", None),
        ("qwen3:4b", None),
        ("./box/x", None),
        ("box", None),
    ],
)
async def test_reference_means_a_server_only_with_an_endpoint_before_it(
    text: str, key: tuple[str, str] | None
) -> None:
    found = await backend().find(text)
    assert (found and found.key) == key


async def test_ambiguous_name_is_refused_with_both_spellings() -> None:
    engine = backend(here=("Box/x",))
    with pytest.raises(ModelReferenceError) as caught:
        await engine.find("box/x")
    assert "endpoint/Box/x" in caught.value.hint
    assert "local/Box/x" in caught.value.hint
    found = await engine.find("endpoint/box/x")
    assert found is not None
    assert found.name == "endpoint/Box/x"
    assert ModelReference.parse("local/Box/x").repository == "Box/x"


async def test_own_server_of_openai_names_decides_by_its_models() -> None:
    models = ({"id": "gpt-oss-20b", "owned_by": "x"}, {"id": "mine", "owned_by": "x"})
    async with serving(WELL, models=models) as server:
        engine = backend({"OPENAI_BASE_URL": f"http://127.0.0.1:{server.port}/v1"})
        assert await engine.find("openai/mine") is not None
        assert await engine.find("openai/whisper-tiny") is None
        with pytest.raises(ModelReferenceError):
            await engine.find("openai/gpt-oss-20b")
        await engine.close()


@pytest.mark.parametrize("text", ["box/", "endpoint/nowhere/x"])
async def test_incomplete_reference_is_refused(text: str) -> None:
    with pytest.raises(ModelReferenceError):
        await backend().find(text)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        (":9000", "http://127.0.0.1:9000"),
        ("https://ollama.test", "https://ollama.test:443"),
        ("[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert known_endpoints({}, {"OLLAMA_HOST": host})["ollama"].url == url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://x:1", "http://x:1/v1"),
        ("http://x:1/v1/", "http://x:1/v1"),
        ("http://x/v1/chat/completions", "http://x/v1"),
        ("https://x/api/openai", "https://x/api/openai"),
    ],
)
def test_address_ends_in_the_version(given: str, url: str) -> None:
    assert normal_url(given, "auto") == url


async def test_only_other_machines_are_named_as_hosts() -> None:
    box, near = await backend().find("box/x"), await backend().find("ollama/x")
    assert box is not None
    assert near is not None
    assert (box.host, near.host) == ("gpu-box:8000", None)
