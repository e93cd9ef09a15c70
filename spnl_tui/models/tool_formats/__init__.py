"""The formats of tool calls: a table with one for each way in which families were trained. Pure.

`table.py` lists the formats and finds the one of a chat template. `splitter.py` tells the calls of a reply
from its text while it streams. `grammar.py` binds calls to the schemas of their tools. `prompt.py` explains
tools to models whose template knows none. Standard library only: the runner uses it.
"""
