"""Print log-probabilities of a model's reply: a script, because mistralrs is loaded once per process.

    python -m tests.support.logprobs JSON PROMPT…

JSON has the fields of a Load. The output is the log-probability of each token of a greedy reply to the last
prompt; the other prompts are read before it.
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

PROMPT = (
    "<|im_start|>user\nWrite a story about a lighthouse and its keeper.<|im_end|>\n<|im_start|>assistant\n"
)
TOKENS = 8


async def ask_for_logprobs(load: dict[str, Any], *prompts: str, kv_in_32_bits: bool = True) -> list[float]:
    """Run the script below, with keys and values in 32 bits."""
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
    """Load the model and request the reply."""
    import mistralrs

    pipeline = make_pipeline(wire.Load(id=1, **{**load, "files": tuple(load["files"])}))
    for number, prompt in enumerate(prompts, 1):
        request = mistralrs.ChatCompletionRequest(
            messages=[{"role": "user", "content": prompt}],
            model=MODEL,
            temperature=0.0,
            # A single reply token is not cached: the prefix cache ends with the prompt.
            max_tokens=TOKENS if number == len(prompts) else 1,
            logprobs=True,
            ignore_eos=True,  # the prompt has no chat template, so the model may end at once
        )
        response: Any = pipeline.send_chat_completion_request(request)
    return [each.logprob for each in response.choices[0].logprobs.content]


if __name__ == "__main__":
    answer = os.dup(1)
    os.dup2(2, 1)  # mistral.rs logs there
    os.write(answer, json.dumps(logprobs(json.loads(sys.argv[1]), sys.argv[2:])).encode())
