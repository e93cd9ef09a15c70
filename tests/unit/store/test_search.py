"""What was said is found again, by words and by what surrounds them."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage import search
from spnl_tui.conversations.storage.search import Query, SearchFilter, SearchHit, snippet
from spnl_tui.conversations.storage.store import Store
from tests.support.conversations import talk


def shown(hit: SearchHit) -> str:
    return "".join(f"<{span.text}>" if span.hit else span.text for span in hit.snippet)


async def test_search_shows_the_words_in_context(store: Store) -> None:
    conversation = talk("What is a zebra?", "[bold]Zebras[/] are striped; a ZEBRA kicks.", title="Stripes")
    await store.add(conversation)
    hits = (await store.search("zebra")).hits
    assert {shown(hit) for hit in hits} == {
        "What is a <zebra>?",
        "[bold]<Zebras>[/] are striped; a <ZEBRA> kicks.",
    }
    assert {(hit.conversation, hit.turn, hit.role) for hit in hits} == {
        (conversation.id, turn.id, turn.role) for turn in conversation.turns()
    }
    (title,) = (await store.search("strip", limit=1)).hits
    assert (title.turn, shown(title)) == (None, "<Stripes>")
    assert (await store.search("strip", limit=1)).more


async def test_turn_with_the_most_matches_comes_first(store: Store) -> None:
    conversation = talk(
        "zebra, and many other things besides " * 3, "zebra zebra", "the zebra of many things"
    )
    await store.add(conversation)
    assert shown((await store.search("zebra")).hits[0]) == "<zebra> <zebra>"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("apple pie", {"apple pie", "pie of apple"}),
        ('"apple pie"', {"apple pie"}),
        ("apple -pie", {"apple tart"}),
        ("app", {"apple pie", "pie of apple", "apple tart"}),
        ("app tart", set()),
        ('"app"', set()),
        ("creme brulee", {"Crème brûlée"}),
        ("CRÈME", {"Crème brûlée"}),
        ("apple AND", set()),
        ("a* OR (x", set()),
        ("text:apple", set()),
        ('"', set()),
        ("-pie", set()),
        ("snake_case", {"a snake_case name"}),
    ],
)
async def test_typed_operators_have_no_meaning(store: Store, typed: str, found: set[str]) -> None:
    await store.add(talk("apple pie", "pie of apple", "apple tart", "Crème brûlée", "a snake_case name"))
    hits = (await store.search(typed)).hits
    assert {"".join(span.text for span in hit.snippet) for hit in hits} == found


async def test_any_text_can_be_typed(store: Store) -> None:
    for typed in (
        "\x00",
        "\ud800",
        "a" * 100_000,
        "* " * 500,
        "NEAR(a b)",
        "^a",
        "{text}: a",
        "'",
        "日本",
        "-",
    ):
        await store.search(typed)


async def test_a_search_is_filtered(store: Store) -> None:
    one, two = talk("zebra", "zebra"), talk("zebra", "zebra", model="qwen3:1.7b")
    two.archived = True
    shifted = [dataclasses.replace(turn, created_at=1000.0 + n) for n, turn in enumerate(one.turns())]
    one = Conversation.of(one, shifted)
    await store.add(one)
    await store.add(two)

    async def turns(**where: object) -> list[str | None]:
        return [hit.turn for hit in (await store.search("zebra", SearchFilter(**where))).hits]  # type: ignore[arg-type]

    assert len(await turns()) == 4
    assert await turns(until=1001) == [shifted[0].id]
    assert set(await turns(since=1001)) == {shifted[1].id, *(turn.id for turn in two.turns())}
    assert set(await turns(model="qwen3:1.7b")) == {turn.id for turn in two.turns()}
    assert await turns(model="1.7b") == []
    assert set(await turns(archived=False)) == {turn.id for turn in one.turns()}


@pytest.mark.parametrize("few", [50_000, 0])
async def test_tag_filters_a_search_with_few_or_many_turns(
    store: Store, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FEW_TAGGED", few)
    tagged = [talk("a zebra", "striped", title="zebra") for _ in range(3)]
    for conversation in tagged:
        conversation.tags = ("x", "y") if conversation is tagged[0] else ("x",)
    for conversation in [*tagged, talk("another zebra", "yes")]:
        await store.add(conversation)
    await store.save_deletion(tagged[2], tagged[2].delete_branch(tagged[2].path()[0].id))

    async def found(tag: str | None) -> set[tuple[str, bool]]:
        hits = (await store.search("zebra", SearchFilter(tag=tag))).hits
        return {(hit.conversation, hit.turn is None) for hit in hits}

    assert len(await found(None)) == 6
    titles = {(conversation.id, True) for conversation in tagged}
    assert await found("x") == titles | {(tagged[0].id, False), (tagged[1].id, False)}
    assert await found("y") == {(tagged[0].id, True), (tagged[0].id, False)}
    assert await found("z") == set()


async def test_search_finds_a_reply_as_it_ended_and_an_edited_turn(store: Store) -> None:
    conversation = talk("q")
    reply = conversation.add_turn("assistant", "first words")
    await store.save_turn(conversation, reply)
    assert (await store.search("first")).hits == ()
    conversation.append(reply.id, " last words")
    await store.save_turn(conversation, conversation.finish(reply.id, "stop"))
    assert len((await store.search("first last")).hits) == 1
    await store.save_turn(
        conversation, dataclasses.replace(conversation[reply.id].with_text("continued"), finish_reason=None)
    )
    assert (await store.search("first")).hits == ()
    await store.save_turn(conversation, conversation[reply.id].with_text("other"))
    assert (await store.search("first")).hits == ()
    assert len((await store.search("other")).hits) == 1


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


SENTENCES = {
    "composed": "un résumé composed",
    "decomposed": decomposed("un résumé decomposed"),
    "japanese": "昨日、京都タワーに登りました",
    "chinese": "我喜欢学习机器人",
    "korean": "안녕하세요 세계",
    "jamo": decomposed("한글을 배운다"),
    "german": "Große Straße",
    "turkish": "İzmir ırmak",
    "arabic": "الْكِتَابُ",
    "hebrew": "סֵפֶר",
    "hindi": "पुस्तक पढ़ना",
    "thai": "อ่านหนังสือ",
    "wide": "Ｆｕｌｌ ﬁne Ⅳ",
    "emoji": "party 🎉 now",
}


@pytest.mark.parametrize("again", [str, decomposed, lambda text: unicodedata.normalize("NFC", text)])
async def test_every_text_is_found_by_itself_in_any_form(store: Store, again: Callable[[str], str]) -> None:
    await store.add(talk(*SENTENCES.values()))
    for text in SENTENCES.values():
        hits = [shown(hit) for hit in (await store.search(again(text))).hits]
        assert [hit.replace("<", "").replace(">", "") for hit in hits] == [text]
        (quoted,) = (await store.search(f'"{again(text)}"')).hits
        assert any(span.hit for span in quoted.snippet)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("resume", {"composed", "decomposed"}),
        (decomposed("résumé"), {"composed", "decomposed"}),
        ("RÉSUMÉ", {"composed", "decomposed"}),
        ("京都", {"japanese"}),
        ("タワー", {"japanese"}),
        ("登り", {"japanese"}),
        ('"都京"', set()),
        ("机器", {"chinese"}),
        ("学习 -喜欢", set()),
        ("안녕", {"korean"}),
        ("하세요", {"korean"}),
        (decomposed("세계"), {"korean"}),
        ("한글", {"jamo"}),
        ("배운", {"jamo"}),
        ("strasse", {"german"}),
        ("STRASSE", {"german"}),
        ("izmir", {"turkish"}),
        ("الكتاب", {"arabic"}),
        ("ספר", {"hebrew"}),
        ("पुस्तक", {"hindi"}),
        ("หนังสือ", {"thai"}),
        ("full fine iv", {"wide"}),
    ],
)
async def test_search_ignores_accents_and_finds_parts_of_sentences(
    store: Store, typed: str, found: set[str]
) -> None:
    conversation = talk(*SENTENCES.values())
    await store.add(conversation)
    hits = (await store.search(typed)).hits
    names = dict(zip((turn.id for turn in conversation.path()), SENTENCES, strict=True))
    assert {names[hit.turn or ""] for hit in hits} == found
    assert all(any(span.hit for span in hit.snippet) for hit in hits)


async def test_titles_are_found_in_any_script_and_after_renaming(store: Store) -> None:
    conversation = talk("x", title="京都の旅")
    await store.add(conversation)
    assert shown((await store.search("京都")).hits[0]) == "<京都>の旅"
    await store.rename(conversation.id, decomposed("Café"))
    assert (await store.search("京都")).hits == ()
    assert len((await store.search("cafe")).hits) == 1


def test_marked_words_are_the_words_of_the_text() -> None:
    query = Query.parse("strasse 京都 cafe")
    assert query is not None
    spans = snippet(f"Die Straße in 京都 hat ein {decomposed('Café')}.", query.pattern)
    assert [span.text for span in spans if span.hit] == ["Straße", "京都", decomposed("Café")]


def test_query_consists_of_quoted_words_only() -> None:
    query = Query.parse('say "hello there" -now wor')
    assert query is not None
    assert query.match == '("say" AND "hello there" AND "wor" *) NOT "now"'


def test_snippet_is_cut_around_the_words() -> None:
    query = Query.parse("crème zebra")
    assert query is not None
    text = "zebra " + "filler\n" * 100 + "a Creme for\ta ZEBRA here " + "filler " * 100
    spans = snippet(text, query.pattern)
    shown = "".join(f"<{span.text}>" if span.hit else span.text for span in spans)
    assert "a <Creme> for a <ZEBRA> here filler" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 200
