"""llama.cpp's side of `spnl-chat bench --against llama.cpp`: a script in a process of its own.

    python -P bench_llama.py JSON

It needs only llama-cpp-python and the standard library, so that it runs in any interpreter with the former.
JSON is {"path", "threads", "context", "story", "go_on", "tokens", "prompts"}; the result is one JSON object
on standard output. headless/bench.py measures the same with mistral.rs.
"""

import json
import os
import sys
import time
from typing import Any

import llama_cpp  # type: ignore[import-not-found]  # for those who want to compare


def measure(wish: dict[str, Any]) -> dict[str, Any]:
    """Load the model, let it write a story and continue it, and read each prompt."""
    started = time.monotonic()
    model = llama_cpp.Llama(
        model_path=wish["path"],
        n_threads=wish["threads"],
        n_threads_batch=wish["threads"],
        n_ctx=wish["context"],
        verbose=False,
    )
    load_s = time.monotonic() - started

    def ask(messages: list[dict[str, str]], tokens: int) -> tuple[str, float, float, int]:
        """Return the text, the seconds to the first token and after it, and the tokens."""
        began = time.monotonic()
        first = None
        text, count = "", 0
        # A random-weight model may stop at any token, so ban EOS while decoding is measured.
        for chunk in model.create_chat_completion(
            messages, max_tokens=tokens, temperature=0.0, stream=True, logit_bias={model.token_eos(): -100.0}
        ):
            content = chunk["choices"][0]["delta"].get("content")
            if content is None:
                continue
            first = first or time.monotonic()
            text, count = text + content, count + 1
        first = first or time.monotonic()
        return text, first - began, time.monotonic() - first, count

    messages = [{"role": "user", "content": wish["story"]}]
    text, cold, decode_s, count = ask(messages, wish["tokens"])
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": wish["go_on"]}]
    _, warm, _, _ = ask(messages, 8)
    prefill = {}
    for prompt in wish["prompts"]:
        _, seconds, _, _ = ask([{"role": "user", "content": prompt}], 1)
        prefill[model.n_tokens] = model.n_tokens / seconds
    return {
        "load_s": load_s,
        "ttft_cold_s": cold,
        "ttft_warm_s": warm,
        "prefill_tokens_per_s": prefill,
        "decode_tokens_per_s": (count - 1) / decode_s if decode_s else 0.0,
        "memory_bytes": _resident(),
        "version": llama_cpp.__version__,
    }


def _resident() -> int:
    """Return all resident memory in bytes, including the mapped file, because llama.cpp computes from it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
