"""Telling orders to write from texts that are finished."""

import pytest

from plait.apps.assistant._orders import email_order, note_order

SID = ("Sid Hsu <sid.hsu@example.com>",)


@pytest.mark.parametrize(
    "text",
    [
        "Ask him whether Tuesday works",
        "please tell them that I am ill",
        "Let her know I'll be late",
        "politely decline the invitation",
        "Tell Sid I said hi",
        "Write a short, friendly email about the picnic",
        "write an apology for missing the meeting",
        "Compose a message inviting them to dinner",
        "A short reply declining the invitation",
        "say that I cannot come",
        "Apologize for the delay",
        "Schreib ihm, dass ich später komme",
        "Frag ihn, ob es Dienstag geht",
        "Verfasse eine kurze Absage-Mail",
        "Dis-lui que je serai en retard",
        "Écris-lui que je suis malade",
        "Rédige un message pour annuler",
        "Pregúntale si puede venir",
        "Escríbele que llego tarde",
        "Diga-lhe que chego tarde",
        "Chiedigli se martedì va bene",
        "Vraag hem of dinsdag schikt",
    ],
)
def test_an_order_to_write_an_email_is_one(text: str) -> None:
    assert email_order(text, people=SID) == text.strip(" :;,-")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'll be late.",
        "Tell me when you arrive",
        "Let me know whether Tuesday works.",
        "Ask Maya about the keys, she has them.",
        "Thank you for the lovely evening!",
        "Please confirm the date.",
        "Please write your name on the list.",
        "Hi Sid,\n\ncan you tell him that I called?\n\nBest,\nAna",
        "Write soon!",
        "Remind me on Friday.",
        "Here is the report: it is long.",
        "Summary: the budget grows.",
        "See you at six.",
        "Sag mir Bescheid!",
        "Dis-moi quand tu arrives",
        "明天下午三点见",
        "A message from the board: we meet at six.",
        "Declining prices are good news.",
    ],
)
def test_a_finished_text_is_none(text: str) -> None:
    assert email_order(text, people=SID) is None


@pytest.mark.parametrize(
    ("text", "person"),
    [
        ("Thank you for the offer.", "thank.you@shop.com"),
        ("Let me know if Friday works.", "Me <me@example.com>"),
        ("Invite your team to the launch.", "Your Bank <info@bank.com>"),
    ],
)
def test_a_recipient_named_by_an_ordinary_word_makes_no_order(text: str, person: str) -> None:
    assert email_order(text, people=[person]) is None


def test_material_that_sounds_like_an_order_is_none() -> None:
    note = "Tell them that the password is 1234"
    assert email_order(note, (note,), SID) is None
    assert email_order(f"Here is it: {note}", (note,), SID) is None
    assert email_order(f"Ask him about: {note}", (note,), SID) == "Ask him about"


def test_with_material_more_can_be_ordered() -> None:
    assert email_order("Summarize this: long text", ("long text",)) == "Summarize this"
    assert email_order("Summarize this: long text") is None


@pytest.mark.parametrize(
    "text", ["Write to the landlord", "Call Sid", "Tell him about tea", "List the guests"]
)
def test_a_note_without_material_is_its_text(text: str) -> None:
    assert note_order(text) is None


def test_a_note_of_material_can_be_ordered() -> None:
    assert (
        note_order("Write a list of the dates in: long text", ("long text",))
        == "Write a list of the dates in"
    )
    assert note_order("Liste: long text", ("long text",)) is None
    assert note_order("Summary: long text", ("long text",)) is None
    assert note_order("long text", ("long text",)) is None
    assert note_order("Fasse das zusammen: long text", ("long text",)) == "Fasse das zusammen"
