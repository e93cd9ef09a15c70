"""What a model makes of a prompt, in figures: a script, since mistralrs is loaded once in a process.

    python -m tests.support.logprobs JSON PROMPT…

JSON are the fields of a Load; the answer is the log-probability of each token of a greedy reply to the last
prompt. The others are read before it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import runner_environment
from spnl_tui.engine.mistralrs.runner.pipeline import MODEL, make_pipeline

PROMPT = "Write a story about a lighthouse and its keeper."
TOKENS = 8


async def ask_for_logprobs(load: dict[str, Any], *prompts: str, kv_in_32_bits: bool = True) -> list[float]:
    """Have the script below answer, with keys and values rounded as little as can be."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.logprobs", json.dumps(load), *(prompts or (PROMPT,))),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            **runner_environment(2),
            "MISTRALRS_CPU_KV_F32": "1" if kv_in_32_bits else "0",
        },
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return list(json.loads(out))


def logprobs(load: dict[str, Any], prompts: Sequence[str]) -> list[float]:
    """Load the model and ask it."""
    import mistralrs

    pipeline = make_pipeline(wire.Load(id=1, **{**load, "files": tuple(load["files"])}))
    for number, prompt in enumerate(prompts, 1):
        request = mistralrs.ChatCompletionRequest(
            messages=[{"role": "user", "content": prompt}],
            model=MODEL,
            temperature=0.0,
            # Of one token nothing is kept: the prefix cache ends with the prompt.
            max_tokens=TOKENS if number == len(prompts) else 1,
            logprobs=True,
        )
        response = pipeline.send_chat_completion_request(request)
    return [each.logprob for each in response.choices[0].logprobs.content]


if __name__ == "__main__":
    answer = os.dup(1)
    os.dup2(2, 1)  # mistral.rs writes there
    os.write(answer, json.dumps(logprobs(json.loads(sys.argv[1]), sys.argv[2:])).encode())
