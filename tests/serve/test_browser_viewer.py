"""One result, large."""

import re

import pytest

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
    wait_for_large_image(page)
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


def enlarge(page, index):
    page.locator(".card .hit").nth(index).focus()
    page.keyboard.press("Space")
    expect(page.locator("#viewer")).to_be_visible()
    expect(page.locator("#viewer-search")).to_be_focused()


def wait_for_large_image(page):
    """Before it has come, the picture has another shape, and cannot be moved."""
    image = "document.getElementById('viewer-image')"
    browsing.until(page, f"{image}.complete && {image}.naturalWidth > 0")


def test_all_that_is_known_has_its_metadata(page):
    metadata = {"price": 0, "sold": False, "note": "", "maker": None, "colour": "<b>red</b>"}
    hit = {"id": "0" * 32, "label": "", "path": "a.jpg", "metadata": metadata}
    page.route("**/images?*", lambda route: route.fulfill(json={"images": [hit]}))
    for name in ("thumbnail", "large"):
        page.route(f"**/{name}", lambda route: route.fulfill(status=404))
    browsing.choose(page, "lime")
    expect(page.locator(".card")).to_have_count(1)
    enlarge(page, 0)
    facts = ["Result", "1 of 1", "Path", "a.jpg", "price", "0", "sold", "false"]
    facts += ["colour", "<b>red</b>", "Id", hit["id"]]
    expect(page.locator("#viewer-facts > *")).to_have_text(facts)


def test_a_question_of_another_way_closes_it(page, cherry):
    browsing.ask(page, cherry)
    enlarge(page, 3)
    browsing.copy(page, image_png=browsing.png(cherry))
    browsing.again(page, lambda: page.keyboard.press("Control+V"))
    expect(page.locator("#viewer")).to_be_hidden()
    enlarge(page, 3)
    browsing.again(page, page.go_back)
    expect(page.locator("#viewer")).to_be_hidden()


def test_the_small_picture_stands_for_one_that_takes_its_time(page, cherry, screenshots):
    answer = browsing.ask(page, cherry)
    enlarge(page, 0)
    image = page.locator("#viewer-image")
    wait_for_large_image(page)
    expect(image).to_have_css("background-image", "none")
    waiting = []
    page.route("**/large", lambda route: waiting.append(route))
    with page.expect_request("**/large"):
        page.keyboard.press("ArrowRight")
    small = re.compile(f"{answer['hits'][1]['id']}/thumbnail")
    expect(image).to_have_css("background-image", small)
    expect(image).to_have_js_property("naturalWidth", 0)
    page.screenshot(path=screenshots / "large_waits.png")
    for route in waiting:
        route.continue_()
    expect(image).to_have_css("background-image", "none")


@pytest.mark.parametrize("size", [(740, 360), (640, 400), (360, 740), (390, 500), (320, 215)])
def test_what_it_is_stays_in_view_on_a_small_screen(watch, cherry, screenshots, size):
    width, height = size
    page = watch(viewport={"width": width, "height": height})
    browsing.ask(page, cherry)
    enlarge(page, 1)
    for part in ("#viewer-close", "#viewer-title"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    wait_for_large_image(page)
    assert page.locator("#viewer-image").bounding_box()["height"] > 0.4 * height
    shut, following = (
        page.locator(each).bounding_box() for each in ("#viewer-close", "#viewer-next")
    )
    assert shut["y"] + shut["height"] <= following["y"]
    page.screenshot(path=screenshots / f"large_{width}.png")
    page.locator("#viewer-facts dd").last.scroll_into_view_if_needed()
    expect(page.locator("#viewer-close")).to_be_in_viewport(ratio=1)


def test_a_picture_that_is_moved_a_little_asks_nothing(page, cherry):
    browsing.ask(page, cherry)
    enlarge(page, 1)
    wait_for_large_image(page)
    searches = []
    page.on("request", lambda request: searches.append(request.url) if request.post_data else 0)
    image = page.locator("#viewer-image").bounding_box()
    start = (image["x"] + image["width"] / 2, image["y"] + image["height"] / 2)
    page.evaluate("addEventListener('drop', () => (window.isDropped = true))")
    browsing.drag(page, start, (start[0] + 80, start[1] + 20), (start[0] + 150, start[1] + 30))
    browsing.until(page, "window.isDropped")
    expect(page.locator("#viewer")).to_be_visible()
    assert searches == [] and not page.locator("#curtain").is_visible()


def test_a_step_is_told_to_a_screen_reader(page, cherry):
    answer = browsing.ask(page, cherry)
    said = page.get_by_role("dialog").get_by_role("status")
    enlarge(page, 0)
    for key, at in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        hit = answer["hits"][at]
        words = f"{at + 1} of 12, {hit['label']}, score {hit['score']:.3f}, "
        expect(said).to_have_text(re.compile(f"^{re.escape(words)}.* % the same class$"))
    page.keyboard.press("+")
    expect(said).to_have_text("More like 1")


def test_arrow_keys_go_on_at_either_end(page, cherry):
    browsing.ask(page, cherry)
    place = page.locator("#viewer-facts dd").first
    enlarge(page, 10)
    page.locator("#viewer-next").press("Enter")
    expect(place).to_have_text("12 of 12")
    expect(page.locator("#viewer-search")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("11 of 12")
    page.keyboard.press("Control+ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("10 of 12")


def test_a_text_is_selected_beyond_its_edge_and_a_click_there_closes_it(page, cherry):
    browsing.ask(page, cherry)
    enlarge(page, 1)
    text = page.locator("#viewer-title").bounding_box()
    x, y = text["x"] + 2, text["y"] + text["height"] / 2
    browsing.drag(page, (x, y), (x + 60, y), (1275, y))
    expect(page.locator("#viewer")).to_be_visible()
    page.mouse.click(1275, 430)
    expect(page.locator("#viewer")).to_be_hidden()


def test_the_focus_is_among_the_results_of_what_it_searched_by(page):
    enlarge(page, 2)
    browsing.again(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator(".card .hit").first).to_be_focused()
