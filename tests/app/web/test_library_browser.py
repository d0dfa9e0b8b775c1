"""The library, the sheets and the keys of the real page in a real browser, over a service without a model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.app.web.browsing import NEEDS_CHROMIUM, QUESTION, ask
from tests.app.web.double import Check, DoubleService
from tests.app.web.shelf import Document

pytestmark = NEEDS_CHROMIUM


def pick(page: Page, *found: str) -> None:
    for name in found:
        page.locator(".at-document", has_text=name).locator(".at-pick").click()
    expect(page.locator(".at-selection [role=status]")).to_have_text(f"{len(found)} selected")


def test_documents_are_found_filtered_and_sorted(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    for number in range(120):
        name = f"Agreement {number:03}.pdf"
        service.library[name] = Document(name, name, pages=number, bytes=1000 * number)
    page = visit()
    expect(page.locator("#at-facts-line")).to_contain_text("Legal profile · 127 documents")
    page.fill(".at-find", "agreement 11")
    expect(page.locator(".at-document")).to_have_count(10)
    page.select_option("[name=order]", "pages")
    expect(page.locator(".at-document-name").first).to_have_text("Agreement 119.pdf")
    page.fill(".at-find", "")
    page.select_option("[name=standing]", "failed")
    expect(page.locator(".at-document-name")).to_have_text(["Guarantee.pdf"])
    page.fill(".at-find", "nothing like it")
    expect(page.locator("#at-documents")).to_contain_text("No document is like that.")
    page.fill(".at-find", "")
    page.select_option("[name=standing]", "")
    page.click(".at-widen")
    expect(page.locator("#at-reader")).to_be_hidden()
    page.click(".at-column >> text=Name")
    expect(page.locator(".at-document-name").first).to_have_text("Agreement 000.pdf")
    page.click(".at-column >> text=Name")
    expect(page.locator(".at-document-name").first).to_have_text("Side letter.docx")
    page.click("[aria-label=Later]")
    expect(page.locator(".at-paging")).to_contain_text("51–100 of 127")
    page.screenshot(path=tmp_path / "wide.png")
    page.click(".at-widen")
    expect(page.locator(QUESTION)).to_be_visible()


def test_several_at_once_are_asked_moved_and_deleted(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    pick(page, "Office lease", "Meeting notes")
    page.click("[data-act=ask-picked]")
    expect(page.locator("#at-scope .at-chip")).to_have_count(2)
    expect(page.locator("#at-documents .at-pick:checked")).to_have_count(0)
    expect(page.locator(QUESTION)).to_be_focused()
    page.click("[aria-label='Do not ask Meeting notes 4 June.txt']")
    expect(page.locator("#at-scope .at-chip")).to_have_count(1)
    ask(page, "How can it be ended?")
    expect(page.locator("#at-past .at-timing")).to_contain_text("asked of one document")
    assert service.scopes == [["lease"]]
    page.screenshot(path=tmp_path / "chosen.png")
    page.click("#at-scope >> text=Ask the whole collection")
    ask(page, "And by whom?")
    expect(page.locator("#at-past .at-turn")).to_have_count(2)
    assert service.scopes == [["lease"], None]

    pick(page, "Annexes", "Side letter")
    page.click("#at-selection [data-act=move]")
    page.select_option("dialog select", "Medicines")
    page.click("dialog >> text=Move >> nth=-1")
    expect(page.locator("#at-notice")).to_contain_text("2 documents moved to “Medicines”.")
    assert {service.library[key].collection for key in ("half", "next")} == {"Medicines"}

    pick(page, "Guarantee", "Scanned deed")
    page.click("#at-selection [data-act=delete]")
    expect(page.locator("dialog[open]")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert "broken" in service.library
    page.click("#at-selection [data-act=delete]")
    page.click("dialog .at-danger")
    expect(page.locator("#at-notice")).to_contain_text("2 documents removed: 4 passages")
    assert not {"broken", "scan"} & service.library.keys()
    expect(page.locator(".at-selection")).to_have_count(0)


def test_a_document_is_renamed_unlocked_and_tried_again(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    lease = page.locator(".at-document", has_text="Office lease")
    lease.hover()
    lease.get_by_role("button", name="Ask only").click()
    expect(page.locator("#at-scope .at-chip")).to_contain_text("Office lease")
    lease.hover()
    lease.get_by_role("button", name="Rename Office lease").click()
    field = page.locator("dialog .at-field")
    expect(field).to_be_focused()
    field.fill(" ")
    field.press("Enter")
    expect(page.locator("dialog [role=alert]")).to_have_text("a document needs a name")
    page.locator("dialog .at-field").fill("Harbour Row.pdf")
    page.locator("dialog .at-field").press("Enter")
    expect(page.locator(".at-document-name", has_text="Office lease")).to_have_count(0)
    expect(page.locator(".at-document-name", has_text="Harbour Row.pdf")).to_have_count(1)
    assert service.library["lease"].name == "Harbour Row.pdf"
    expect(page.locator("#at-scope .at-chip")).to_contain_text("Harbour Row.pdf")
    assert "Office lease" not in page.locator("#at-scope").inner_text()

    page.click("[aria-label='Unlock Guarantee.pdf']")
    page.fill("dialog [type=password]", "wrong")
    page.click("dialog .at-primary")
    expect(page.locator("dialog [role=alert]")).to_contain_text("try another one")
    assert page.locator("dialog [type=password]").input_value() == ""
    page.fill("dialog [type=password]", service.shelves.password)
    page.click("dialog .at-primary")
    expect(page.locator("#at-notice")).to_contain_text("“Guarantee.pdf” is unlocked")
    service.library["half"] = replace(service.library["half"], status="failed", error="the disk was full")
    page.click("[aria-label='Try again Annexes.pdf']")
    expect(page.locator("#at-notice")).to_contain_text("1 of 1 will be tried again.")
    assert service.shelves.retried == ["broken", "half"]


def test_many_files_are_added_only_after_the_readers_word(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    files = [tmp_path / f"file {number}.txt" for number in range(25)]
    for number, file in enumerate(files):
        file.write_text(f"text {number}")
    page = visit()
    page.set_input_files("#at-drop input[type=file]", files)
    expect(page.locator("dialog[open] h2")).to_have_text("Add 25 documents?")
    expect(page.locator("dialog[open]")).to_contain_text("about 480.0 MB")
    expect(page.locator("dialog[open]")).to_contain_text("about 1.5 h at the pace of the last documents")
    page.screenshot(path=tmp_path / "forecast.png")
    assert service.added == []
    assert {path.suffix for path in service.shelves.forecast_of} == {".txt"}
    page.click("dialog [data-act=close]")
    expect(page.locator("dialog[open]")).to_have_count(0)
    left = [path for path in service.folder.glob("attest-uploads-*/**/*") if path.is_file()]
    assert (service.added, left) == ([], [])
    page.set_input_files("#at-drop input[type=file]", files)
    page.click("dialog >> text=Add them")
    expect(page.locator("#at-notice")).to_contain_text("25 documents added.")
    assert sorted(name for name, _ in service.added) == sorted(file.name for file in files)
    service.shelves.free = 1_000_000
    page.set_input_files("#at-drop input[type=file]", files)
    expect(page.locator("dialog[open] [role=alert]")).to_contain_text("not enough room")
    expect(page.locator("dialog >> text=Add them")).to_have_count(0)


def test_a_collection_is_renamed_and_deleted_with_its_receipt(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    page.click("[data-act=edit-collection]")
    page.fill("dialog .at-field", "Medicines")
    page.click("dialog .at-primary")
    expect(page.locator("dialog [role=alert]")).to_contain_text("already")
    page.fill("dialog .at-field", "Leases")
    page.click("dialog .at-primary")
    expect(page.locator("#at-collection-choice input")).to_have_value("Leases")
    assert list(service.kinds) == ["Leases", "Medicines"]
    page.click("[data-act=edit-collection]")
    page.click("dialog summary")
    page.click("dialog .at-danger")
    expect(page.locator("#at-notice")).to_contain_text("Collection “Leases” and 7 documents removed")
    expect(page.locator("#at-collection-choice input")).to_have_value("Medicines")
    assert list(service.kinds) == ["Medicines"]


def test_a_question_is_edited_and_asked_again(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    for question in ("How can it be ended?", "And by whom?", "What is the rent?"):
        count = page.locator("#at-past .at-turn").count()
        ask(page, question)
        expect(page.locator("#at-past .at-turn")).to_have_count(count + 1)
    page.click("[aria-label='Edit and ask again: And by whom?']")
    expect(page.locator("#at-again")).to_contain_text("this answer and those after it stay in the old one")
    expect(page.locator(QUESTION)).to_have_value("And by whom?")
    expect(page.locator(QUESTION)).to_be_focused()
    ask(page, "And by which party?")
    expect(page.locator("#at-past .at-question")).to_have_text(
        ["How can it be ended?", "And by which party?"]
    )
    assert [asked for asked, _ in service.asked[-1][3]] == ["How can it be ended?"]
    page.wait_for_url("**/?conversation=2")
    expect(page.locator("#at-again .at-scope")).to_have_count(0)
    assert [kept.question for kept in service.conversations.answers(1)] == [
        "How can it be ended?",
        "And by whom?",
        "What is the rent?",
    ]
    page.click("[aria-label^='Edit and ask again'] >> nth=0")
    page.click("#at-again >> text=Cancel")
    expect(page.locator(QUESTION)).to_have_value("")


def test_the_sheet_of_health_says_what_is_wrong(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit()
    page.click("text=Health")
    expect(page.locator("dialog[open]")).to_contain_text("Everything is as it should be.")
    expect(page.locator("dialog[open]")).to_contain_text("no CUDA device was found")
    expect(page.locator("dialog[open]")).to_contain_text("220, 88.0 MB")
    page.screenshot(path=tmp_path / "health.png")
    page.click("dialog >> text=Check every memory")
    expect(page.locator("dialog[open]")).to_contain_text("All was read")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    service.checks.append(Check("disk", "warning", "little is free; run `attest memories compact`"))
    service.audited = ["a memory has another checksum"]
    page.click("text=Health")
    expect(page.locator("dialog[open] .at-check-warning")).to_contain_text("little is free")
    expect(page.locator("dialog[open] .at-check-warning code")).to_have_text("attest memories compact")
    page.click("dialog >> text=Check every memory")
    expect(page.locator("dialog[open] [role=alert]")).to_contain_text("a memory has another checksum")
    page.click("dialog[open] >> text=Close")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_another_model_is_chosen_and_its_memories_are_written(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    service.lacking = 1380
    page = visit()
    page.click("text=Health")
    sheet = page.locator("dialog[open]")
    expect(sheet).to_contain_text("1,380 passages have no memory of this model yet")
    page.click("dialog >> text=Write all now")
    expect(sheet.locator("[role=status]").first).to_contain_text("of 3 documents are being written")
    expect(sheet).not_to_contain_text("no memory of this model")
    page.click("dialog summary >> text=Use another model")
    page.screenshot(path=tmp_path / "model.png")
    page.press("dialog .at-field", "Enter")
    expect(sheet.locator("[role=alert]")).to_have_text("no model ''")
    page.click("dialog summary >> text=Use another model")
    page.fill("dialog .at-field", "/models/larger.gguf")
    page.press("dialog .at-field", "Enter")
    expect(sheet).to_contain_text("the line at the top says when it answers")
    expect(page.locator(".at-status")).to_contain_text("loading the model /models/larger.gguf")


def test_keys_do_what_their_sheet_says(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    ask(page, "How can it be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator(".at-source.at-current .at-source-name")).to_have_text("Meeting notes 4 June.txt")
    page.keyboard.press("p")
    expect(page.locator(".at-source.at-current .at-number")).to_have_text("1")
    page.keyboard.press("?")
    expect(page.locator("#at-help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#at-help")).to_be_hidden()
    page.keyboard.press("?")
    page.evaluate(
        "() => { const sheet = document.querySelector('#at-help'), had = document.activeElement;"
        " sheet.close(); had.dispatchEvent(new KeyboardEvent('keydown', {key: 'w', bubbles: true})); }"
    )  # a key that comes before the browser has taken the keyboard from the sheet
    expect(page.locator("#at-reader")).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator(".at-find")).to_be_focused()
    page.keyboard.type("lease")  # letters are letters there
    expect(page.locator(".at-document")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    page.keyboard.press("e")
    expect(page.locator(QUESTION)).to_have_value("How can it be ended?")
    page.locator(QUESTION).press("Escape")
    page.keyboard.press("/")
    expect(page.locator(QUESTION)).to_be_focused()


def test_a_telephone_and_letters_of_twice_the_size_lose_nothing(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path
) -> None:
    for width, height in ((390, 844), (720, 450)):
        page = visit(width, height, "dark")
        page.click("button[data-view=documents]")
        pick(page, "Office lease")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('#at-library *')].every("
            f"each => each.getBoundingClientRect().right <= {width} + 1)"
        )
        page.screenshot(path=tmp_path / f"documents-{width}.png")
        page.click("[data-act=ask-picked]")
        expect(page.locator(QUESTION)).to_be_visible()
        page.click("text=Health")
        expect(page.locator("dialog[open]")).to_be_visible()
        box = page.locator("dialog[open]").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        page.screenshot(path=tmp_path / f"health-{width}.png")


def test_rated_answers_are_taken_away(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    page.click("[data-side=conversations]")
    with page.expect_download() as download:
        page.click("#at-export a")
    assert download.value.suggested_filename == "attest-ratings.zip"
    path = download.value.path()
    assert path.read_bytes() == service.ratings()
