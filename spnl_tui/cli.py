"""The argument parser and nothing else: every command calls a service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spnl_tui.cli_common import TEXT, json_option, run_command, sampling_options, services_for
from spnl_tui.cli_history import history
from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from spnl_tui.services import Services


class _Cli(click.Group):
    """The group, whose SpnlErrors are shown as title, message and hint, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpnlError as error:
            from spnl_tui.headless.output import FAILED, show_error

            show_error(error)
            ctx.exit(FAILED)


@click.group(cls=_Cli, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spnl-chat", prog_name="spnl-chat")
@click.option("--config", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.option("-m", "--model", help='The model to talk to: "starter", a name, or a path.')
@click.option("-p", "--persona", help="Take system prompt, model and sampling from this persona.")
@click.option("--theme", help="The theme of the interface.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[ID]",
    type=TEXT,
    help="Go on with the last conversation, or with the one whose id begins with ID.",
)
@click.option("--query", type=click.Path(path_type=Path), help="Open the query in this file as a chat.")
@click.pass_context
def cli(
    ctx: click.Context,
    config: Path | None,
    model: str | None,
    persona: str | None,
    theme: str | None,
    resume: str | None,
    query: Path | None,
) -> None:
    """Chat with language models that run on this machine.

    Without a command the interface opens. Settings come from the configuration file, then the environment,
    then these flags.
    """
    flags = {"model.default": model, "interface.theme": theme}
    ctx.obj = {"config": config, "persona": persona, "flags": flags}
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual reads the one and draws on the other
            raise click.UsageError('The interface needs a terminal. Scripts use: spnl-chat run "…"')
        from spnl_tui.app import run_app

        services = services_for(ctx)
        opened = None
        if query is not None:
            import asyncio

            from spnl_tui.headless.querying import QuerySource, open_as_chat

            opened = asyncio.run(open_as_chat(services, QuerySource.from_file(query), model))
        ctx.exit(run_app(services, resume=resume, opened=opened))


@cli.command()
@click.argument("prompt", required=False, type=TEXT)
@click.option("-m", "--model", help='The model: "starter", a name, or a path.')
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
@click.option("--completion", is_flag=True, help="Continue PROMPT as a text, without a chat template.")
@click.option("--template", help="The chat template: chatml, gemma, llama3, mistral, …, or a Jinja file.")
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
    model: str | None,
    system: str | None,
    count: int | None,
    file: Path | None,
    query: str | None,
    builtin: str | None,
    schema: Path | None,
    regex: str | None,
    lark: Path | None,
    completion: bool,
    template: str | None,
    verbose: bool,
    dry_run: bool,
    no_stream: bool,
    time_: bool,
    json_: bool,
    **sampling: Any,
) -> None:
    """Ask one PROMPT and print the reply.

    "-" reads the prompt from standard input. Text that is piped in follows the prompt. With -f, -c or -b a
    span query is run instead.
    """
    from spnl_tui.headless import ask, pulling
    from spnl_tui.headless.streams import read_input

    if (queries := [given for given in (file, query, builtin) if given is not None]) and (
        len(queries) > 1 or prompt is not None
    ):
        raise click.UsageError("Give one of PROMPT, -f, -c and -b.")
    if len(formats := [given for given in (schema, regex, lark) if given is not None]) > 1:
        raise click.UsageError("Give one of --schema, --regex and --lark.")
    if queries and (formats or completion or system is not None):
        raise click.UsageError("--schema, --regex, --lark, --completion and -s apply only to a PROMPT.")
    if not queries and (verbose or dry_run):
        raise click.UsageError("-v and --dry-run apply only to a query: -f, -c or -b.")
    if completion and (system is not None or template is not None):
        raise click.UsageError("--completion uses no chat template, so -s and --template do not apply.")
    if template is not None:
        from spnl_tui.models.prompts.templates import find_template

        find_template(template)  # a mistake in it is reported before the model is looked for
    sampling["stop"] = list(sampling["stop"]) or None
    flags = {
        "model.default": model,
        "model.template": template,
        "chat.system_prompt": system,
        "engine.stream": False if no_stream else None,
        **{f"sampling.{name}": value for name, value in sampling.items()},
    }
    if queries:
        from spnl_tui.headless import querying

        source = (
            querying.QuerySource.from_file(file)
            if file is not None
            else querying.QuerySource(text=query, builtin=builtin)
        )
        options = querying.QueryOptions(
            n=count,
            model=model,
            temperature=sampling["temperature"],
            max_tokens=sampling["max_tokens"],
            json=json_,
            time=time_,
            verbose=verbose,
            dry_run=dry_run,
        )
        run_command(ctx, lambda s: querying.run(s, source, options), flags)
    piped = None if sys.stdin.isatty() else read_input()
    if prompt == "-":
        prompt, piped = None, read_input() if piped is None else piped
    if not (prompt and prompt.strip()) and not (piped and piped.strip()):
        raise click.UsageError('There is no prompt. Try: spnl-chat run "Why is the sky blue?"')

    grammar = ask.read_grammar(schema, regex, lark)

    async def main(services: Services) -> int:
        settings = services.settings
        request = ask.Request(
            prompt=ask.read_prompt(prompt, piped),
            system=settings.chat.system_prompt,
            sampling=settings.sampling,
            n=count or 1,
            completion=completion,
            grammar=grammar,
            thinking=settings.chat.thinking,
            stream=settings.engine.stream,
            json=json_,
            time=time_,
        )
        return await ask.ask(services.engine, await pulling.model_for(services), request)

    run_command(ctx, main, flags)


@cli.command("map")
@click.argument("template", type=TEXT)
@click.option("-m", "--model", help='The model: "starter", a name, or a path.')
@sampling_options
@click.option("--jsonl", is_flag=True, help="Print a JSON object for each line, as they come.")
@click.option("--time", "time_", is_flag=True, help="Print where the time went, on standard error.")
@click.pass_context
def map_(
    ctx: click.Context, /, template: str, model: str | None, jsonl: bool, time_: bool, **sampling: Any
) -> None:
    """Ask TEMPLATE, with {} replaced, of each line of standard input.

    Interrupted, it goes on where it was when it is run again.
    """
    from spnl_tui.headless import querying

    sampling["stop"] = list(sampling["stop"]) or None
    flags = {"model.default": model, **{f"sampling.{name}": value for name, value in sampling.items()}}
    run_command(
        ctx,
        lambda s: querying.map_input(s, template, sampling=s.settings.sampling, jsonl=jsonl, time=time_),
        flags,
    )


@cli.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object for each event.")
@click.pass_context
def pull(ctx: click.Context, models: tuple[str, ...], quiet: bool, json_: bool) -> None:
    """Pull each MODEL to this machine and print where it is."""
    from spnl_tui.headless import pulling

    run_command(ctx, lambda s: pulling.pull(s, models, quiet=quiet, json_lines=json_))


@cli.command()
@click.argument("text", default="", type=TEXT)
@click.option("--format", "format_", type=click.Choice(["gguf", "safetensors"]), default="gguf")
@click.option("--sort", type=click.Choice(["trending", "downloads", "likes", "updated"]), default="trending")
@click.option("--limit", type=click.IntRange(1, 100), default=20, help="How many to show.")
@json_option
@click.pass_context
def search(ctx: click.Context, /, text: str, format_: Any, sort: Any, limit: int, json_: bool) -> None:
    """Search Hugging Face for TEXT."""
    from spnl_tui.headless import browsing

    run_command(
        ctx, lambda s: browsing.search(s.catalog, text, format=format_, sort=sort, limit=limit, json_=json_)
    )


@cli.command()
@click.argument("model")
@click.option("--measure", is_flag=True, help="First measure how fast this machine is: once, half a minute.")
@json_option
@click.pass_context
def show(ctx: click.Context, /, model: str, measure: bool, json_: bool) -> None:
    """Show MODEL and its quantizations: what they are, and whether they run and fit here."""
    from spnl_tui.headless import browsing
    from spnl_tui.models.reference import ModelReference

    reference = ModelReference.parse(model)

    async def main(services: Any) -> int:
        conditions = await services.conditions(measure=measure)
        return await browsing.show(
            services.catalog,
            services.library,
            reference,
            conditions=conditions,
            plan=lambda facts: services.plan_in_words(facts, conditions.machine),
            json_=json_,
        )

    run_command(ctx, main)


@cli.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, /, json_: bool) -> None:
    """List the models on this machine."""
    from spnl_tui.headless import browsing

    run_command(ctx, lambda s: browsing.list_models(s.library, json_=json_))


