"""Make the relative links and pictures of a Markdown file absolute: PyPI shows no others.

Usage: absolute_links.py FILE OWNER/NAME TAG
"""

import re
import sys
from pathlib import Path


def absolute(text: str, repository: str, tag: str) -> str:
    """Return the text with pictures from the raw host and links to the repository's pages at this tag."""
    raw = f"https://raw.githubusercontent.com/{repository}/{tag}/"
    page = f"https://github.com/{repository}/blob/{tag}/"
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{raw}", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{page}", text)


if __name__ == "__main__":
    file, repository, tag = Path(sys.argv[1]), *sys.argv[2:]
    file.write_text(absolute(file.read_text(encoding="utf-8"), repository, tag), encoding="utf-8")
