"""The command line `afterword`: its commands, and errors as one sentence."""

import sys
from functools import cache

import typer
from rich.console import Console

from services.cli import serve, topics
from shared.errors import AfterwordError, leaves

app = typer.Typer(
    name="afterword",
    help="Listen to customers at the speed they transact.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("migrate")(serve.migrate)
app.add_typer(topics.topics, name="topics")

_DEPLOYED = ("serve", "migrate", "topics")


@cache
def _add_the_rest() -> None:
    """Add the commands that people use. What runs in a deployment does not hold the memory of what they import."""
    from services.cli import (
        access,
        apply,
        dev,
        distributed,
        dlq,
        doctor,
        front,
        listen,
        rebuild,
        retention,
    )
    from services.cli.demo import command as demo
    from services.cli.demo import system

    app.command("dev")(dev.dev)
    app.command("apply")(apply.apply)
    app.command("listen")(listen.listen)
    app.add_typer(access.access, name="access")
    app.add_typer(dlq.dlq, name="dlq")
    app.command("doctor")(doctor.doctor)
    app.command("retention")(retention.retention)
    app.add_typer(rebuild.scoring, name="scoring")
    app.command("dev-distributed")(distributed.dev_distributed)
    app.command("origin")(front.origin)
    app.command("demo")(demo.demo)
    app.command(system.COMMAND, hidden=True)(system.serve_demo)


def main() -> None:
    """Run a command; what is wrong on purpose is one sentence on stderr and exit code 1."""
    if sys.argv[1:2] not in ([name] for name in _DEPLOYED):
        _add_the_rest()
    try:
        app()
    except* AfterwordError as group:
        for error in leaves(group):
            Console(stderr=True, highlight=False).print(
                f"afterword: {error}", markup=False, soft_wrap=True
            )
        sys.exit(1)
