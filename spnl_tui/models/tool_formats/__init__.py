"""The formats in which model families write tool calls. Standard library only, because the runner imports it.

`table.py` lists the formats and finds that of a chat template. `splitter.py` separates calls from text while
a reply streams. `grammar.py` restricts calls to the schemas of their tools. `prompt.py` explains tools to
models whose template does not support them.
"""
