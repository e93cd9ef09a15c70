"""How models write tool calls: a table of formats, one for each way that families were trained on. Pure.

`table.py` lists the formats and finds the one of a chat template. `splitter.py` tells the calls of a reply
from its text while it streams. `grammar.py` binds calls to the schemas of their tools. `prompt.py` explains
tools to models whose template knows none. Standard library only: the runner uses it.
"""
