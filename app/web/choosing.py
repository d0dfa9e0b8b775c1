"""What a click in an answer asks to see: a sentence, a citation, a passage, a page or a stretch of it.

Pure functions of what the browser sent, which may be anything, and of the conversation as it stands.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.web.conversation import Conversation, Turn
from app.web.panel import Shown
from app.web.reading import Spot, spot_of


def turn_index(data: Mapping[str, Any], conversation: Conversation) -> int | None:
    """Which turn a click is about; None where there is none of that number."""
    number = str(data.get("turn", ""))
    return int(number) if number.isdecimal() and int(number) < len(conversation) else None


def chosen_of(data: Mapping[str, Any], conversation: Conversation, shown: Shown | None) -> Shown | None:
    """What a click with `data` (as the browser sent it, so: anything) asks to see; None where nothing.

    Raises KeyError, TypeError or ValueError where `data` is incomplete or not numbers.
    """
    index = int(data["turn"])
    if not 0 <= index < len(conversation):
        return None
    turn = conversation[index]
    stretch = shown.stretch if shown is not None and shown.turn == index else None
    act = data.get("act")
    given = turn.shown
    if act == "citation" and given is not None:
        number = int(data["n"])
        spots = [spot_of(citation) for citation in given.citations if citation.n == number]
        return Shown(index, spots[0], stretch=stretch) if spots else None
    if act == "sentence" and given is not None:
        if data["sentence"] == "":
            return replace(shown, sentence=None) if shown is not None and shown.turn == index else None
        sentence = int(data["sentence"])
        if not 0 <= sentence < len(given.sentences):
            return None
        drawn = [
            cited for n in given.sentences[sentence].citations for cited in given.citations if cited.n == n
        ]
        spot = (
            spot_of(drawn[0]) if drawn else shown.spot if shown is not None and shown.turn == index else None
        )
        return Shown(index, spot, stretch=stretch, sentence=sentence)
    if act == "passage":
        spot = Spot(str(data["document"]), int(data["page"]), int(data["start"]), int(data["end"]))
        read = {
            (item.document_id, item.page, item.start, item.end)
            for stretch_read in turn.reads
            for item in stretch_read.memories
        }
        known = (spot.document_id, spot.page, spot.start, spot.end) in read
        return Shown(index, spot, stretch=stretch) if known else None
    if shown is None or shown.turn != index:
        return None
    if act == "page":
        return replace(shown, page=max(int(data["page"]), 1))
    if act == "stretch":
        return replace(shown, stretch=int(data["stretch"]) if data["stretch"] != "" else None)
    return None


def left_of(turn: Turn, shown: Shown) -> Spot | None:
    """The passage that was looked at, under the name that it has since its document was deleted."""
    read = {spot_of(memory) for each in turn.reads for memory in each.memories}
    read |= {spot_of(cited) for cited in (turn.shown.citations if turn.shown else [])}
    here = shown.spot
    if here is None or here in read:
        return here
    place = (here.page, here.start, here.end)
    return next((spot for spot in read if (spot.page, spot.start, spot.end) == place), None)
