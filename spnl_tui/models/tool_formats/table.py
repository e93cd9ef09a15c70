"""The table of formats, and the search for the format of a chat template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.calls import Frame, ToolFormat
from spnl_tui.models.tool_formats.json_formats import (
    json_body,
    parse_bare,
    parse_command_r,
    parse_deepseek,
    parse_harmony,
    parse_kimi,
    parse_mistral,
    repeated,
    write_command_r,
    write_kimi,
)
from spnl_tui.models.tool_formats.other_formats import (
    parse_gemma,
    parse_glm,
    parse_pythonic,
    parse_xml,
    write_gemma,
    write_glm,
    write_pythonic,
    write_xml,
)
from spnl_tui.models.tools import Tool

_HERMES = Frame("", '<tool_call>\n{"name": "NAME", "arguments": ', "}\n</tool_call>", "\n")
_BARE = Frame("", '{"name": "NAME", "parameters": ', "}", "; ")
_MISTRAL = Frame("[TOOL_CALLS][", '{"name": "NAME", "arguments": ', "}", ", ", "]")
_MISTRAL_ARGS = Frame("", "[TOOL_CALLS]NAME[ARGS]", "")
_DEEPSEEK = Frame(
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
    "\n```<｜tool▁call▁end｜>",
    "\n",
    "<｜tool▁calls▁end｜>",
)
_DEEPSEEK_31 = Frame(
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "",
    "<｜tool▁calls▁end｜>",
)
_PHI = Frame("<|tool_call|>[", '{"name": "NAME", "arguments": ', "}", ", ", "]<|/tool_call|>")
_GRANITE = Frame("<|tool_call|>[", '{"name": "NAME", "arguments": ', "}", ", ", "]")
_HARMONY = Frame("", "to=functions.NAME<|message|>", "<|call|>")

HERMES = ToolFormat(
    name="hermes",
    families="Hermes, Qwen 2.5 and 3, SmolLM3, Granite 4, and models whose template has no tools",
    opens=("<tool_call>",),
    parse=repeated(["<tool_call>"], ["</tool_call>"], json_body),
    write=_HERMES.write,
    frame=_HERMES,
    signs=("<tool_call>",),
    stops=("<tool_response>", "<|im_start|>"),
)

TABLE: tuple[ToolFormat, ...] = (
    ToolFormat(
        name="harmony",
        families="gpt-oss",
        opens=("to=functions.",),
        parse=parse_harmony,
        write=_HARMONY.write,
        signs=("<|channel|>commentary", "to=functions."),
    ),
    ToolFormat(
        name="deepseek",
        families="DeepSeek V3, R1",
        opens=("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"),
        parse=parse_deepseek,
        write=_DEEPSEEK.write,
        frame=_DEEPSEEK,
        writes="```",
        signs=("<｜tool▁calls▁begin｜>",),
        stops=("<｜tool▁outputs▁begin｜>", "<｜tool▁output▁begin｜>"),
    ),
    ToolFormat(
        name="deepseek-3.1",
        families="DeepSeek V3.1, V3.2",
        opens=("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"),
        parse=parse_deepseek,
        write=_DEEPSEEK_31.write,
        frame=_DEEPSEEK_31,
        stops=("<｜tool▁outputs▁begin｜>", "<｜tool▁output▁begin｜>"),
    ),
    ToolFormat(
        name="kimi",
        families="Kimi K2",
        opens=("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>", "<|tool_call_begin|>"),
        parse=parse_kimi,
        write=write_kimi,
        signs=("<|tool_calls_section_begin|>",),
    ),
    ToolFormat(
        name="mistral-args",
        families="Mistral Small 3.2, Magistral, Devstral, Ministral 3",
        opens=("[TOOL_CALLS]",),
        parse=parse_mistral,
        write=_MISTRAL_ARGS.write,
        frame=_MISTRAL_ARGS,
        writes="[ARGS]",
        signs=("[ARGS]",),
        stops=("[TOOL_RESULTS]",),
    ),
    ToolFormat(
        name="mistral",
        families="Mistral 7B v0.3, Nemo, Large, Small 3",
        opens=("[TOOL_CALLS]",),
        parse=parse_mistral,
        write=_MISTRAL.write,
        frame=_MISTRAL,
        signs=("[TOOL_CALLS]",),
        stops=("[TOOL_RESULTS]",),
    ),
    ToolFormat(
        name="gemma",
        families="Gemma 4, FunctionGemma",
        opens=("<|tool_call>", "<start_function_call>"),
        parse=parse_gemma,
        write=write_gemma,
        signs=("<|tool_call>", "<start_function_call>"),
        stops=("<|tool_response>", "<start_function_response>"),
    ),
    ToolFormat(
        name="lfm2",
        families="LFM2",
        opens=("<|tool_call_start|>",),
        parse=parse_pythonic,
        write=partial(write_pythonic, before="<|tool_call_start|>", after="<|tool_call_end|>"),
        writes="<|tool_call_start|>",
        signs=("<|tool_call_start|>", "<|tool_list_start|>"),
        stops=("<|tool_response_start|>",),
    ),
    ToolFormat(
        name="phi",
        families="Phi-4-mini",
        opens=("<|tool_call|>", "functools["),
        parse=repeated(["<|tool_call|>", "functools"], ["<|/tool_call|>"], json_body),
        write=_PHI.write,
        frame=_PHI,
        writes="<|/tool_call|>",
        signs=("<|/tool_call|>", "functools"),
    ),
    ToolFormat(
        name="granite",
        families="Granite 3",
        opens=("<|tool_call|>",),
        parse=repeated(["<|tool_call|>"], [], json_body),
        write=_GRANITE.write,
        frame=_GRANITE,
        signs=("<|tool_call|>",),
    ),
    ToolFormat(
        name="command-r",
        families="Command R, R7B, A",
        opens=("<|START_ACTION|>", "Action:"),
        parse=parse_command_r,
        write=write_command_r,
        signs=("<|START_ACTION|>", "Action:"),
    ),
    ToolFormat(
        name="qwen-xml",
        families="Qwen3-Coder, Qwen 3.5, Nemotron 3",
        opens=("<tool_call>", "<function="),
        parse=parse_xml,
        write=write_xml,
        signs=("<function=",),
        stops=("<tool_response>", "<|im_start|>"),
    ),
    ToolFormat(
        name="glm",
        families="GLM 4.5 and later",
        opens=("<tool_call>",),
        parse=parse_glm,
        write=write_glm,
        signs=("<arg_key>",),
        stops=("<tool_response>", "<|observation|>"),
    ),
    HERMES,
    ToolFormat(
        name="pythonic",
        families="Llama 3.2 and 4, OLMo 3",
        opens=("<|python_start|>", "["),
        parse=parse_pythonic,
        write=partial(write_pythonic, before="<|python_start|>", after="<|python_end|>"),
        at_start=True,
        signs=("<|python_start|>", "[func_name1("),
    ),
    ToolFormat(
        name="llama",
        families="Llama 3.1 and 3.3, and other templates that write calls as bare JSON",
        opens=("<|python_tag|>", "{"),
        parse=parse_bare,
        write=_BARE.write,
        frame=_BARE,
        at_start=True,
        signs=('"parameters"', "<|python_tag|>", "tools"),
    ),
)

MARKERS = frozenset(open for format in TABLE for open in format.opens if len(open) > 1) | {
    "</tool_call>", "<|/tool_call|>", "<tool_call|>", '<|"|>', "[ARGS]", "[CALL_ID]", "<|python_end|>",
    "<|tool_call_end|>", "<|tool_call_argument_begin|>", "<|tool_calls_section_end|>", "<end_function_call>",
    "<escape>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<|END_ACTION|>",
}  # fmt: skip
"""The words of all formats that may be control tokens. Replies must keep them, so that calls can be
parsed."""

BY_NAME: Mapping[str, ToolFormat] = {each.name: each for each in TABLE}


def find_format(template: str, written: str, call: ToolCallPart, tool: Tool) -> ToolFormat:
    """Return the format of a template.

    `written` is the template's text for a reply with this call, or empty. The format that parses the call
    from it is the right one; if there is none, the signs in the template decide.
    """
    for format in (each for each in TABLE if each.writes in written):
        for place in sorted({written.find(open) for open in format.opens} - {-1}):
            parsed = format.parse(written[place:], {tool.name: tool})
            if parsed is not None and [each.name for each in parsed.calls] == [call.name]:
                return format
    return next((each for each in TABLE if any(sign in template for sign in each.signs)), HERMES)
