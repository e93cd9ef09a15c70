"""The commands that ask a model: `run` and `map`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spnl_tui.cli.common import TEXT, completes, names_in, run_command, sampling_options

if TYPE_CHECKING:
    from spnl_tui.models.parts import ImagePart
    from spnl_tui.services import Services


@click.command()
@click.argument("prompt", required=False, type=TEXT)
@click.option(
    "-m", "--model", shell_complete=completes("models"), help='The model: "starter", a name, or a path.'
)
@click.option("--projector", help="The projector (mmproj) of the model, if it is not beside it.")
@click.option("-s", "--system", type=TEXT, help="The system prompt.")
@sampling_options
@click.option("-n", "count", type=click.IntRange(1, 64), help="How many replies to give.")
@click.option("-f", "--file", type=click.Path(path_type=Path), help="Run the query in this file.")
@click.option("-c", "--query", type=TEXT, help="Run this query, in Lisp or JSON.")
@click.option(
    "-b", "--builtin", help="Run a query that comes with the program: email, email2, bulkmap, gsm8k."
)
@click.option("--schema", type=click.Path(path_type=Path), help="Reply with JSON by the schema in this file.")
@click.option("--regex", type=TEXT, help="Reply with a text that this regular expression matches.")
@click.option("--lark", type=click.Path(path_type=Path), help="Reply by the Lark grammar in this file.")
@click.option(
    "--attach",
    type=TEXT,
    multiple=True,
    metavar="FILE",
    help="Attach this file: text, a document (paper.pdf#3-7) or an image. Can be given several times.",
)
@click.option(
    "--image",
    "images",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Send this image along, for a model that sees. Can be given several times.",
)
@click.option(
    "--prompt",
    "named",
    type=TEXT,
    shell_complete=completes("prompts"),
    help="Send this prompt of yours: a file in prompts/.",
)
@click.option("--editor", is_flag=True, help="Write the prompt in $EDITOR, beginning with PROMPT.")
@click.option("--copy", is_flag=True, help="Copy the reply to the clipboard, too.")
@click.option("--completion", is_flag=True, help="Continue PROMPT as a text, without a chat template.")
@click.option("--template", help="The chat template: chatml, gemma, llama3, mistral, …, or a Jinja file.")
@click.option("--tools", help="Tools that the model may call: files,command,web,time,math or their names.")
@click.option("--allow", help="Calls that need no permission: read_file,run_command(make *),…")
@click.option("--allow-all", is_flag=True, help="Allow every call. Only for what may do no harm.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of file tools and commands.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the query's tree as it runs.")
@click.option("--dry-run", is_flag=True, help="Show the query's tree and token counts, and run nothing.")
@click.option("--no-stream", is_flag=True, help="Print the reply when it is complete.")
@click.option("--time", "time_", is_flag=True, help="Print where the time went, on standard error.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    prompt: str | None,
    named: str | None,
    editor: bool,
    copy: bool,
    model: str | None,
    projector: str | None,
    system: str | None,
    count: int | None,
    file: Path | None,
    query: str | None,
    builtin: str | None,
    schema: Path | None,
    regex: str | None,
    lark: Path | None,
    images: tuple[Path, ...],
    attach: tuple[str, ...],
    completion: bool,
    template: str | None,
    tools: str | None,
    allow: str | None,
    allow_all: bool,
    workspace: Path | None,
    verbose: bool,
    dry_run: bool,
    no_stream: bool,
    time_: bool,
    json_: bool,
    **sampling: Any,
) -> None:
    """Ask one PROMPT and print the reply.

    "-" reads the prompt from standard input. Piped text goes above the prompt, a piped image with it.
    With -f, -c or -b a span query is run instead.
    """
    from spnl_tui.headless import chosen_model, run_prompt
    from spnl_tui.headless.streams import read_input, read_piped_image

    if (queries := [given for given in (file, query, builtin) if given is not None]) and (
        len(queries) > 1 or prompt is not None
    ):
        raise click.UsageError("Give one of PROMPT, -f, -c and -b.")
    if len(formats := [given for given in (schema, regex, lark) if given is not None]) > 1:
        raise click.UsageError("Give one of --schema, --regex and --lark.")
    if queries and (formats or completion or images or attach or system is not None):
        raise click.UsageError(
            "--schema, --regex, --lark, --attach, --image, --completion and -s apply only to a PROMPT."
        )
    if completion and (images or attach):
        raise click.UsageError("--completion continues a text, so --attach and --image do not apply.")
    if not queries and (verbose or dry_run):
        raise click.UsageError("-v and --dry-run apply only to a query: -f, -c or -b.")
    if completion and (system is not None or template is not None):
        raise click.UsageError("--completion uses no chat template, so -s and --template do not apply.")
    if tools and (queries or formats or completion or (count or 1) > 1):
        raise click.UsageError("--tools applies to one reply to a PROMPT, without a format.")
    if (allow or allow_all) and not tools:
        raise click.UsageError("--allow and --allow-all apply only with --tools.")
    if template is not None:
        from spnl_tui.models.prompts.templates import find_template

        find_template(template)  # a mistake in it is reported before the model is looked for
    sampling["stop"] = list(sampling["stop"]) or None
    flags = {
        "model.default": model,
        "model.projector": projector,
        "model.template": template,
        "chat.system_prompt": system,
        "engine.stream": False if no_stream else None,
        "tools.enabled": None if tools is None else names_in(tools),
        "tools.workspace": workspace,
        **{f"sampling.{name}": value for name, value in sampling.items()},
    }
    if queries:
        from spnl_tui.headless import run_query

        source = (
            run_query.QuerySource.from_file(file)
            if file is not None
            else run_query.QuerySource(text=query, builtin=builtin)
        )
        options = run_query.QueryOptions(
            n=count,
            model=model,
            temperature=sampling["temperature"],
            max_tokens=sampling["max_tokens"],
            json=json_,
            time=time_,
            verbose=verbose,
            dry_run=dry_run,
        )
        run_command(ctx, lambda s: run_query.run(s, source, options), flags)
    if queries and (named or editor or copy):
        raise click.UsageError("--prompt, --editor and --copy apply only to a PROMPT.")
    piped_image = None if sys.stdin.isatty() else read_piped_image()
    piped = None if sys.stdin.isatty() or piped_image is not None else read_input()
    if prompt == "-":
        prompt, piped = None, read_input() if piped is None else piped
    if editor:
        prompt = click.edit(prompt or "", extension=".md", require_save=False)
    if named is not None:
        prompt, piped = run_prompt.named_prompt(named, prompt, piped), None
    if not (prompt and prompt.strip()) and not (piped and piped.strip()):
        raise click.UsageError('There is no prompt. Try: spnl-chat run "Why is the sky blue?"')

    grammar = run_prompt.read_grammar(schema, regex, lark)

    async def main(services: Services) -> int:
        import asyncio

        chosen = await chosen_model.model_for(services)
        settings = await chosen_model.settings_for(services, chosen)

        attached: tuple[ImagePart, ...] = ()
        if images or piped_image is not None:
            attached = await asyncio.to_thread(run_prompt.read_images, services.media, images, piped_image)
        text = run_prompt.read_prompt(prompt, piped)
        if attach:
            text = await asyncio.to_thread(run_prompt.read_attached, services.media, attach, text)
        run_prompt.hint_at_mention(prompt or "", attach)
        request = run_prompt.Request(
            prompt=text,
            images=attached,
            system=settings.chat.system_prompt,
            sampling=settings.sampling_for(chosen.recommended_sampling),
            n=count or 1,
            completion=completion,
            grammar=grammar,
            thinking=settings.chat.thinking,
            stream=settings.engine.stream,
            json=json_,
            time=time_,
            copy=copy,
        )
        if not settings.tools.enabled or completion or grammar is not None or request.n > 1:
            return await run_prompt.ask(services.engine, chosen, request)
        from spnl_tui.headless.run_tools import agent_for

        async with agent_for(services, names_in(allow or ""), allow_all=allow_all) as agent:
            return await run_prompt.ask(agent, chosen, request)

    run_command(ctx, main, flags)


@click.command("map")
@click.argument("template", type=TEXT)
@click.option(
    "-m", "--model", shell_complete=completes("models"), help='The model: "starter", a name, or a path.'
)
@sampling_options
@click.option("--jsonl", is_flag=True, help="Print a JSON object for each line, as they come.")
@click.option("--time", "time_", is_flag=True, help="Print where the time went, on standard error.")
@click.pass_context
def map_(
    ctx: click.Context, /, template: str, model: str | None, jsonl: bool, time_: bool, **sampling: Any
) -> None:
    """Ask TEMPLATE, with {} replaced, of each line of standard input.

    If it is interrupted, the same command on the same input resumes it.
    """
    from spnl_tui.headless import run_query

    sampling["stop"] = list(sampling["stop"]) or None
    flags = {"model.default": model, **{f"sampling.{name}": value for name, value in sampling.items()}}
    run_command(
        ctx,
        lambda s: run_query.map_input(s, template, sampling=s.settings.sampling, jsonl=jsonl, time=time_),
        flags,
    )
