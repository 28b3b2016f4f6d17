"""Which labels, and how many results."""

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_labels_and_the_number_of_results_are_chosen(page, cherry):
    browsing.ask(page, cherry)
    label = page.get_by_label("Only with the label")
    browsing.again(page, lambda: browsing.choose(page, "plum's"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's"}
    browsing.again(page, lambda: browsing.choose(page, "lim"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's", "lime"}
    browsing.again(page, lambda: page.locator("#count").select_option("24"))
    assert page.locator(".card").count() == 16
    browsing.again(page, lambda: page.get_by_role("button", name="Remove the label plum's").click())
    assert page.locator(".card").count() == 8
    browsing.again(page, lambda: label.press("Backspace"))
    assert page.locator(".card").count() == 24


def options(page):
    return page.get_by_role("listbox", name="Labels").get_by_role("option")


def test_a_start_is_offered_among_the_chosen_labels(page):
    browsing.choose(page, "lime")
    expect(page.locator(".card")).to_have_count(8)
    assert set(page.locator(".card .label").all_text_contents()) == {"lime"}
    page.get_by_label("Only with the label").press("Backspace")
    expect(page.locator(".card")).to_have_count(24)


def test_labels_are_offered_and_taken_by_keys(page, screenshots):
    label, offered = page.get_by_role("combobox", name="Only with"), options(page)
    expect(offered).to_have_count(0)
    label.focus()
    label.press("ArrowUp")
    expect(offered).to_have_text(["cherry8", "lime8", "plum's8"])
    active = page.locator("#labels [aria-selected=true]")
    expect(active).to_have_text("plum's8")
    expect(label).to_have_attribute("aria-activedescendant", "labels-2")
    label.press("ArrowDown")
    expect(active).to_have_text("cherry8")
    page.screenshot(path=screenshots / "labels.png")
    # Of the list nothing is cut off, and the field is where it was.
    expect(page.get_by_role("listbox", name="Labels")).to_be_in_viewport(ratio=1)
    assert page.locator(".panel").evaluate("(one) => one.scrollTop") == 0
    label.press_sequentially("e")
    expect(offered).to_have_text(["cherry8", "lime8"])
    expect(active).to_have_text("cherry8")
    label.press("ArrowDown")
    label.press("Enter")
    expect(page.locator("#chips li")).to_have_text("lime")
    expect(label).to_have_value("")
    expect(label).to_be_focused()
    expect(label).to_have_attribute("aria-expanded", "false")
    expect(offered).to_have_count(0)
    label.press_sequentially("l")
    label.press("Escape")
    expect(offered).to_have_count(0)
    expect(label).to_have_value("l")
    label.press("Enter")  # Nothing is taken that nobody saw.
    expect(active).to_have_text("lime8")
    expect(page.locator("#chips li")).to_have_count(1)
    label.press("Escape")
    label.press("ArrowDown")
    expect(active).to_have_text("lime8")
    label.press("Tab")
    expect(offered).to_have_count(0)


def test_labels_are_offered_and_taken_by_mouse_and_touch(page, watch, screenshots):
    phone = watch(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for one, touch in ((page, "click"), (phone, "tap")):
        label, offered = one.get_by_role("combobox", name="Only with"), options(one)
        getattr(label, touch)()
        expect(offered).to_have_count(3)
        one.screenshot(path=screenshots / f"labels_{touch}.png")
        getattr(offered.nth(1), touch)()
        expect(one.locator("#chips li")).to_have_text("lime")
        expect(one.locator(".card")).to_have_count(8)
        expect(offered).to_have_count(0)
        expect(label).to_be_focused()
        getattr(label, touch)()
        expect(offered).to_have_count(3)
        getattr(one.locator("#facts"), touch)()
        expect(offered).to_have_count(0)


def test_a_label_that_no_image_has_is_told(page):
    label = page.get_by_label("Only with the label")
    label.fill("cookie")
    label.evaluate("(one) => (one.oninvalid = () => (window.told = one.validationMessage))")
    label.press("Enter")
    assert page.evaluate("window.told") == "No image has the label “cookie”"
    expect(page.locator("#chips li")).to_have_count(0)
    expect(label).to_have_value("cookie")


def test_what_is_spelled_out_comes_before_what_begins_with_it(page):
    offer(page, ["limestone", "Lime", "lime", "sublime"])
    label, offered = page.get_by_label("Only with the label"), options(page)
    label.press_sequentially("lime")
    expect(offered).to_have_text(["lime8", "Lime8", "limestone8", "sublime8"])
    label.press("Enter")
    expect(page.locator("#chips li")).to_have_text("lime")


def test_nothing_similar_holds_within_the_labels_that_were_chosen(page, noise):
    browsing.ask(page, noise)
    browsing.again(page, lambda: browsing.choose(page, "lime"))
    expect(page.get_by_role("heading")).to_have_text("Nothing similar labelled “lime”")
    expect(page.locator("#verdict")).to_contain_text("The nearest image with this label scores")
    expect(page.locator("#verdict")).to_contain_text("Images with other labels were not looked at.")
    browsing.again(page, lambda: browsing.choose(page, "plum's"))
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
    label, offered = page.get_by_label("Only with the label"), options(page)
    label.click()
    expect(offered).to_have_count(50)
    label.press_sequentially("1234")
    expect(offered).to_have_text(["kind 12348"])
    page.keyboard.press("Enter")
    expect(page.locator("#chips")).to_have_text("kind 1234")


def test_the_nearest_label_begins_with_what_is_typed(page):
    offer(page, ["pineapple tart", "apple", "Apple pie"])
    browsing.choose(page, "appl")
    browsing.choose(page, "TART")
    expect(page.locator("#chips li")).to_have_text(["apple", "pineapple tart"])


def test_a_label_is_typed_in_the_other_form_of_its_letters(page):
    offer(page, ["cafe\u0301 noir", "cafe\u0301"])
    browsing.choose(page, "caf\u00e9")
    expect(page.locator("#chips")).to_have_text("cafe\u0301")


def test_enter_that_ends_a_letter_adds_no_label(page):
    label = page.get_by_label("Only with the label")
    label.fill("lim")
    label.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(label).to_have_value("lim")
    label.press("Enter")
    expect(page.locator("#chips li")).to_have_text("lime")
