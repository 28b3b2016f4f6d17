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
