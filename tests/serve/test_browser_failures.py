"""What is said where a search fails."""

from PIL import Image

from tests.serve import browsing, conftest

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_old_results_do_not_stand_under_a_query_that_failed(page, tmp_path, cherry, screenshots):
    browsing.ask(page, cherry)
    (tmp_path / "cut.png").write_bytes(conftest.encoded(Image.open(cherry))[:300])
    with page.expect_response("**/search") as refused:
        page.set_input_files("#file", tmp_path / "cut.png")
    assert refused.value.status == 422
    browsing.settle(page)
    expect(page.get_by_role("alert").get_by_role("heading")).to_contain_text("cannot be read")
    expect(page.get_by_role("heading")).to_have_count(1)
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#keys")).to_be_hidden()
    page.screenshot(path=screenshots / "failed.png")
    browsing.again(page, page.go_back)
    expect(page.locator(".card")).to_have_count(12)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_server_that_is_gone_is_said_to_be(page, cherry):
    browsing.ask(page, cherry)
    page.context.set_offline(True)
    page.get_by_role("button", name="Remove the query").click()
    gone = "The server does not answer. Is it still running?"
    expect(page.get_by_role("alert")).to_have_text(gone)
    expect(page.get_by_role("heading")).to_have_text(gone)
    expect(page.locator(".card")).to_have_count(0)
    page.context.set_offline(False)
    browsing.choose(page, "lime")
    expect(page.locator(".card")).to_have_count(8)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_image_that_is_gone_is_not_said_to_be_searched(page):
    page.route("**/large", lambda route: route.fulfill(status=404, json={"detail": "gone"}))
    browsing.again(page, page.locator(".card .hit").first.click)
    expect(page.locator("#no-preview")).to_have_text("The image cannot be shown.")


def test_what_failed_for_a_while_is_tried_again(page, cherry, screenshots):
    busy = {"detail": "the server is busy; try again in a second"}
    page.route("**/search", lambda route: route.fulfill(status=503, json=busy))
    page.set_input_files("#file", cherry)
    expect(page.get_by_role("alert")).to_have_text("The server is busy; try again in a second")
    browsing.settle(page)
    page.screenshot(path=screenshots / "busy.png")
    page.unroute("**/search")
    length = page.evaluate("history.length")
    browsing.again(page, lambda: page.get_by_role("button", name="Try again").press("Enter"))
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    expect(page.locator("#results")).to_be_focused()
    assert page.evaluate("history.length") == length


def test_what_will_fail_again_is_not_tried_again(page, tmp_path):
    (tmp_path / "notes.png").write_text("these are notes")
    page.set_input_files("#file", tmp_path / "notes.png")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_start_that_failed_is_made_up_for(page, cherry):
    page.route("**/info", lambda route: route.fulfill(status=503, body="Service Unavailable"))
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("The server answered 503.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_text("The server answered 503.")
    page.unroute("**/info")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card")).to_have_count(24)
    expect(page.locator("#facts")).to_contain_text("24 images")
    expect(page.get_by_label("Only with the label")).to_be_visible()
    expect(page.locator("#count option")).to_have_count(5)