@cli.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, /, models: tuple[str, ...], yes: bool, json_: bool) -> None:
    """Delete each MODEL from this machine; MODEL:QUANTIZATION deletes one."""
    from spnl_tui.headless import browsing
    from spnl_tui.models.reference import ModelReference

    references = [ModelReference.parse(model) for model in models]

    def confirm(question: str) -> bool:
        return yes or click.confirm(question, err=True)

    run_command(ctx, lambda s: browsing.remove(s.library, references, confirm=confirm, json_=json_))


@cli.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def import_(ctx: click.Context, /, path: Path, json_: bool) -> None:
    """Take the model at PATH into the library, where it lies: nothing is copied."""
    from spnl_tui.headless import browsing

    run_command(ctx, lambda s: browsing.import_model(s.library, path, json_=json_))


@cli.command()
@click.argument("model", required=False)
@click.option("--against", type=click.Choice(["llama.cpp"]), help="Measure this beside it.")
@json_option
@click.pass_context
def bench(ctx: click.Context, /, model: str | None, against: str | None, json_: bool) -> None:
    """Measure how fast MODEL is here, as planned and as stored. Leave the machine alone meanwhile."""
    from spnl_tui.headless import bench as command

    run_command(ctx, lambda s: command.bench(s, against=against, json_=json_), {"model.default": model})


@cli.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, json_: bool) -> None:
    """Look at this machine and this installation, and say what to do about what is amiss."""
    from spnl_tui.headless import doctor as command

    run_command(ctx, lambda s: command.doctor(s, json_=json_))


cli.add_command(history)
