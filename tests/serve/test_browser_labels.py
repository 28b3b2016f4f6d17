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
