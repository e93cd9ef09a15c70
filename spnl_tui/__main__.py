"""`python -m spnl_tui`, and the command `spnl-chat`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from spnl_tui.cli.main import cli
    from spnl_tui.headless.streams import prepared_streams

    with prepared_streams():
        cli()


if __name__ == "__main__":
    main()
