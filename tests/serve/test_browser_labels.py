"""Which labels, and how many results."""

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_labels_and_the_number_of_results_are_chosen(page, cherry):
    browsing.ask(page, cherry)
    label = page.get_by_label("Only with the label")
    browsing.again(page, lambda: label.fill("plum's"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's"}
    label.fill("lim")
    browsing.again(page, lambda: label.press("Enter"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's", "lime"}
    browsing.again(page, lambda: page.locator("#count").select_option("24"))
    assert page.locator(".card").count() == 16
    browsing.again(page, lambda: page.get_by_role("button", name="Remove the label plum's").click())
    assert page.locator(".card").count() == 8
    browsing.again(page, lambda: label.press("Backspace"))
    assert page.locator(".card").count() == 24


def test_a_start_is_offered_among_the_chosen_labels(page):
    label, chosen = page.get_by_label("Only with the label"), page.locator(".card .label")
    label.fill("lime")
    expect(page.locator(".card")).to_have_count(8)
    assert set(chosen.all_text_contents()) == {"lime"}
    label.press("Backspace")
    expect(page.locator(".card")).to_have_count(24)


def test_a_label_that_begins_with_another_is_typed(page):
    labels = [{"label": label, "count": 8} for label in ("Lime", "lime", "limestone", "plum's")]
    page.route("**/labels", lambda route: route.fulfill(json={"labels": labels}))
    page.reload()
    label, chips = page.get_by_label("Only with the label"), page.locator("#chips")
    expect(page.locator("#labels option")).to_have_count(4)
    label.press_sequentially("limestone")
    expect(chips).to_have_text("limestone")
    expect(label).to_have_value("")
    label.press_sequentially("lime")
    expect(chips).to_have_text("limestone")
    label.press("Enter")
    expect(chips).to_have_text("limestonelime")
    # What browsers send where one is chosen from the list: headless ones show none.
    replaced = 'new InputEvent("input", { inputType: "insertReplacementText" })'
    for event in ('new Event("input")', replaced):
        label.press("Backspace")
        expect(chips).to_have_text("limestone")
        label.evaluate(f"(input) => {{ input.value = 'lime'; input.dispatchEvent({event}); }}")
        expect(chips).to_have_text("limestonelime")


def test_nothing_similar_holds_within_the_labels_that_were_chosen(page, noise):
    browsing.ask(page, noise)
    label = page.get_by_label("Only with the label")
    browsing.again(page, lambda: label.fill("lime"))
    expect(page.get_by_role("heading")).to_have_text("Nothing similar labelled “lime”")
    expect(page.locator("#verdict")).to_contain_text("The nearest image with this label scores")
    expect(page.locator("#verdict")).to_contain_text("Images with other labels were not looked at.")
    browsing.again(page, lambda: label.fill("plum's"))
    expect(page.get_by_role("heading")).to_have_text("Nothing similar labelled “lime” or “plum's”")
    expect(page.locator("#verdict")).to_contain_text("with one of these labels scores")


def offer(page, labels):
    """Loads the page over an index that has such labels, the most frequent first."""
    counted = [{"label": label, "count": 8} for label in labels]
    page.route("**/labels", lambda route: route.fulfill(json={"labels": counted}))
    page.reload()
    expect(page.get_by_label("Only with the label")).to_be_visible()


def test_of_very_many_labels_those_that_match_are_offered(page):
    offer(page, [f"kind {i:04d}" for i in range(1500)])
    options = page.locator("#labels option")
    expect(options).to_have_count(50)
    page.get_by_label("Only with the label").press_sequentially("1234")
    expect(options).to_have_count(1)
    expect(options).to_have_attribute("value", "kind 1234")
    page.keyboard.press("Enter")
    expect(page.locator("#chips")).to_have_text("kind 1234")
    expect(options).to_have_count(50)


def test_the_nearest_label_begins_with_what_is_typed(page):
    offer(page, ["pineapple tart", "apple", "Apple pie"])
    label, chips = page.get_by_label("Only with the label"), page.locator("#chips li")
    label.press_sequentially("appl")
    label.press("Enter")
    expect(chips).to_have_text("apple")
    label.press_sequentially("TART")
    label.press("Enter")
    expect(chips).to_have_text(["apple", "pineapple tart"])


def test_a_label_is_typed_in_the_other_form_of_its_letters(page):
    offer(page, ["cafe\u0301", "cafe\u0301 noir"])
    label, chips = page.get_by_label("Only with the label"), page.locator("#chips li")
    label.fill("caf\u00e9")
    label.press("Enter")
    expect(chips).to_have_text("cafe\u0301")
    label.fill("caf\u00e9 noir")
    expect(chips).to_have_count(2)


def test_enter_that_ends_a_letter_adds_no_label(page):
    label = page.get_by_label("Only with the label")
    label.fill("lim")
    label.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(label).to_have_value("lim")
    label.press("Enter")
    expect(page.locator("#chips li")).to_have_text("lime")
