"""Everything that a key can do: one table that yields bindings, palette entries and the help screen.

The ids are the names by which a user changes keys in the configuration (`[keys]`), so they must not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from textual.actions import parse
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

Place = Literal["app", "screen", "prompt", "find", "talks", "pulls", "models", "loaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that the user can do."""

    id: str
    """The name in the configuration."""
    keys: str
    """The default keys, separated by commas."""
    action: str
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the palette, the help screen and the tooltip."""
    group: str
    """The heading in the help screen."""
    place: Place = "screen"
    footer: bool = False
    palette: bool = True
    slash: str = ""
    """The name by which it is typed in the prompt, after a "/": letters, digits and hyphens."""
    argument: str = ""
    """What may be typed after that name, in a word for the list of commands: "TITLE". The action has it as
    its last parameter when something was typed, and does without it otherwise. Empty: it takes none."""

    prompt: bool = False
    """Whether what is typed after the name ends in a prompt, which may mention files."""

    def binding(self) -> Binding:
        """The command as Textual's binding.

        Those of the screen have priority, since the prompt has the focus almost always and would take some of
        these keys. Those of the prompt and the panes have not: a priority binding is acted on before the keys
        that were typed ahead of it have reached the prompt, and Enter would send half of what was typed.
        """
        return Binding(
            self.keys,
            self.action,
            self.label,
            show=self.footer,
            priority=self.place in ("app", "screen"),
            id=self.id,
            tooltip=self.help,
        )


COMMANDS: tuple[Command, ...] = (
    Command(
        id="chat.send",
        keys="enter",
        action="submit",
        label="Send",
        help="Send the prompt.",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.newline",
        keys="ctrl+j,shift+enter,alt+enter",
        action="newline",
        label="New line",
        help="Begin a new line in the prompt.",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.earlier",
        keys="up",
        action="earlier",
        label="Earlier prompt",
        help="Bring back an earlier prompt (on the first line).",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.later",
        keys="down",
        action="later",
        label="Later prompt",
        help="Go on to a later prompt (on the last line).",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.complete",
        keys="tab",
        action="complete",
        label="Complete",
        help="Take what the list above the prompt offers.",
        group="Prompt",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.close_list",
        keys="escape",
        action="close_completions",
        label="Close",
        help="Close the list above the prompt.",
        group="Prompt",
        palette=False,
    ),
    Command(
        id="find.close",
        keys="escape",
        action="find('close')",
        label="Close",
        help="Look for nothing in the conversation any more.",
        group="Prompt",
        palette=False,
    ),
    Command(
        id="chat.editor",
        keys="alt+e",
        action="edit_prompt",
        label="Editor",
        help="Open the prompt in the editor that $VISUAL or $EDITOR names.",
        group="Prompt",
        slash="edit",
    ),
    Command(
        id="chat.stop",
        keys="escape",
        action="stop",
        label="Stop",
        help="Stop the reply and keep what has come.",
        group="Reply",
        slash="stop",
        footer=True,
    ),
    Command(
        id="chat.regenerate",
        keys="ctrl+r",
        action="regenerate",
        label="Again",
        help="Reply again to the last prompt.",
        group="Reply",
        slash="retry",
        footer=True,
    ),
    Command(
        id="chat.copy",
        keys="ctrl+y",
        action="copy('turn')",
        label="Copy",
        help="Copy the last reply, or the turn under the cursor.",
        group="Reply",
        slash="copy",
        argument="[all|code]",
        footer=True,
    ),
    Command(
        id="chat.copy_code",
        keys="ctrl+b",
        action="copy('code')",
        label="Code",
        help="Copy a code block of the last reply, or of the turn under the cursor.",
        group="Reply",
        slash="code",
        footer=True,
    ),
    Command(
        id="chat.copy_all",
        keys="alt+y",
        action="copy('all')",
        label="Copy all",
        help="Copy what is seen of the conversation, as Markdown.",
        group="Reply",
        slash="copy-all",
    ),
    Command(
        id="chat.thinking",
        keys="ctrl+t",
        action="toggle_thinking",
        label="Thinking",
        help="Show or hide what the model thought, and the summary of what it no longer sees.",
        group="Reply",
        slash="thinking",
    ),
    Command(
        id="chat.new",
        keys="ctrl+n",
        action="new_conversation",
        label="New",
        help="Begin a new conversation.",
        group="Conversation",
        slash="new",
        footer=True,
    ),
    Command(
        id="chat.page_up",
        keys="pageup",
        action="page_up",
        label="Page up",
        help="Scroll the conversation up by a page.",
        group="Conversation",
        palette=False,
    ),
    Command(
        id="chat.page_down",
        keys="pagedown",
        action="page_down",
        label="Page down",
        help="Scroll the conversation down by a page.",
        group="Conversation",
        palette=False,
    ),
    Command(
        id="chat.follow",
        keys="end,ctrl+end",
        action="follow",
        label="Follow",
        help="Follow the reply (at the end of a line).",
        group="Conversation",
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.get_starter",
        keys="ctrl+g",
        action="get_starter",
        label="Get starter",
        help="Get the starter model (94 MB).",
        group="Conversation",
        slash="starter",
    ),
    Command(
        id="talks.list",
        keys="f5,ctrl+l",
        action="talk('list')",
        label="Chats",
        help="Show the list of conversations, or hide it.",
        group="Conversation",
        slash="chats",
        footer=True,
    ),
    Command(
        id="talks.last",
        keys="ctrl+s",
        action="talk('last')",
        label="Last one",
        help="Open the conversation that was used before this one.",
        group="Conversation",
        slash="last",
    ),
    Command(
        id="talks.search",
        keys="ctrl+f",
        action="talk('search')",
        label="Search",
        help="Search in everything that was said.",
        group="Conversation",
        slash="search",
        argument="WORDS",
    ),
    Command(
        id="find.open",
        keys="ctrl+slash,ctrl+underscore",
        action="find('open')",
        label="Find",
        help="Find words in this conversation.",
        group="Conversation",
        slash="find",
        argument="WORDS",
    ),
    Command(
        id="find.earlier",
        keys="up",
        action="screen.find('earlier')",
        label="Earlier",
        help="Go to the turn before that has the words that one looks for.",
        group="Conversation",
        place="find",
        footer=True,
        palette=False,
    ),
    Command(
        id="find.later",
        keys="down",
        action="screen.find('later')",
        label="Later",
        help="Go to the next turn that has them.",
        group="Conversation",
        place="find",
        footer=True,
        palette=False,
    ),
    Command(
        id="turn.up",
        keys="alt+up",
        action="turn('up')",
        label="Turn up",
        help="Move the cursor to the turn above.",
        group="Conversation",
    ),
    Command(
        id="turn.down",
        keys="alt+down",
        action="turn('down')",
        label="Turn down",
        help="Move the cursor to the turn below.",
        group="Conversation",
    ),
    Command(
        id="turn.earlier",
        keys="alt+left",
        action="turn('earlier')",
        label="Earlier branch",
        help="Go to the sibling before: another reply, or another prompt.",
        group="Conversation",
    ),
    Command(
        id="turn.later",
        keys="alt+right",
        action="turn('later')",
        label="Later branch",
        help="Go to the next sibling.",
        group="Conversation",
    ),
    Command(
        id="turn.edit",
        keys="ctrl+e",
        action="turn('edit')",
        label="Edit",
        help="Edit the last prompt, or the turn under the cursor: it begins a branch.",
        group="Conversation",
        slash="revise",
    ),
    Command(
        id="turn.tree",
        keys="alt+t",
        action="turn('tree')",
        label="Tree",
        help="Show all branches of the conversation, to go to a turn.",
        group="Conversation",
        slash="tree",
    ),
    Command(
        id="turn.go_on",
        keys="alt+c",
        action="turn('go_on')",
        label="Continue",
        help="Have the model go on with a reply that was stopped, cut off or edited.",
        group="Reply",
        slash="continue",
    ),
    Command(
        id="turn.fork",
        keys="alt+k,alt+f",  # terminals send what they send for ctrl+right for alt+f
        action="turn('fork')",
        label="Fork",
        help="Begin a conversation of its own with what was said down to the cursor.",
        group="Conversation",
        slash="fork",
    ),
    Command(
        id="turn.delete",
        keys="alt+delete",
        action="turn('delete')",
        label="Delete turn",
        help="Delete the turn under the cursor, unless it is undone.",
        group="Conversation",
        slash="delete-turn",
    ),
    Command(
        id="turn.delete_branch",
        keys="shift+delete",
        action="turn('delete_branch')",
        label="Delete branch",
        help="Delete the turn under the cursor and all that follows it, unless it is undone.",
        group="Conversation",
    ),
    Command(
        id="turn.pin",
        keys="alt+i",
        action="turn('pin')",
        label="Pin turn",
        help="Have the turn under the cursor sent even when the context is full, or no longer.",
        group="Conversation",
    ),
    Command(
        id="turn.leave",
        keys="escape",
        action="turn('leave')",
        label="Leave",
        help="Leave the cursor, or the prompt that is edited.",
        group="Conversation",
        palette=False,
    ),
    Command(
        id="talks.undo",
        keys="alt+u",
        action="talk('undo')",
        label="Undo delete",
        help="Bring back what was deleted last: a conversation or a turn.",
        group="Conversation",
        slash="undo",
    ),
    Command(
        id="talks.persona",
        keys="alt+r",
        action="talk('persona')",
        label="Persona",
        help="Choose a persona; edit system prompt and sampling of the conversation.",
        group="Conversation",
        slash="persona",
    ),
    Command(
        id="talks.export",
        keys="alt+s",
        action="talk('export')",
        label="Export",
        help="Write what is seen of the conversation to a Markdown file in this directory.",
        group="Conversation",
        slash="export",
    ),
    Command(
        id="talks.export_json",
        keys="alt+j",
        action="talk('export_json')",
        label="Export JSON",
        help="Write the whole conversation to a JSON file in this directory, without loss.",
        group="Conversation",
        slash="export-json",
    ),
    Command(
        id="talks.export_query",
        keys="alt+q",
        action="talk('export_query')",
        label="Export query",
        help="Write what is seen of the conversation as a query that asks for its last reply again.",
        group="Conversation",
        slash="export-query",
    ),
    Command(
        id="many.ask",
        keys="alt+n",
        action="choose('many')",
        label="Many",
        help="Ask for several candidates, side by side: for a new prompt, or for the last one.",
        group="Many answers",
        slash="n",
        argument="COUNT PROMPT",
        prompt=True,
    ),
    Command(
        id="many.compare",
        keys="alt+m",
        action="choose('compare')",
        label="Compare",
        help="Ask several models the same, side by side.",
        group="Many answers",
        slash="compare",
        argument="MODEL… -- PROMPT",
        prompt=True,
    ),
    Command(
        id="many.side_by_side",
        keys="alt+b",
        action="choose('side_by_side')",
        label="Side by side",
        help="Show the last reply and its siblings side by side.",
        group="Many answers",
        slash="side-by-side",
    ),
    Command(
        id="many.before",
        keys="left",
        action="left",
        label="Before",
        help="Highlight the candidate before (while the prompt is empty).",
        group="Many answers",
        place="prompt",
        palette=False,
    ),
    Command(
        id="many.after",
        keys="right",
        action="right",
        label="After",
        help="Highlight the next candidate (while the prompt is empty).",
        group="Many answers",
        place="prompt",
        palette=False,
    ),
    Command(
        id="many.pick",
        keys="alt+p",
        action="choose('pick')",
        label="Pick",
        help="Go on with the highlighted candidate, or one by its number. Enter does so on an empty prompt.",
        group="Many answers",
        slash="pick",
        argument="NUMBER",
    ),
    Command(
        id="many.judge",
        keys="alt+v",
        action="choose('judge')",
        label="Judge",
        help="Have the candidates judged by the model, with reasons.",
        group="Many answers",
        slash="judge",
        argument="CRITERIA",
    ),
    Command(
        id="many.merge",
        keys="alt+g",
        action="choose('merge')",
        label="Merge",
        help="Have the candidates merged into one more by the model.",
        group="Many answers",
        slash="merge",
    ),
    Command(
        id="talks.open",
        keys="enter",
        action="screen.talk('open')",
        label="Open",
        help="Open the highlighted conversation.",
        group="List of conversations",
        place="talks",
        footer=True,
        palette=False,
    ),
    Command(
        id="talks.rename",
        keys="r,f6",
        action="screen.talk('rename')",
        label="Rename",
        help="Give the conversation another title.",
        group="List of conversations",
        slash="rename",
        argument="TITLE",
        place="talks",
        footer=True,
    ),
    Command(
        id="talks.pin",
        keys="p",
        action="screen.talk('pin')",
        label="Pin",
        help="Keep the conversation at the top of the list, or no longer.",
        group="List of conversations",
        slash="pin",
        place="talks",
    ),
    Command(
        id="talks.tags",
        keys="t",
        action="screen.talk('tags')",
        label="Tags",
        help="Give the conversation tags, by which the search can choose.",
        group="List of conversations",
        place="talks",
    ),
    Command(
        id="talks.archive",
        keys="a",
        action="screen.talk('archive')",
        label="Archive",
        help="Take the conversation out of the list, or back from the archive.",
        group="List of conversations",
        slash="archive",
        place="talks",
    ),
    Command(
        id="talks.archived",
        keys="A",
        action="screen.talk('archived')",
        label="Show archive",
        help="List what is in the archive, or again what is not.",
        group="List of conversations",
        place="talks",
    ),
    Command(
        id="talks.delete",
        keys="d,delete",
        action="screen.talk('delete')",
        label="Delete",
        help="Delete the conversation, unless it is undone.",
        group="List of conversations",
        slash="delete",
        place="talks",
        footer=True,
    ),
    Command(
        id="talks.undo_in_list",
        keys="u",
        action="screen.talk('undo')",
        label="Undo delete",
        help="Bring back what was deleted last.",
        group="List of conversations",
        place="talks",
        palette=False,
    ),
    Command(
        id="talks.leave",
        keys="escape",
        action="screen.talk('leave')",
        label="Leave",
        help="Go back to the prompt.",
        group="List of conversations",
        place="talks",
        palette=False,
    ),
    Command(
        id="models.loaded",
        keys="alt+l",
        action="show_loaded",
        label="Loaded models",
        help="Show what is loaded; talk to another model from the next prompt on, or unload one.",
        group="Models",
        slash="loaded",
    ),
    Command(
        id="models.unload",
        keys="f8",
        action="unload",
        label="Unload",
        help="Unload the highlighted model (in the list of loaded models).",
        group="Models",
        place="loaded",
        palette=False,
    ),
    Command(
        id="models.details",
        keys="tab",
        action="open_details",
        label="Details",
        help="Go to the quantizations of the highlighted model.",
        group="Models",
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.more_context",
        keys="plus,equals_sign",
        action="more_context",
        label="More context",
        help="Give the verdicts for a context twice as long (in the details).",
        group="Models",
        place="models",
        palette=False,
    ),
    Command(
        id="models.less_context",
        keys="minus",
        action="less_context",
        label="Less context",
        help="Give the verdicts for a context half as long (in the details).",
        group="Models",
        place="models",
        palette=False,
    ),
    Command(
        id="models.sort",
        keys="ctrl+s",
        action="sort",
        label="Sort",
        help="Sort the results by trending, downloads, likes or date.",
        group="Models",
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.format",
        keys="ctrl+t",
        action="format",
        label="Format",
        help="Search for GGUF or for safetensors models.",
        group="Models",
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.measure",
        keys="f7",
        action="measure",
        label="Measure",
        help="Measure how fast this machine computes: once, half a minute of all cores.",
        group="Models",
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.delete",
        keys="f8",
        action="delete",
        label="Delete",
        help="Delete the highlighted model from this machine, after asking.",
        group="Models",
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.undo",
        keys="ctrl+z",
        action="undo",
        label="Undo",
        help="Bring back the model that was deleted last.",
        group="Models",
        place="models",
        palette=False,
    ),
    Command(
        id="pulls.load",
        keys="enter",
        action="load",
        label="Load",
        help="Load the selected model, when it is here, and go back to the chat.",
        group="Pulls",
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.pause",
        keys="space,p",
        action="pause",
        label="Pause/go on",
        help="Pause the selected pull, or let it go on.",
        group="Pulls",
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.retry",
        keys="r",
        action="retry",
        label="Retry",
        help="Try the selected pull again, after it has failed.",
        group="Pulls",
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.up",
        keys="shift+up,K",
        action="move_up",
        label="Move up",
        help="Move the selected pull up: the first are pulled first.",
        group="Pulls",
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.down",
        keys="shift+down,J",
        action="move_down",
        label="Move down",
        help="Move the selected pull down.",
        group="Pulls",
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.cancel",
        keys="x,delete",
        action="cancel",
        label="Cancel",
        help="Cancel the selected pull and delete what has come of it, unless it is undone.",
        group="Pulls",
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.cancel_keep",
        keys="X,shift+delete",
        action="cancel_keep",
        label="Cancel, keep",
        help="Cancel the selected pull, but keep what has come for another time.",
        group="Pulls",
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.undo",
        keys="u",
        action="undo",
        label="Undo",
        help="Bring back the pull that was cancelled last.",
        group="Pulls",
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.clear",
        keys="c",
        action="clear",
        label="Clear done",
        help="Take the finished pulls off the list. The models stay.",
        group="Pulls",
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.go_on",
        keys="f9",
        action="go_on",
        label="Go on pulling",
        help="Go on with the pulls that were under way when the program ended.",
        group="Pulls",
        slash="go-on",
        footer=True,
    ),
    Command(
        id="view.chat",
        keys="f2",
        action="show_chat",
        label="Chat",
        help="Show the conversation.",
        group="Program",
    ),
    Command(
        id="view.models",
        keys="f3,ctrl+o",
        action="show_models",
        label="Models",
        help="Show the models: search, compare, pull, load.",
        group="Program",
        slash="models",
        footer=True,
    ),
    Command(
        id="view.pulls",
        keys="f4",
        action="show_pulls",
        label="Pulls",
        help="Show the pulls.",
        group="Program",
        slash="pulls",
        footer=True,
    ),
    Command(
        id="view.back",
        keys="escape",
        action="back",
        label="Chat",
        help="Go back to the conversation.",
        group="Program",
        footer=True,
        palette=False,
    ),
    Command(
        id="app.help",
        keys="f1",
        action="help",
        label="Help",
        help="Show all keys.",
        group="Program",
        slash="help",
        place="app",
        footer=True,
    ),
    Command(
        id="app.palette",
        keys="ctrl+p",
        action="command_palette",
        label="Commands",
        help="Search all commands.",
        group="Program",
        place="app",
        footer=True,
        palette=False,
    ),
    Command(
        id="app.theme",
        keys="f10",
        action="change_theme",
        label="Theme",
        help="Choose another theme.",
        group="Program",
        slash="theme",
        place="app",
    ),
    Command(
        id="app.quit",
        keys="ctrl+q",
        action="quit",
        label="Quit",
        help="Quit the program.",
        group="Program",
        slash="quit",
        place="app",
        footer=True,
    ),
)

CHAT_ACTIONS = frozenset(
    command.action.partition("(")[0]
    for command in COMMANDS
    if command.group in ("Prompt", "Reply", "Conversation", "Many answers")
)
"""What is done with the conversation, and only while it is seen."""
TURN_ACTIONS = CHAT_ACTIONS - {"talk"}
"""Those of them that are not for whole conversations."""


def bindings(place: Place) -> list[BindingType]:
    """The bindings of the screen, or of the prompt."""
    return [command.binding() for command in COMMANDS if command.place == place]


def can_do(command: Command, screen: Screen[Any], *arguments: str) -> bool:
    """Whether the command can be done now, from this screen, with what was typed after its name."""
    owner, (_, name, parameters) = _owner(command, screen), parse(command.action)
    return hasattr(owner, f"action_{name}") and bool(owner.check_action(name, (*parameters, *arguments)))


async def do(command: Command, screen: Screen[Any], *arguments: str) -> None:
    """Do it, with what was typed after its name, if it takes that."""
    _, name, parameters = parse(command.action)
    await screen.app.run_action(("", name, (*parameters, *arguments)), _owner(command, screen))


def _owner(command: Command, screen: Screen[Any]) -> App[Any] | Screen[Any]:
    return screen.app if command.place == "app" else screen


def keys_of(command: Command, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a command, as the user has set them."""
    return tuple(key.strip() for key in keymap.get(command.id, command.keys).split(",") if key.strip())


def key_display(app: App[Any], id: str, keymap: Mapping[str, str]) -> str:
    """The first key of a command, as one writes it in a sentence."""
    command = next(command for command in COMMANDS if command.id == id)
    key = next(iter(keys_of(command, keymap)), "")
    *held, last = key.split("+")
    display = app.get_key_display(Binding(last, ""))
    if (held and len(display) == 1) or (last[:1] == "f" and last[1:].isdigit()):
        display = display.upper()
    return "+".join([*(part.capitalize() for part in held), display])
