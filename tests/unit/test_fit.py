"""Verdicts: never "runs" for what mistral.rs refuses; memory as it was measured; speed in the right order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.mistralrs.load_plan import plan_load
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.fit import Calibration, assess
from spnl_tui.models.machine import Gpu, Machine
from spnl_tui.models.memory import estimate_memory
from tests.support.gguf_maker import ARCHITECTURES, SPARSE, make_gguf

LAPTOP = Machine(cores=2, fast_cores=2, memory_total=24 * 10**9, memory_available=20 * 10**9)
FAST = Calibration(decode={"Q8_0": 5e-11}, prefill={"Q8_0": 8e-12}, layer=2e-5, attention=1e-11)


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    def make(**changes: Any) -> ModelFacts:
        return read_file_facts(make_gguf(tmp_path / "m.gguf", **changes))

    return make


class TestRuns:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_supported_architecture_runs(self, facts: Any, architecture: str) -> None:
        experts = 4 if architecture in SPARSE else 0
        verdict = assess(facts(architecture=architecture, experts=experts), LAPTOP, 2048)
        assert verdict.runs.level == "yes"
        assert verdict.level == "yes"
        assert not verdict.completion_only

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"matrix": "IQ4_XS"}, "IQ4_XS"),
            ({"matrix": "IQ4_NL"}, "IQ4_NL"),
            ({"matrix": "MXFP4"}, "MXFP4"),
            ({"matrix": "TQ2_0"}, "TQ2_0"),
            ({"metadata": {"general.architecture": "mamba"}}, "architecture mamba"),
            ({"metadata": {"general.architecture": "gemma3n"}}, "projector"),
            ({"metadata": {"general.architecture": "granite"}}, "fails at the first request"),
            ({"tokenizer": "bert"}, "tokenizer, bert"),
            ({"pre_tokenizer": "viking"}, "pre-tokenizer, viking"),
            ({"metadata": {"tokenizer.ggml.pre": None}}, "pre-tokenizer"),
            ({"metadata": {"tokenizer.ggml.model": None}}, "no tokenizer"),
            ({"metadata": {"llama.context_length": None}}, "context length"),
        ],
    )
    def test_model_that_mistral_rs_refuses_does_not_run(
        self, facts: Any, changes: dict[str, Any], words: str
    ) -> None:
        verdict = assess(facts(**changes), LAPTOP, 2048, FAST)
        assert verdict.runs.level == "no"
        assert words in verdict.runs.words
        assert (verdict.level, verdict.speed.decode) == ("no", None)

    def test_unproven_architecture_may_run(self, facts: Any) -> None:
        assert assess(facts(metadata={"general.architecture": "deepseek2"}), LAPTOP, 64).runs.level == "no"
        assert assess(facts(metadata=DEEPSEEK), LAPTOP, 64).runs.level == "maybe"

    def test_chat_template_that_cannot_be_read_is_reported(self, facts: Any) -> None:
        template = "{% if messages %}\n{% nonsense %}{% endif %}"
        runs = assess(facts(template=template), LAPTOP, 2048).runs
        assert runs.level == "maybe"
        assert "needs --template chatml" in runs.words
        assert "line 2 of the chat template" in runs.words

    def test_a_base_model(self, facts: Any) -> None:
        verdict = assess(facts(template=None), LAPTOP, 2048)
        assert verdict.completion_only
        assert "base model" in verdict.runs.words


DEEPSEEK = {
    "general.architecture": "deepseek2",
    "deepseek2.context_length": 2048,
    "deepseek2.embedding_length": 256,
    "deepseek2.block_count": 2,
    "deepseek2.attention.head_count": 4,
}


class TestFits:
    # Measured: anonymous memory in MB of a loaded process, less the 14 MB that it has before mistral.rs.
    @pytest.mark.parametrize(
        ("matrix", "in_situ", "measured"),
        [
            ("F32", None, 375), ("F16", None, 365), ("BF16", None, 365), ("Q4_0", None, 150),
            ("Q4_1", None, 153), ("Q5_0", None, 157), ("Q5_1", None, 161), ("Q8_0", None, 244),
            ("Q2_K", None, 135), ("Q3_K", None, 141), ("Q4_K", None, 196), ("Q5_K", None, 158),
            ("Q6_K", None, 242), ("Q8_K", None, 185),
            ("Q4_1", "Q6K", 237), ("Q4_1", "Q8_0", 241), ("F16", "Q8_0", 241), ("Q5_0", "Q6K", 237),
            ("Q5_0", "Q8_0", 240),
        ],
    )  # fmt: skip
    def test_predicted_memory_is_near_the_measured(
        self, facts: Any, matrix: str, in_situ: str | None, measured: int
    ) -> None:
        model = facts(
            matrix=matrix, layers=4, width=1024, feed_forward=4096, heads=8, kv_heads=2, vocabulary=32768
        )
        estimate = estimate_memory(model, in_situ, 0)
        assert (estimate.weights + estimate.overhead) / 1e6 - 14 == pytest.approx(measured, rel=0.15)

    def test_second_copy_of_re_quantized_q4_k_is_counted(self, facts: Any) -> None:
        """Measured with rows of 2,048. With rows of 1,024 there is none: 161 MB instead of 218."""
        shape = {"layers": 4, "width": 2048, "feed_forward": 8192, "heads": 16, "kv_heads": 4}
        estimate = estimate_memory(facts(matrix="Q4_1", vocabulary=8192, **shape), "Q4K", 0)
        assert (estimate.weights + estimate.overhead) / 1e6 == pytest.approx(367, rel=0.15)

    def test_tensor_of_the_wanted_type_takes_no_more_memory(self, facts: Any) -> None:
        """mistral.rs does not make it anew, so one copy of the embedding still serves both ends."""
        model = facts(matrix="Q8_0", embedding="Q8_0", vocabulary=32768)
        as_stored, again = (estimate_memory(model, in_situ, 512) for in_situ in (None, "Q8_0"))
        assert again.weights == as_stored.weights

    def test_sentencepiece_merges_count_though_the_header_has_none(self, facts: Any) -> None:
        plain, merged = (
            estimate_memory(facts(tokenizer=name, vocabulary=262144), None, 512) for name in ("gpt2", "llama")
        )
        # Gemma 3 270M, loaded: 511 MB without its weights, 513,511 merges, and no reply under way.
        assert merged.overhead / 1e6 == pytest.approx(511, rel=0.1)
        assert merged.overhead > plain.overhead

    def test_q8_0_has_a_second_copy_only_with_vnni(self, facts: Any) -> None:
        model = facts(matrix="Q8_0", layers=4, width=1024, feed_forward=4096, heads=8, kv_heads=2)
        plain, rearranged = (estimate_memory(model, None, 0, vnni=vnni) for vnni in (False, True))
        matrices = sum(
            group.elements for group in model.tensors if group.role != "vector" and group.row % 256 == 0
        )
        assert rearranged.weights - plain.weights == pytest.approx(matrices * 34 / 32, rel=0.05)
        for other in ("Q4_K", "Q4_0"):
            model = facts(matrix=other, layers=4, width=1024, feed_forward=4096, heads=8, kv_heads=2)
            plain, rearranged = (estimate_memory(model, None, 0, vnni=vnni) for vnni in (False, True))
            # But for the embedding, which is Q8_0 here.
            assert plain.weights == pytest.approx(rearranged.weights, abs=3e6)

    def test_context_counts_twice_in_32_bits(self, facts: Any) -> None:
        """For the request under way, and for its copy in the prefix cache; in steps of 512 tokens."""
        model = facts(layers=3, kv_heads=2, head_width=64)
        assert estimate_memory(model, None, 1000).kv_cache == 2 * 1024 * 3 * 2 * 128 * 4
        assert estimate_memory(model, None, 1000, prefix_cache=False).kv_cache == 1024 * 3 * 2 * 128 * 4

    def test_prompt_in_one_piece_counts_its_masks(self, facts: Any) -> None:
        """A window forbids the prefix cache, and so steps. Gemma 3 270M took 1,167 MB for 8,001 tokens."""
        shape = {
            "layers": 18,
            "feed_forward": 2048,
            "width": 768,
            "heads": 4,
            "kv_heads": 1,
            "head_width": 256,
        }
        model = facts(**shape, architecture="gemma3", sliding_window=512, context=32768)
        estimate = estimate_memory(model, None, 8001, kv_element_bytes=2, prefix_cache=False, in_steps=False)
        assert (estimate.working + (estimate.kv_cache or 0)) / 1e6 == pytest.approx(1167, rel=0.15)
        verdict, plan = assess(model, LAPTOP, 8192), plan_load(model, LAPTOP)
        assert verdict.memory.total == plan.memory.total

    def test_experts_count_once_per_token_of_a_prompt(self, facts: Any) -> None:
        """Measured: 512 tokens of a model with 2 of 8 experts of 1,024 by 1,024 took 2.1 GB for each 256."""
        shape = {"architecture": "qwen3moe", "experts": 8, "width": 1024, "feed_forward": 1024, "heads": 8}
        sparse, dense = (
            estimate_memory(facts(**{**shape, **more}), None, 4096) for more in ({}, {"experts": 0})
        )
        expert = 4 * 1024 * 1024
        assert sparse.working - dense.working == pytest.approx((8 + 2 * 512) * expert, rel=0.01)
        assert sparse.total - sparse.weights > sparse.working
        verdict = assess(facts(**shape), LAPTOP, 4096)
        assert "reading a prompt 4.4, " in verdict.fits.words
        assert "reading" not in assess(facts(**{**shape, "experts": 0}), LAPTOP, 4096).fits.words

    def test_mxfp4_experts_count_as_stored(self, facts: Any) -> None:
        """Or no gpt-oss would fit anywhere: 512 tokens of the small one would take 70 GB."""
        shape = {"architecture": "qwen3moe", "experts": 8, "width": 1024, "feed_forward": 1024, "heads": 8}
        mxfp4, dense = (
            estimate_memory(facts(**{**shape, **more}), None, 4096).working
            for more in ({"matrix": "MXFP4"}, {"experts": 0})
        )
        assert mxfp4 - dense == pytest.approx(8 * 1024 * 1024 * 17 / 32, rel=0.01)

    def test_too_large_model_names_the_context_that_fits(self, facts: Any) -> None:
        model = facts(context=131_072, layers=8, kv_heads=4, head_width=64)
        empty = estimate_memory(model, None, 0).total
        small = Machine(cores=2, fast_cores=2, memory_total=10**9, memory_available=empty + 300_000_000)
        verdict = assess(model, small, 131_072)
        assert verdict.fits.level == "no"
        assert verdict.longest_context is not None
        assert f"{verdict.longest_context:,}" in verdict.fits.words
        assert assess(model, small, verdict.longest_context).fits.level == "yes"
        assert assess(model, small, verdict.longest_context + 2048).fits.level == "no"

    def test_named_context_fits(self, facts: Any) -> None:
        """Also where memory grows faster than the context."""
        model = facts(architecture="gemma3", sliding_window=512, context=32768)
        machine = Machine(cores=2, fast_cores=2, memory_total=10**9, memory_available=700_000_000)
        longest = assess(model, machine, 16384).longest_context
        assert longest is not None
        assert assess(model, machine, longest).fits.level == "yes"
        assert assess(model, machine, longest + 512).fits.level == "no"

    def test_too_large_weights_fit_with_no_context(self, facts: Any) -> None:
        tiny = Machine(cores=1, fast_cores=1, memory_total=10**8, memory_available=10**7)
        verdict = assess(facts(), tiny, 2048)
        assert (verdict.fits.level, verdict.level, verdict.longest_context) == ("no", "no", None)

    def test_load_that_briefly_needs_more_may_fit(self, facts: Any) -> None:
        model = facts(matrix="F16", width=1024, feed_forward=4096, heads=8, layers=4)
        estimate = estimate_memory(model, "Q8_0", 512)
        assert estimate.loading > estimate.total
        between = Machine(
            cores=1, fast_cores=1, memory_total=10**9, memory_available=estimate.total * 11 // 10
        )
        verdict = assess(model, between, 512, in_situ="Q8_0")
        assert verdict.fits.level == "maybe"
        assert "for a moment" in verdict.fits.words

    def test_graphics_memory_counts_where_there_is_a_card(self, facts: Any) -> None:
        card = Gpu("A card", "cuda", 8 * 10**9, 7 * 10**9)
        machine = Machine(cores=2, fast_cores=2, memory_total=10**9, memory_available=10**6, gpus=(card,))
        verdict = assess(facts(), machine, 2048)
        assert verdict.fits.level == "yes"
        assert "A card" in verdict.fits.words


class TestSpeed:
    def test_speed_is_unknown_before_a_measurement(self, facts: Any) -> None:
        speed = assess(facts(), LAPTOP, 2048).speed
        assert (speed.level, speed.decode) == ("maybe", None)

    def test_slow_format_is_slower_unless_requantized(self, facts: Any) -> None:
        shape = {"layers": 4, "width": 1024, "feed_forward": 4096, "heads": 8, "embedding": "Q4_0"}
        slow, slow_prefill = speeds(facts(matrix="Q4_1", **shape), in_situ=None)
        fast, fast_prefill = speeds(facts(matrix="Q4_K", **shape), in_situ=None)
        planned, planned_prefill = speeds(facts(matrix="Q4_1", **shape))
        assert fast > 2.5 * slow
        assert planned > 2.5 * slow
        assert fast_prefill > 20 * slow_prefill
        assert planned_prefill > 20 * slow_prefill

    def test_twice_the_layers_take_twice_the_time(self, facts: Any) -> None:
        shape = {"width": 1024, "feed_forward": 4096, "heads": 8}
        one, _ = speeds(facts(layers=4, **shape))
        two, _ = speeds(facts(layers=8, **shape))
        assert one / two == pytest.approx(2, rel=0.05)

    def test_experts_are_predicted_to_be_slow(self, facts: Any) -> None:
        """mistral.rs widens all of them for every token on a CPU: sparse models are the slower ones there."""
        shape = {"layers": 4, "width": 1024, "feed_forward": 1024, "heads": 8}
        dense, _ = speeds(facts(**shape))
        sparse, _ = speeds(facts(architecture="qwen3moe", experts=8, **shape))
        assert sparse < dense / 20

    def test_prefill_without_vnni_follows_types_of_its_kind(self) -> None:
        """As measured on an AMD EPYC without it: Q8_0 is read no faster than Q4_0, Q5_K twice as fast."""
        measured = {"Q8_0": 1.0, "Q4_K": 0.2, "F16": 0.6}
        known = Calibration(decode=measured, prefill=measured, rearranged_q8_0=False)
        assert known.cost("Q4_0", 1024, prefill=True) == pytest.approx(1.0)
        assert known.cost("Q8_0", 576, prefill=True) == 1.0
        assert known.cost("Q5_K", 1024, prefill=True) == pytest.approx(0.4)
        assert known.cost("Q6_K", 1024, prefill=True) == pytest.approx(0.2, rel=0.1)
        with_vnni = Calibration(decode=measured, prefill=measured)
        assert with_vnni.cost("Q8_0", 576, prefill=True) == pytest.approx(8.5)

    def test_reply_without_vnni_follows_types_of_its_kind(self) -> None:
        """As measured on an AMD EPYC without it: Q8_0 costs 115 ps, Q4_K 90, Q4_0 95, Q2_K 52, Q4_1 510."""
        measured = {"Q8_0": 115.0, "Q4_K": 90.0, "F16": 370.0}
        known = Calibration(decode=measured, prefill=measured, rearranged_q8_0=False)
        for type, cost in {"Q4_0": 95, "Q2_K": 52, "Q5_K": 70, "Q6_K": 78, "Q4_1": 510}.items():
            assert known.cost(type, 1024, prefill=False) == pytest.approx(cost, rel=0.15), type

    @pytest.mark.parametrize(("cost", "level"), [(5e-11, "yes"), (2.5e-9, "maybe"), (1e-7, "no")])
    def test_levels(self, facts: Any, cost: float, level: str) -> None:
        slow = Calibration(decode={"Q8_0": cost}, prefill={"Q8_0": cost})
        model = facts(layers=4, width=1024, feed_forward=4096, heads=8)
        assert assess(model, LAPTOP, 512, slow).speed.level == level


def speeds(model: ModelFacts, in_situ: str | None = "auto") -> tuple[float, float]:
    """Decode and prefill."""
    speed = assess(model, LAPTOP, 512, FAST, in_situ=in_situ).speed
    assert speed.decode
    assert speed.prefill
    return speed.decode, speed.prefill
