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
    expect(page.get_by_role("alert")).to_contain_text("The image cannot be read")
    expect(page.get_by_role("heading")).to_have_count(0)
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
    expect(page.get_by_role("heading")).to_have_count(0)
    expect(page.locator(".card")).to_have_count(0)
    page.context.set_offline(False)
    page.get_by_label("Only with the label").fill("lime")
    expect(page.locator(".card")).to_have_count(8)
    expect(page.get_by_role("alert")).to_be_hidden()
