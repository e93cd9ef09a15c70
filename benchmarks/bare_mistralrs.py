"""mistralrs with its defaults, for benchmarks.formats: a script that runs in its own process.

    python -m benchmarks.bare_mistralrs JSON

JSON and the answer have the form that spnl_tui/headless/bench_llama.py uses. Threads, environment and in-situ
quantization keep their defaults.
"""

import json
import os
import sys
import time
from typing import Any


def measure(wish: dict[str, Any]) -> dict[str, Any]:
    """Load the model, request a short and a long reply, and read each prompt."""
    import mistralrs
    import psutil

    path = wish["path"]
    started = time.monotonic()
    runner = mistralrs.Runner(
        mistralrs.Which.GGUF(  # type: ignore[arg-type]  # the stubs do not derive it from Which
            quantized_model_id=os.path.dirname(path), quantized_filename=os.path.basename(path)
        )
    )
    load_s = time.monotonic() - started

    def ask(messages: list[dict[str, str]], tokens: int) -> tuple[str, float, float, int, int]:
        """Return the text, seconds to the first token, seconds after it, reply tokens and prompt tokens."""
        request = mistralrs.ChatCompletionRequest(
            messages=messages, model="default", stream=True, temperature=0.0, max_tokens=tokens
        )
        began = time.monotonic()
        first, text, count, read = None, "", 0, 0
        chunks: Any = runner.send_chat_completion_request(request)
        for chunk in chunks:
            first = first or time.monotonic()
            text, count = text + (chunk.choices[0].delta.content or ""), count + 1
            read = chunk.usage.prompt_tokens if chunk.usage else read
        first = first or time.monotonic()
        return text, first - began, time.monotonic() - first, count, read

    messages = [{"role": "user", "content": wish["story"]}]
    text, cold, decode_s, count, _ = ask(messages, wish["tokens"])
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": wish["go_on"]}]
    _, warm, _, _, _ = ask(messages, 8)
    prefill = {}
    for prompt in wish["prompts"]:
        _, seconds, _, _, read = ask([{"role": "user", "content": prompt}], 1)
        prefill[read] = read / seconds
    memory = psutil.Process().memory_info()
    return {
        "load_s": load_s,
        "ttft_cold_s": cold,
        "ttft_warm_s": warm,
        "prefill_tokens_per_s": prefill,
        "decode_tokens_per_s": (count - 1) / decode_s if decode_s else 0.0,
        "memory_bytes": memory.rss - getattr(memory, "shared", 0),
    }


if __name__ == "__main__":
    answer = os.dup(1)
    os.dup2(2, 1)  # mistral.rs logs there
    os.write(answer, json.dumps(measure(json.loads(sys.argv[1]))).encode())
