"""Results that are marked, and the search that they refine."""

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_marked_results_refine_the_search(page, cherry, screenshots):
    browsing.ask(page, cherry)
    more, less = page.locator(".card").nth(2), page.locator(".card").nth(4)
    names = browsing.paths(page)
    more.hover()
    more.get_by_role("button", name="More like this").click()
    less.hover()
    less.get_by_role("button", name="Less like this").click()
    expect(page.locator("#marks-text")).to_have_text("More like 1, less like 1")
    page.screenshot(path=screenshots / "marked.png")
    sent, answer = browsing.again(
        page, lambda: page.get_by_role("button", name="Search again").click()
    )
    assert len(sent.ids) == len(sent.unlike) == 1
    assert names[2] not in browsing.paths(page) and names[4] not in browsing.paths(page)
    expect(page.locator("#marks")).to_be_hidden()
    expect(page.locator("#refine-list li")).to_have_count(2)
    page.screenshot(path=screenshots / "refined.png")
    sent, _ = browsing.again(
        page, lambda: page.get_by_role("button", name="Remove: less like").click()
    )
    assert len(sent.ids) == 1 and not sent.unlike
    expect(page.locator("#refine-list li")).to_have_count(1)
    page.locator(".card .less").first.dispatch_event("click")
    page.locator("#marks-clear").click()
    expect(page.locator("#marks")).to_be_hidden()


def test_more_marks_than_a_query_may_have_are_told_before_they_are_sent(page, screenshots):
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    browsing.again(page, lambda: page.locator("#count").select_option("24"))
    more = page.get_by_role("button", name="More like this")
    for i in range(16):
        more.nth(i).dispatch_event("click")
    refine = page.locator("#marks-search")
    expect(refine).to_be_disabled()
    expect(page.locator("#marks-text")).to_have_text(
        "More like 16, but at most 16 images make a query"
    )
    page.screenshot(path=screenshots / "too_many_marks.png")
    more.nth(0).dispatch_event("click")
    expect(page.locator("#marks-text")).to_have_text("More like 15")
    sent, answer = browsing.again(page, refine.click)
    assert len(sent.ids) == 15 and answer["hits"]


def mark(page, index, kind="More"):
    page.locator(".card .hit").nth(index).focus()
    page.keyboard.press("+" if kind == "More" else "-")


def test_the_focus_goes_to_the_results_where_a_button_goes_away(page, cherry):
    browsing.ask(page, cherry)
    mark(page, 1)
    page.locator("#marks-clear").press("Enter")
    expect(page.locator("#marks")).to_be_hidden()
    expect(page.locator("#results")).to_be_focused()
    mark(page, 1)
    mark(page, 2)
    browsing.again(page, lambda: page.locator("#marks-search").press("Enter"))
    expect(page.locator("#results")).to_be_focused()
    chips = page.locator("#refine-list button")
    browsing.again(page, lambda: chips.first.press("Enter"))
    expect(chips).to_be_focused()
    browsing.again(page, lambda: chips.press("Enter"))
    expect(page.locator("#results")).to_be_focused()


def test_a_double_click_removes_one_refinement(page, cherry):
    browsing.ask(page, cherry)
    mark(page, 1)
    mark(page, 2)
    browsing.again(page, page.locator("#marks-search").click)
    chips = page.locator("#refine-list li")
    browsing.again(page, chips.first.click)
    expect(chips).to_have_count(1)
    box = chips.first.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    sent, _ = browsing.again(page, lambda: page.locator("#count").select_option("24"))
    assert len(sent.ids) == 1


def test_the_last_refinement_that_was_removed_stays_so_on_the_way_back(page):
    mark(page, 0)
    browsing.again(page, page.locator("#marks-search").click)
    page.locator("#refine-list button").click()
    expect(page.locator(".card")).to_have_count(24)
    browsing.again(page, page.locator(".card .hit").nth(3).click)
    page.go_back()
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    expect(page.locator("#refine")).to_be_hidden()


def test_the_bar_has_the_width_of_a_phone(watch, screenshots):
    page = watch(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    mark(page, 0)
    mark(page, 1, "Less")
    box = page.locator("#marks-text").bounding_box()
    assert box["width"] > 200 and box["height"] < 45
    assert page.locator("#marks").bounding_box()["x"] >= 8
    expect(page.locator("#marks-clear")).to_be_in_viewport(ratio=1)
    expect(page.locator("#marks-said")).to_have_text("More like 1, less like 1")
    page.screenshot(path=screenshots / "phone_marks.png")


def test_the_controls_are_reached_in_a_low_window_with_many_refinements(watch, cherry, screenshots):
    page = watch(viewport={"width": 1280, "height": 600})
    browsing.ask(page, cherry)
    for i in range(12):
        mark(page, i)
    browsing.again(page, page.locator("#marks-search").click)
    page.locator(".card").nth(6).scroll_into_view_if_needed()
    box = page.locator(".panel").bounding_box()
    assert box["y"] + box["height"] <= 600
    page.locator("#count").scroll_into_view_if_needed()
    expect(page.locator("#count")).to_be_in_viewport(ratio=1)
    page.screenshot(path=screenshots / "low_window.png")
