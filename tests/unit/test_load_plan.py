"""The plan for each kind of model and machine, and that what the user decided always wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, plan_load
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.machine import Gpu, Machine
from tests.support.gguf_maker import make_gguf

LAPTOP = Machine(cores=2, fast_cores=2, memory_total=24 * 10**9, memory_available=20 * 10**9)
CUDA = Gpu("A card", "cuda", 24 * 10**9, 23 * 10**9)


def machine(**changes: Any) -> Machine:
    return Machine(
        **{
            "cores": 2,
            "fast_cores": 2,
            "memory_total": 24 * 10**9,
            "memory_available": 20 * 10**9,
            **changes,
        }
    )


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    def make(**changes: Any) -> ModelFacts:
        return read_file_facts(make_gguf(tmp_path / "m.gguf", **changes))

    return make


@pytest.mark.parametrize(
    ("matrix", "embedding", "wanted"),
    [
        ("Q2_K", "Q4_K", None),
        ("Q3_K", "Q4_K", None),
        ("Q4_K", "Q4_K", None),
        ("Q5_K", "Q6_K", None),
        ("Q6_K", "Q8_0", None),
        ("Q8_0", "Q8_0", None),
        # Nearest above the finest that would be re-quantized: nothing gets coarser than it was.
        ("Q4_0", "Q4_0", "Q4K"),
        ("Q4_1", "Q4_0", "Q4K"),
        ("Q4_0", "Q6_K", "Q6K"),
        ("Q5_0", "Q4_0", "Q6K"),
        ("Q5_1", "Q4_0", "Q6K"),
        ("Q4_1", "Q8_0", "Q8_0"),
        ("F16", "F16", "Q8_0"),
        ("BF16", "BF16", "Q8_0"),
        ("F32", "F32", "Q8_0"),
    ],
)
def test_in_situ_quantization(facts: Any, matrix: str, embedding: str, wanted: str | None) -> None:
    plan = plan_load(facts(matrix=matrix, embedding=embedding), LAPTOP)
    assert plan.in_situ_quantization == wanted
    assert bool(plan.reasons) == (wanted is not None)


@pytest.mark.parametrize("matrix", ["Q4_0", "Q4_1", "Q5_0", "F16"])
def test_narrow_rows_are_requantized_to_q8_0(facts: Any, matrix: str) -> None:
    """A K-quant there would silently become Q4_1 or Q5_0, and slow."""
    plan = plan_load(
        facts(matrix=matrix, embedding="Q4_0", width=288, feed_forward=544, heads=3, kv_heads=3), LAPTOP
    )
    assert plan.in_situ_quantization == "Q8_0"


def test_the_starter(starter_gguf: Path) -> None:
    plan = plan_load(read_file_facts(starter_gguf), LAPTOP)
    assert plan.in_situ_quantization == "Q8_0"
    assert str(plan).startswith(
        "CPU, 2 threads, quantized to Q8_0 while loading, 8,192 tokens of context, about "
    )
    assert "Q4_1" in str(plan)


def test_few_floats_among_quantized_matrices_do_not_matter(facts: Any) -> None:
    """An expert router is kept as floats in every file."""
    model = facts(architecture="qwen3moe", experts=4, matrix="Q4_K", embedding="Q4_K")
    assert any(group.role == "matrix" and group.type == "F32" for group in model.tensors)
    assert plan_load(model, LAPTOP).in_situ_quantization is None


def test_requantization_that_does_not_fit_is_not_planned(facts: Any) -> None:
    model = facts(matrix="Q4_1", embedding="Q4_0", width=1024, feed_forward=4096, heads=8, layers=4)
    roomy = plan_load(model, LAPTOP, LoadOverrides(context=512))
    assert roomy.in_situ_quantization == "Q4K"
    tight = plan_load(model, machine(memory_available=roomy.memory.peak - 1), LoadOverrides(context=512))
    assert tight.in_situ_quantization is None
    assert "memory" in tight.reasons[0]


def test_overrides_win(facts: Any) -> None:
    model = facts(matrix="Q4_1")
    assert plan_load(model, LAPTOP, LoadOverrides(in_situ_quantization="none")).in_situ_quantization is None
    wish = LoadOverrides(
        in_situ_quantization="HQQ4", dtype="bf16", threads=1, prefix_cache=0, context=700, device="cuda"
    )
    plan = plan_load(model, machine(gpus=(CUDA,)), wish)
    assert (plan.in_situ_quantization, plan.dtype, plan.threads, plan.prefix_cache) == ("HQQ4", "bf16", 1, 0)
    assert (plan.context, plan.context_limit, plan.device) == (700, 700, "cuda")
    assert plan.environment["RAYON_NUM_THREADS"] == "1"


def test_context_counts_the_processors_bytes_per_value(facts: Any) -> None:
    whole, half = (plan_load(facts(), machine(kv_element_bytes=each)).memory.kv_cache for each in (4, 2))
    assert whole
    assert half == whole / 2


@pytest.mark.parametrize(
    ("window", "context", "kept"),
    [(None, None, 16), (512, None, 0), (512, 513, 0), (512, 512, 16), (2048, None, 16)],
)
def test_conversation_that_can_outgrow_the_window_is_planned_for(
    facts: Any, window: int | None, context: int | None, kept: int
) -> None:
    """Without a template of ours, which knows marks, there is no prefix cache then."""
    model = facts(sliding_window=window)  # of 2,048 tokens of context
    plan = plan_load(model, LAPTOP, LoadOverrides(context=context))
    assert (plan.prefix_cache, plan.window) == (16, None if kept else window)
    assert ("window" in str(plan)) == (not kept)
    base = plan_load(facts(sliding_window=window, template=None), LAPTOP, LoadOverrides(context=context))
    assert (base.prefix_cache, base.window) == (kept, None)
    assert ("window" in str(base)) == (not kept)


def test_experts_on_a_cpu_get_large_pages(facts: Any) -> None:
    """Without them the kernel takes longer to hand out memory for their copies than the engine to compute."""
    sparse = facts(architecture="qwen3moe", experts=4)
    assert "hugetlb" in plan_load(sparse, LAPTOP).environment["GLIBC_TUNABLES"]
    assert "GLIBC_TUNABLES" not in plan_load(facts(), LAPTOP).environment
    assert "GLIBC_TUNABLES" not in plan_load(sparse, machine(gpus=(CUDA,))).environment


@pytest.mark.parametrize(
    ("cores", "physical", "threads"), [(1, 1, 1), (2, 1, 1), (2, 2, 2), (4, 4, 3), (16, 8, 8), (12, 12, 11)]
)
def test_threads(facts: Any, cores: int, physical: int, threads: int) -> None:
    plan = plan_load(facts(), machine(cores=cores, fast_cores=physical))
    assert plan.threads == threads
    assert plan.every_core == (threads == cores)


def test_threads_beyond_the_cores_are_cut(facts: Any) -> None:
    plan = plan_load(facts(), LAPTOP, LoadOverrides(threads=64))
    assert plan.threads == 2
    assert "cut to the 2 usable cores" in str(plan)


def test_cpu_serves_one_sequence_and_gpu_many(facts: Any) -> None:
    on_cpu = plan_load(facts(matrix="F16"), LAPTOP, LoadOverrides(max_concurrent=8))
    assert (on_cpu.max_sequences, on_cpu.paged_attention) == (1, False)
    on_gpu = plan_load(facts(matrix="F16"), machine(gpus=(CUDA,)), LoadOverrides(max_concurrent=8))
    assert (on_gpu.device, on_gpu.max_sequences, on_gpu.paged_attention) == ("cuda", 8, True)
    assert on_gpu.in_situ_quantization is None
    wish = LoadOverrides(in_situ_quantization="Q4K")
    assert plan_load(facts(matrix="F16"), machine(gpus=(CUDA,)), wish).in_situ_quantization == "Q4K"


def test_gpu_memory_holds_a_conversation_and_its_cache(facts: Any) -> None:
    model = facts(context=4096)
    plan = plan_load(model, machine(gpus=(CUDA,)))
    assert (plan.context, plan.context_limit, plan.paged_tokens) == (4096, 4096, 8192)
    assert plan.memory.kv_cache == model.kv_cache_bytes(8192, 2)
    narrow = replace(CUDA, memory_available=plan.memory.total - 1)
    assert plan_load(model, machine(gpus=(narrow,))).paged_tokens == 4096
    short = replace(CUDA, memory_available=plan.memory.overhead + plan.memory.weights + 1)
    cut = plan_load(model, machine(gpus=(short,)))
    assert (cut.context, cut.context_limit, cut.paged_tokens) == (1024, 1024, 1024)
    assert "memory is too small" in str(cut)
    plain = plan_load(model, machine(gpus=(CUDA,)), LoadOverrides(paged_attention=False))
    assert (plain.paged_attention, plain.paged_tokens) == (False, None)


def test_gpu_memory_counts_weights_as_stored_there(facts: Any) -> None:
    model = facts(matrix="F16", embedding="F16")
    stored = plan_load(model, machine(gpus=(CUDA,))).memory.weights
    assert stored == sum(group.bytes for group in model.tensors)
    halved = plan_load(
        model, machine(gpus=(CUDA,)), LoadOverrides(in_situ_quantization="Q8_0")
    ).memory.weights
    matrices = sum(group.bytes for group in model.tensors if group.role == "matrix")
    assert stored - halved == pytest.approx(matrices * (1 - 34 / 64))


def test_build_decides_on_the_device(facts: Any) -> None:
    """A mistral.rs that was built for a GPU cannot be told to leave it alone."""
    plan = plan_load(facts(), machine(gpus=(CUDA,)), LoadOverrides(device="cpu"))
    assert plan.device == "cuda"
    assert "this mistral.rs was built for cuda" in plan.reasons


def test_missing_device_is_reported(facts: Any) -> None:
    plan = plan_load(facts(), LAPTOP, LoadOverrides(device="metal"))
    assert plan.device == "cpu"
    assert "no metal device was found" in plan.reasons


def test_context(facts: Any) -> None:
    assert plan_load(facts(context=2048), LAPTOP).context == 2048
    assert plan_load(facts(context=131_072), LAPTOP).context == 8192
    long = plan_load(facts(context=2048), LAPTOP, LoadOverrides(context=100_000))
    assert long.context == 2048
    assert "context cut to the model's 2,048 tokens" in long.reasons


def test_short_memory_cuts_a_default_context(facts: Any) -> None:
    model = facts(context=131_072, layers=8, kv_heads=4, head_width=64)
    roomy = plan_load(model, LAPTOP)
    assert roomy.context == 8192
    little = machine(memory_available=roomy.memory.total - 1)
    assert plan_load(model, little).context == 4096
    assert "memory is too small for more than 4,096 tokens of context" in plan_load(model, little).reasons
    assert plan_load(model, little, LoadOverrides(context=8192)).context == 8192
    assert plan_load(model, machine(memory_available=1)).context == 1024


def test_mistral_stored_as_llama_gets_its_config(facts: Any) -> None:
    plan = plan_load(facts(name="Mistral-7B-Instruct-v0.3", head_width=128), LAPTOP)
    assert plan.config is not None
    assert plan.config["architectures"] == ["MistralForCausalLM"]
    assert (plan.config["head_dim"], plan.config["sliding_window"]) == (128, None)
    assert plan_load(facts(name="Mistral 7B", sliding_window=512), LAPTOP).config is None
    assert plan_load(facts(name="Not Mistral"), LAPTOP).config is None
