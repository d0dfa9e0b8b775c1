"""What is asked: the whole collection, or the documents that were chosen, as chips over the question."""

from html import escape

MOST_CHIPS = 6

Scope = tuple[tuple[str, str], ...]  # (id, name) of the documents that alone are asked; none: all


def scope_html(scope: Scope) -> str:
    """Nothing for a whole collection."""
    if not scope:
        return ""
    chips = "".join(
        f'<span class="at-chip"><span>{escape(name)}</span><button type="button" data-act="unchoose"'
        f' data-document="{escape(identity)}" aria-label="Do not ask {escape(name)}">×</button></span>'
        for identity, name in scope[:MOST_CHIPS]
    )
    more = len(scope) - MOST_CHIPS
    chips += f'<span class="at-note">and {more} more</span>' if more > 0 else ""
    return (
        '<div class="at-scope" role="group" aria-label="Documents that are asked"><span class="at-note">'
        f"Asking only</span>{chips}"
        '<button type="button" class="at-quiet" data-act="unchoose">Ask the whole collection</button></div>'
    )
