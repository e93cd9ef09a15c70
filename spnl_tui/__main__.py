"""`python -m spnl_tui`, and the command `spnl-chat`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line, or only open the interface."""
    from spnl_tui.cli.start import has_terminal, start
    from spnl_tui.headless.streams import prepared_streams

    with prepared_streams():
        if len(sys.argv) == 1 and has_terminal() and os.environ.get("TERM") != "dumb":
            sys.exit(start())
        from spnl_tui.cli.main import cli

        cli()


if __name__ == "__main__":
    main()
