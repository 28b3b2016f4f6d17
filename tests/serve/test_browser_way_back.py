"""Back, forward, reload and shared links."""

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_a_result_is_searched_by_and_the_way_back_is_the_browsers(page, cherry, server):
    browsing.ask(page, cherry)
    before = browsing.paths(page)
    _, answer = browsing.again(page, lambda: page.locator(".card .hit").nth(1).click())
    expect(page.locator("#query-name")).to_have_text(before[1])
    assert browsing.paths(page) == [hit["path"] for hit in answer["hits"]] and before[
        1
    ] not in browsing.paths(page)
    assert "?id=" in page.url
    browsing.again(page, page.go_back)
    assert browsing.paths(page) == before
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    browsing.again(page, page.go_forward)
    browsing.again(page, page.reload)
    expect(page.locator("#query-name")).to_have_text(before[1])
    page.get_by_role("button", name="Remove the query").click()
    expect(page.locator(".card")).to_have_count(24)


def test_the_way_back_is_kept_over_a_reload(page, cherry, noise):
    browsing.ask(page, cherry)
    browsing.ask(page, noise)
    browsing.again(page, lambda: page.locator(".card .hit").nth(2).click())
    address, name = page.url, page.locator("#query-name").text_content()
    browsing.again(page, lambda: page.locator(".card .hit").nth(2).click())
    browsing.again(page, page.reload)
    browsing.again(page, lambda: page.locator(".card .hit").nth(3).click())
    browsing.again(page, page.go_back)
    # From here on the entries are of the load before.
    sent, _ = browsing.again(page, page.go_back)
    assert page.url == address and address.endswith(f"?id={sent.id}")
    expect(page.locator("#query-name")).to_have_text(name)
    # The files are gone with that load.
    page.go_back()
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    expect(page.locator("#preview")).to_be_hidden()
    browsing.again(page, page.go_forward)
    expect(page.locator("#query-name")).to_have_text(name)


def test_a_shared_link_is_one_step_of_the_way_back(page, server):
    first = server.index.sample(1)[0]
    browsing.again(page, lambda: page.goto(f"{server.url}/?id={first.id}"))
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    sent, _ = browsing.again(page, page.go_back)
    assert sent.id == first.id and page.url.endswith(f"?id={first.id}")
    page.go_back()
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    assert page.url == f"{server.url}/"
    page.goto(f"{server.url}/?id={'0' * 32}")
    expect(page.get_by_role("alert")).to_have_text("There is no image with this id")


def test_the_skip_link_keeps_what_was_asked(page):
    sent, _ = browsing.again(page, lambda: page.locator(".card .hit").first.click())
    page.get_by_role("link", name="Skip to the results").press("Enter")
    expect(page.locator("#results")).to_be_focused()
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    back, _ = browsing.again(page, page.go_back)
    assert back.id == sent.id and page.url.endswith(f"?id={sent.id}#results")


def test_a_reload_keeps_labels_count_region_and_refinements(page):
    browsing.again(page, page.locator(".card .hit").first.click)
    browsing.again(page, lambda: browsing.choose(page, "lime"))
    browsing.again(page, lambda: browsing.choose(page, "plum's"))
    browsing.again(page, lambda: page.locator("#count").select_option("8"))
    for index, key in enumerate("+-"):
        page.locator(".card .hit").nth(index).press(key)
    browsing.again(page, page.locator("#marks-search").click)
    browsing.frame(page)
    sent, answer = browsing.again(page, page.get_by_role("button", name="Crop").click)
    assert sent.crop and sent.ids and sent.unlike and sent.exclude and sent.top_k == 8
    same, found = browsing.again(page, page.reload)
    assert same == sent and found["hits"] == answer["hits"]
    expect(page.locator("#chips li")).to_have_text(["lime", "plum's"])
    expect(page.locator("#count")).to_have_value("8")
    expect(page.locator("#refine-list li")).to_have_count(2)
    expect(page.locator("#crop")).to_be_visible()


def test_a_link_without_a_query_has_refinements_and_labels(page, server):
    first, second = server.index.sample(2)
    sent, _ = browsing.again(
        page, lambda: page.goto(f"{server.url}/?more={first.id}&less={second.id}&label=lime&n=x")
    )
    assert sent.ids == [first.id] and sent.unlike == [second.id] and not sent.id
    assert sent.filter == "label = 'lime'" and sent.top_k == 12
    expect(page.get_by_role("button", name="Remove: more like")).to_be_visible()
    page.goto(f"{server.url}/?less={second.id}&label=lime")
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#refine")).to_be_hidden()


def test_a_region_that_is_none_is_left_out_of_a_link(page, server):
    first = server.index.sample(1)[0]
    for crop in ("0.5,0.5,0.9,0.2", "0,0,0,1", "0,0,1"):
        sent, _ = browsing.again(
            page, lambda crop=crop: page.goto(f"{server.url}/?id={first.id}&crop={crop}")
        )
        assert sent.id == first.id and sent.crop is None, crop


def test_the_way_back_undoes_labels(page):
    browsing.again(page, page.locator(".card .hit").first.click)
    browsing.again(page, lambda: browsing.choose(page, "lime"))
    page.evaluate("history.go(-2)")
    expect(page.locator(".card")).to_have_count(24)
    expect(page.locator("#chips li")).to_have_count(0)
    browsing.choose(page, "lime")
    expect(page.locator(".card")).to_have_count(8)
    page.go_back()
    expect(page.locator(".card")).to_have_count(24)
    expect(page.locator("#chips li")).to_have_count(0)
    page.go_forward()
    expect(page.locator(".card")).to_have_count(8)
    page.reload()
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#chips li")).to_have_text("lime")
