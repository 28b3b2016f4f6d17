"""One result, large."""

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_a_result_is_seen_large_with_all_that_is_known(page, cherry, screenshots):
    browsing.ask(page, cherry)
    names = browsing.paths(page)
    page.locator(".card").nth(1).hover()
    page.locator(".card").nth(1).get_by_role("button", name="Large view").click()
    dialog = page.get_by_role("dialog", name="Large view")
    expect(dialog).to_contain_text(names[1])
    expect(dialog).to_contain_text("2 of 12")
    expect(page.locator("#viewer-image")).to_have_js_property("complete", True)
    page.screenshot(path=screenshots / "large.png")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(names[2])
    page.keyboard.press("+")
    expect(dialog.get_by_role("button", name="More like it")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("button", name="The one before")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".card .hit").first).to_be_focused()
    expect(page.locator("#marks-text")).to_have_text("More like 1")
    page.locator(".card .open").nth(3).dispatch_event("click")
    browsing.again(page, lambda: dialog.get_by_role("button", name="Search by this").click())
    expect(page.locator("#query-name")).to_have_text(names[3])
