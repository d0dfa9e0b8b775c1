"""Text as requests may carry it: JSON can spell half a character, which no model and no database takes."""

from typing import Annotated

from pydantic import AfterValidator


def _whole(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("an unpaired surrogate is not a character")
    return text


Text = Annotated[str, AfterValidator(_whole)]
