"""The real page in a real browser, over a service without a model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.web.browsing import NEEDS_CHROMIUM, QUESTION, ask, centre, reload
from tests.app.web.double import DoubleService
from tests.app.web.scripted import LEASE

pytestmark = NEEDS_CHROMIUM


def test_who_waits_reads_how_many_are_ahead_until_the_answer_comes(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    service.ahead = 2
    page = visit()
    ask(page, "How can this be ended?")
    expect(page.locator("#at-live .at-waiting")).to_have_text("2 questions ahead of yours.")
    service.turn.set()
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    expect(page.locator(".at-waiting")).to_have_count(0)


def test_from_a_suggested_question_to_the_marked_page(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    service.pace = 0.01
    page = visit()
    page.screenshot(path=tmp_path / "start.png")
    page.click(".at-suggestion >> nth=1")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    assert service.asked[0][:3] == (
        "How can the agreement be terminated, and with how much notice?",
        "Contracts",
        "memory",
    )
    image = page.locator("#at-evidence img")
    expect(image).to_be_visible()
    page.wait_for_function("document.querySelector('#at-evidence img').naturalWidth > 0")
    page.screenshot(path=tmp_path / "answer.png")

    frame, words = page.locator(".at-page").bounding_box(), page.locator(".at-word.at-s4")
    assert frame is not None
    x, y = centre(words.first)
    start = LEASE.index("ninety days'")
    (box,) = service.rectangles("lease", 1, [(start, start + len("ninety days'"))])[0]
    scale = frame["width"] / 612
    assert x == pytest.approx(frame["x"] + scale * (box[0] + box[2]) / 2, abs=1.5)
    assert y == pytest.approx(frame["y"] + scale * (box[1] + box[3]) / 2, abs=1.5)

    page.click("#at-past .at-answer .at-cite >> text=2")
    expect(page.locator("#at-evidence mark.at-s4")).to_have_text("Ninety")
    expect(page.locator(".at-source.at-current .at-source-name")).to_have_text("Meeting notes 4 June.txt")
    page.click("#at-evidence .at-decode >> text=tokens 64–91")
    expect(page.locator("#at-evidence .at-bars").first.locator("li")).to_have_count(2)
    page.click("#at-evidence button.at-bar >> nth=0")
    expect(image).to_be_visible()
    page.click("#at-evidence >> text=Zoom")
    assert page.locator(".at-page").bounding_box()["width"] > 1.4 * frame["width"]  # type: ignore[index]
    page.click("#at-evidence [aria-label='Next page']")
    expect(image).to_have_attribute("alt", "Page 2 of Office lease, Harbour Row.pdf")


def test_stopping_keeps_what_was_written_and_the_next_question_has_a_history(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    service.pace = 0.2
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-live .at-writing")).to_contain_text("Either party")
    page.click("#at-stop")
    expect(page.locator("#at-past")).to_contain_text("You stopped this answer.")
    expect(page.locator("#at-ask")).to_be_visible()
    service.pace = 0.0
    page.click("#at-mode >> text=From re-read text")
    ask(page, "And by whom?")
    expect(page.locator("#at-past .at-turn")).to_have_count(2)
    assert service.asked[1][2] == "text"
    assert service.asked[1][3][0][0] == "How can it be ended?"
    page.click("#at-fresh")
    expect(page.locator(".at-suggestion").first).to_be_visible()


def test_refusals_are_said_plainly(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    service.failing = "The model could not be loaded; run attest doctor."
    ask(page, "Why?")
    expect(page.locator("#at-past [role=alert]")).to_have_text(service.failing)
    service.failing, service.abstaining = None, True
    ask(page, "What is the moon made of?")
    expect(page.locator("#at-past .at-abstained")).to_contain_text("do not support an answer")
    page.click("#at-past .at-source >> nth=1")
    expect(page.locator("#at-evidence h2")).to_contain_text("Meeting notes")


def test_documents_arrive_progress_and_go(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    bar = page.locator("[role=progressbar][aria-label='Scanned deed.pdf']")
    expect(bar).to_have_attribute("aria-valuenow", "3")
    service.library["scan"] = replace(service.library["scan"], done=17)
    expect(bar).to_have_attribute("aria-valuenow", "17")

    (tmp_path / "§ 9 Söhne.txt").write_text("text", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("")
    files = [tmp_path / "§ 9 Söhne.txt", tmp_path / "empty.txt"]
    page.set_input_files("#at-drop input[type=file]", files)
    expect(page.locator("#at-notice")).to_contain_text("1 document added.")
    expect(page.locator("#at-notice")).to_contain_text("empty.txt: the file is empty")
    expect(page.locator("#at-documents")).to_contain_text("§ 9 Söhne.txt")
    assert sorted(service.added) == [("empty.txt", b""), ("§ 9 Söhne.txt", b"text")]
    left = [path for path in service.folder.glob("attest-uploads-*/**/*") if path.is_file()]
    assert left == []

    lease = page.locator(".at-document", has_text="Office lease")
    lease.hover()
    lease.get_by_role("button", name="Remove Office lease, Harbour Row.pdf").click()
    lease.get_by_role("button", name="Keep").click()
    expect(lease.locator(".at-confirm")).to_have_count(0)
    assert "lease" in service.library
    lease.hover()
    lease.get_by_role("button", name="Remove Office lease, Harbour Row.pdf").click()
    lease.locator(".at-danger").click()
    expect(page.locator("#at-notice")).to_contain_text("4.2 MB freed")
    expect(lease).to_have_count(0)
    assert "lease" not in service.library

    scan = page.locator(".at-document", has_text="Scanned deed")
    scan.hover()
    scan.get_by_role("button", name="Stop Scanned deed.pdf").click()
    expect(scan).to_contain_text("cancelled")


def test_a_new_collection(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    page.click("#at-collection-new")
    page.fill("#at-collection-name input, #at-collection-name textarea", "Contracts")
    page.click("#at-collection-create")
    expect(page.locator("#at-notice [role=alert]")).to_contain_text("exists already")
    page.fill("#at-collection-name input, #at-collection-name textarea", "Trials")
    page.click("#at-profile >> text=Medical")
    page.click("#at-collection-create")
    expect(page.locator("#at-documents")).to_contain_text("No documents yet.")
    assert service.kinds["Trials"] == "medical"
    expect(page.locator("#at-collection-choice input")).to_have_value("Trials")


def test_hostile_documents_run_nothing(service: DoubleService, visit: Callable[..., Page]) -> None:
    name = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    for key, document in service.library.items():
        service.library[key] = replace(document, name=name, error=name, warnings=[(1, name)])
    service.kinds = {"Medicines": "medical", name: "legal"}
    page = visit()
    ask(page, name)
    expect(page.locator("#at-past .at-source")).to_have_count(1)
    expect(page.locator("#at-evidence .at-text")).to_contain_text("window.hacked=1</script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#at-past .at-answer a").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_one_view_at_a_time(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path, scheme: str
) -> None:
    page = visit(390, 844, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("getComputedStyle(document.querySelector('.gradio-container')).backgroundColor")
    assert (dark == "rgb(21, 24, 26)") == (scheme == "dark")
    expect(page.locator("#at-library")).to_be_hidden()
    page.click(".at-suggestion >> nth=0")
    page.locator("#at-past .at-cite").first.click()
    expect(page.locator("#at-evidence .at-outline")).to_be_visible()
    expect(page.locator(QUESTION)).to_be_hidden()
    page.screenshot(path=tmp_path / f"telephone-{scheme}.png")
    page.click("button[data-view=documents]")
    expect(page.locator(".at-document").first).to_be_visible()


def test_a_sentence_shows_what_it_drew_on(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    sentence = page.locator("#at-past .at-sentence", has_text="If rent stays unpaid")
    card = page.locator("#at-past .at-card[data-sentence='2']")
    expect(card).to_be_hidden()
    sentence.hover()
    expect(card).to_be_visible()
    expect(card.locator(".at-drawn li")).to_have_count(2)
    expect(card.locator(".at-read").first).to_have_text("28.3 %")
    expect(card.locator(".at-nats").first).to_have_text("not measured")
    page.screenshot(path=tmp_path / "sentence.png")
    page.mouse.move(10, 890)
    expect(card).to_be_hidden()
    sentence.focus()  # as with the keyboard
    expect(card).to_be_visible()
    sentence.press("Enter")
    expect(page.locator("#at-evidence .at-chosen-sentence")).to_contain_text("If rent stays unpaid")
    expect(page.locator("#at-evidence .at-drawn-on")).to_have_count(2)
    page.keyboard.press("Escape")
    page.click("#at-evidence >> text=Check what was needed")
    expect(page.locator("#at-evidence .at-nats").first).to_have_text("0.50 nats")
    expect(page.locator("#at-evidence [data-act=needed]")).to_have_count(0)
    sentence.hover()
    expect(card.locator(".at-nats").first).to_have_text("0.50 nats")


def test_a_reload_finds_the_conversation_with_its_evidence(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    page.wait_for_url("**/?conversation=1")
    page.click("#at-past [aria-label='Good answer']")
    expect(page.locator("#at-past [aria-label='Good answer']")).to_have_attribute("aria-pressed", "true")
    page.click("#at-past .at-note-form summary")
    page.fill("#at-past .at-field", "Right, but clause 5 matters too.")
    page.click("#at-past >> text=Keep note")
    expect(page.locator("#at-past .at-note-form summary")).to_contain_text("Right, but clause 5")
    reload(page)
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    expect(page.locator("#at-past [aria-label='Good answer']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#at-past .at-note-form summary")).to_contain_text("Right, but clause 5")
    expect(page.locator("#at-evidence img")).to_be_visible()
    ask(page, "And by whom?")
    expect(page.locator("#at-past .at-turn")).to_have_count(2)
    assert [asked for asked, _ in service.asked[1][3]] == ["How can it be ended?"]
    page.click("[data-side=conversations]")
    expect(page.locator(".at-conversation")).to_have_count(1)
    page.screenshot(path=tmp_path / "conversations.png")


def test_conversations_are_found_opened_renamed_and_deleted(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    for question in ("How can it be ended?", "What is the rent?"):
        ask(page, question)
        expect(page.locator("#at-past .at-source")).to_have_count(3)
        page.click("#at-fresh")
        expect(page.locator(".at-suggestion").first).to_be_visible()
    page.click("[data-side=conversations]")
    expect(page.locator(".at-conversation")).to_have_count(2)
    page.fill("#at-search textarea, #at-search input", "rent")
    expect(page.locator(".at-conversation")).to_have_count(1)
    page.click(".at-conversation >> text=What is the rent?")
    expect(page.locator("#at-past .at-question")).to_have_text("What is the rent?")
    page.click("[aria-label='Rename What is the rent?']")
    page.fill("#at-rename-title textarea, #at-rename-title input", "Rent of the office")
    page.click("#at-rename")
    expect(page.locator(".at-conversation-title")).to_have_text("Rent of the office")
    page.click("[aria-label='Delete Rent of the office']")
    page.click(".at-conversation .at-danger")
    expect(page.locator("#at-conversations")).to_contain_text("No conversation has these words.")
    expect(page.locator("#at-past .at-turn")).to_have_count(0)
    assert [talk.title for talk in service.conversations.talks.values()] == ["How can it be ended?"]


def test_a_citation_says_that_its_document_was_deleted(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-evidence img")).to_be_visible()
    lease = page.locator(".at-document", has_text="Office lease")
    lease.hover()
    lease.get_by_role("button", name="Remove Office lease, Harbour Row.pdf").click()
    lease.locator(".at-danger").click()
    expect(page.locator("#at-evidence h2")).to_contain_text("Source deleted")
    expect(page.locator("#at-past")).to_contain_text("was deleted since")
    expect(page.locator("#at-past")).not_to_contain_text("Office lease")
    page.click("#at-past .at-answer .at-cite >> text=2")
    expect(page.locator("#at-evidence mark.at-s4")).to_have_text("Ninety")
    page.screenshot(path=tmp_path / "deleted.png")


def test_the_other_ways_to_answer_side_by_side_and_the_report(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    page.click("#at-past >> text=Compare")
    expect(page.locator(".at-compare-column")).to_have_count(3)
    expect(page.locator(".at-compare-column").nth(1)).to_contain_text("It depends on the contract.")
    page.screenshot(path=tmp_path / "compared.png")
    with page.expect_download() as download:
        page.click("#at-past >> text=Why this answer")
    report = tmp_path / "why.html"
    download.value.save_as(report)
    assert page.context.browser is not None
    context = page.context.browser.new_context(offline=True)
    offline = context.new_page()
    problems: list[str] = []
    offline.on("console", lambda message: problems.append(message.text))
    offline.goto(report.as_uri())
    expect(offline.locator("h1")).to_have_text("How can it be ended?")
    assert offline.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert offline.locator("img").count() == 2
    offline.screenshot(path=tmp_path / "report.png", full_page=True)
    assert problems == []
    context.close()
