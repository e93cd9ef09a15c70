"""Time from exec to the painted prompt: the real command beside a bare Textual app.

    python -m benchmarks.start [--rounds 15]

Each program runs in its own pty of 100×40, with a home of its own; the clock runs from just before exec until
the placeholder of the prompt is among the output. The programs alternate, so that other work on the machine
affects both. Modules are compiled beforehand, as an installation does.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

from benchmarks.interface import compile_all

PLACEHOLDER = b"sk something"
"""Without its first letter, which the cursor sets apart."""
BARE = """
from textual.app import App
from textual.widgets import TextArea

class Bare(App):
    def compose(self):
        yield TextArea(placeholder="Ask something")

Bare().run()
"""


def seconds_to_prompt(command: Sequence[str], home: Path) -> float:
    """Run the command in a pty, and return the seconds until it has painted the prompt."""
    descriptor, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {
        "HOME": str(home),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "HF_HUB_OFFLINE": "1",
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True
    )
    os.close(child)
    output = b""
    while PLACEHOLDER not in output:
        try:
            output += os.read(descriptor, 65536)
        except OSError:  # EIO: the program has ended
            raise SystemExit(output[-3000:].decode(errors="replace")) from None
    seconds = time.perf_counter() - started
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(descriptor)
    return seconds


def main() -> None:
    """Measure and print the medians and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    compile_all()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        commands = {
            "spnl-chat": [sys.executable, "-m", "spnl_tui"],
            "bare Textual": [sys.executable, str(bare)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                times[name].append(seconds_to_prompt(command, Path(folder)))
    medians = {
        name: statistics.median(each[1:]) for name, each in times.items()
    }  # the first one is a warm-up
    for name, median in medians.items():
        print(f"{name:<14} {median:.3f} s ({min(times[name]):.3f} to {max(times[name]):.3f})")
    print(f"ratio {medians['spnl-chat'] / medians['bare Textual']:.2f} (aim: at most 1.5)")


if __name__ == "__main__":
    main()
