"""The commands on models: `pull`, `search`, `show`, `list`, `rm` and `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spnl_tui.cli.common import TEXT, completes, json_option, run_command


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object for each event.")
@click.pass_context
def pull(ctx: click.Context, models: tuple[str, ...], quiet: bool, json_: bool) -> None:
    """Pull each MODEL to this machine and print where it is."""
    from spnl_tui.headless import pull as command

    run_command(ctx, lambda s: command.pull(s, models, quiet=quiet, json_lines=json_))


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def pulls(ctx: click.Context, /, json_: bool) -> None:
    """List interrupted pulls and leftover parts; remove them with `pulls rm`."""
    from spnl_tui.headless import pulls as commands

    if ctx.invoked_subcommand is None:
        run_command(ctx, lambda s: commands.list_pulls(s.library, json_=json_))


@pulls.command("rm")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Remove all of them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def pulls_rm(ctx: click.Context, /, names: tuple[str, ...], every: bool, yes: bool) -> None:
    """Delete what has been received of interrupted pulls."""
    from spnl_tui.headless import pulls as commands

    if not names and not every:
        raise click.UsageError("Name a pull, or give --all.")

    def confirm(question: str) -> bool:
        return yes or click.confirm(question, err=True)

    run_command(ctx, lambda s: commands.remove_pulls(s.library, names, every=every, confirm=confirm))


@click.command()
@click.argument("text", default="", type=TEXT)
@click.option("--format", "format_", type=click.Choice(["gguf", "safetensors"]), default="gguf")
@click.option("--sort", type=click.Choice(["trending", "downloads", "likes", "updated"]), default="trending")
@click.option("--limit", type=click.IntRange(1, 100), default=20, help="How many to show.")
@json_option
@click.pass_context
def search(ctx: click.Context, /, text: str, format_: Any, sort: Any, limit: int, json_: bool) -> None:
    """Search Hugging Face for TEXT."""
    from spnl_tui.headless import models as commands

    run_command(
        ctx, lambda s: commands.search(s.catalog, text, format=format_, sort=sort, limit=limit, json_=json_)
    )


@click.command()
@click.argument("model", shell_complete=completes("models"))
@click.option("--measure", is_flag=True, help="First measure how fast this machine is: once, half a minute.")
@json_option
@click.pass_context
def show(ctx: click.Context, /, model: str, measure: bool, json_: bool) -> None:
    """Show MODEL and its quantizations: what they are, and whether they run and fit here."""
    from spnl_tui.headless import models as commands
    from spnl_tui.models.reference import ModelReference

    reference = ModelReference.parse(model)

    async def main(services: Any) -> int:
        conditions = await services.conditions(measure=measure)
        return await commands.show(
            services.catalog,
            services.library,
            reference,
            conditions=conditions,
            plan=lambda facts: services.plan_in_words(facts, conditions.machine),
            json_=json_,
        )

    run_command(ctx, main)


@click.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, /, json_: bool) -> None:
    """List the models on this machine."""
    from spnl_tui.headless import models as commands

    run_command(ctx, lambda s: commands.list_models(s.library, json_=json_))


@click.command()
@click.argument("models", shell_complete=completes("models"), nargs=-1, required=True, metavar="MODEL...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rm(ctx: click.Context, /, models: tuple[str, ...], yes: bool, json_: bool) -> None:
    """Delete each MODEL from this machine; MODEL:QUANTIZATION deletes one."""
    from spnl_tui.headless import models as commands
    from spnl_tui.models.reference import ModelReference

    references = [ModelReference.parse(model) for model in models]

    def confirm(question: str) -> bool:
        return yes or click.confirm(question, err=True)

    run_command(ctx, lambda s: commands.remove(s.library, references, confirm=confirm, json_=json_))


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The name of the persona that a Modelfile becomes.")
@json_option
@click.pass_context
def import_(ctx: click.Context, /, path: Path, name: str | None, json_: bool) -> None:
    """Add the model at PATH to the library without copying it.

    A Modelfile, or ollama:NAME, becomes a persona: model, system prompt and parameters.
    """
    from spnl_tui.headless import import_persona
    from spnl_tui.headless import models as commands
    from spnl_tui.models.reference import OLLAMA, ModelReference

    if str(path).startswith(OLLAMA):
        model = ModelReference.parse(str(path)).ollama
        assert model is not None
        run_command(ctx, lambda s: import_persona.import_ollama(s, model, persona=name, json_=json_))
    if (modelfile := import_persona.read_modelfile(path)) is not None:
        run_command(
            ctx, lambda s: import_persona.import_modelfile(s, path, modelfile, name=name, json_=json_)
        )
    run_command(ctx, lambda s: commands.import_model(s.library, path, json_=json_))
