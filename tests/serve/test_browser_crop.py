"""The region that is searched by: drawn, moved and resized by mouse, finger and keys."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def within(area):
    """Returns the function from fractions of an area to the place in the window."""
    return lambda x, y: (area["x"] + x * area["width"], area["y"] + y * area["height"])


def test_a_region_is_drawn_moved_and_resized_by_mouse(page, cherry, screenshots):
    whole = browsing.ask(page, cherry)
    at = within(browsing.frame(page))
    sent, cropped = browsing.again(
        page, lambda: browsing.drag(page, at(0.2, 0.2), at(0.4, 0.3), at(0.7, 0.6))
    )
    np.testing.assert_allclose(sent.crop, [0.2, 0.2, 0.5, 0.4], atol=0.02)
    assert cropped["hits"] != whole["hits"]
    expect(page.locator("#crop")).to_have_attribute("aria-label", re.compile("left 20 %, top 20 %"))
    page.screenshot(path=screenshots / "crop.png")
    sent, _ = browsing.again(
        page, lambda: browsing.drag(page, at(0.4, 0.4), at(0.5, 0.5), at(0.95, 0.95))
    )
    np.testing.assert_allclose(sent.crop, [0.5, 0.6, 0.5, 0.4], atol=0.02)
    sent, _ = browsing.again(
        page, lambda: browsing.drag(page, at(0.5, 0.6), at(0.3, 0.3), at(0.25, 0.1))
    )
    np.testing.assert_allclose(sent.crop, [0.25, 0.1, 0.75, 0.9], atol=0.02)
    sent, back = browsing.again(
        page, lambda: page.get_by_role("button", name="Whole image").click()
    )
    assert sent.crop is None and back["hits"] == whole["hits"]


def test_a_region_is_set_by_keyboard(page, cherry):
    browsing.ask(page, cherry)
    page.get_by_role("button", name="Crop").focus()
    sent, _ = browsing.again(page, lambda: page.keyboard.press("Enter"))
    np.testing.assert_allclose(sent.crop, [0.15, 0.15, 0.7, 0.7], atol=1e-6)
    expect(page.locator("#crop")).to_be_focused()

    def keys():
        for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
            page.keyboard.press(key)

    sent, _ = browsing.again(page, keys)
    np.testing.assert_allclose(sent.crop, [0.17, 0.17, 0.68, 0.68], atol=1e-6)
    sent, _ = browsing.again(page, lambda: page.keyboard.press("Escape"))
    assert sent.crop is None
    expect(page.get_by_role("button", name="Crop")).to_be_focused()


def test_keys_search_by_a_box_only_while_it_is_there(page, cherry):
    browsing.ask(page, cherry)
    page.clock.install()
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    page.keyboard.press("ArrowRight")
    before = page.evaluate("history.length")
    sent, _ = browsing.again(page, lambda: page.keyboard.press("Escape"))
    page.clock.fast_forward(2000)
    assert sent.crop is None and page.evaluate("history.length") == before + 1
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Remove the query").click()
    page.clock.fast_forward(2000)
    assert page.evaluate("history.length") == before + 3
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_drag_that_meant_nothing_keeps_the_box_that_keys_set(page, cherry):
    browsing.ask(page, cherry)
    page.clock.install()
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    area = page.locator("#frame").bounding_box()
    start = area["x"] + 0.05 * area["width"], area["y"] + 0.05 * area["height"]
    stop = start[0] + 0.03 * area["width"], start[1]

    def act():
        page.keyboard.press("ArrowRight")
        browsing.drag(page, start, stop)
        page.clock.fast_forward(2000)

    sent, _ = browsing.again(page, act)
    np.testing.assert_allclose(sent.crop, [0.17, 0.15, 0.7, 0.7], atol=1e-6)
    expect(page.locator("#crop")).to_have_attribute("aria-label", re.compile("left 17 %"))


def test_a_region_of_a_stored_image_does_not_find_that_image(page):
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.locator("#query-image")).to_have_js_property("complete", True)
    own = page.locator("#query-name").text_content()
    page.get_by_role("button", name="Crop").focus()
    sent, answer = browsing.again(page, lambda: page.keyboard.press("Enter"))
    assert sent.crop and f"?id={sent.exclude[0]}&crop=" in page.url and sent.id is None
    assert len(answer["hits"]) == 12
    assert sent.exclude[0] not in [hit["id"] for hit in answer["hits"]]
    assert own not in browsing.paths(page)


def test_a_region_of_a_stored_image_that_is_gone_is_not_searched_by(page):
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.locator("#query-image")).to_have_js_property("complete", True)
    crop, searches = page.get_by_role("button", name="Crop"), []
    page.on("request", lambda request: searches.append(request.method) if request.post_data else 0)
    gone = {"detail": "there is no image with this id"}
    page.route("**/large", lambda route: route.fulfill(status=404, json=gone))
    crop.click()
    expect(page.get_by_role("alert")).to_have_text("There is no image with this id")
    browsing.settle(page)
    expect(page.locator(".card")).to_have_count(0)
    page.unroute("**/large")
    page.route("**/large", lambda route: None)  # One that takes its time.
    with page.expect_request("**/large"):
        page.get_by_role("button", name="Whole image").click()
        crop.click()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/large")):
        page.get_by_role("button", name="Remove the query").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert len(searches) == 1  # By the whole image.


def test_a_region_is_set_by_touch_on_a_phone(watch, cherry, screenshots):
    phone = {"width": 390, "height": 844}
    page = watch(viewport=phone, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_text("Search by an image")).to_be_visible()
    browsing.ask(page, cherry)
    page.screenshot(path=screenshots / "phone.png")
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").tap())
    area = page.locator("#frame").bounding_box()
    corner = page.locator('[data-edge="se"]').bounding_box()
    x, y = corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch():
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x - 20, "y": y - 20}]),
            ("touchMove", [{"x": x - 40, "y": y - 40}]),
            ("touchEnd", []),
        ):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    sent, _ = browsing.again(page, touch)
    width, height = 0.7 - 40 / area["width"], 0.7 - 40 / area["height"]
    np.testing.assert_allclose(sent.crop, [0.15, 0.15, width, height], atol=0.02)
    page.wait_for_timeout(500)  # Else the browser may take it for the second of a double tap.
    browsing.again(page, lambda: page.locator(".card .hit").nth(2).tap())
    page.locator(".card .open").first.tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=screenshots / "phone_large.png")


@pytest.mark.parametrize("size", [(1200, 200), (100, 1200), (40, 40), (90, 60)])
def test_a_region_of_a_picture_of_any_shape_is_the_one_that_is_drawn(page, tmp_path, size):
    browsing.ask(page, browsing.picture(tmp_path / "shape.png", size))
    area = browsing.frame(page)
    assert area["width"] >= 45 and area["height"] >= 45
    at = within(area)
    stops = at(0.02, 0.04), at(0.3, 0.5), at(0.5, 0.96)
    sent, _ = browsing.again(page, lambda: browsing.drag(page, *stops))
    np.testing.assert_allclose(sent.crop, [0.02, 0.04, 0.48, 0.92], atol=0.03)


def test_a_small_screen_shows_a_long_picture_in_its_own_shape(watch, tmp_path):
    page = watch(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    browsing.ask(page, browsing.picture(tmp_path / "tall.png", (300, 900)))
    area = browsing.frame(page)
    assert area["height"] <= 0.4 * 740


def test_the_button_says_what_it_does_and_not_that_it_is_pressed(page, cherry):
    browsing.ask(page, cherry)
    toggle = page.locator("#crop-toggle")
    for words in ("Crop", "Whole image", "Crop"):
        expect(toggle).to_have_text(words)
        assert toggle.get_attribute("aria-pressed") is None
        browsing.again(page, toggle.click)


def test_no_region_is_drawn_where_no_picture_is(page, tmp_path, cherry):
    Image.open(cherry).save(tmp_path / "query.tiff")
    browsing.ask(page, tmp_path / "query.tiff")
    expect(page.locator("#no-preview")).to_contain_text("This browser cannot show the image")
    expect(page.locator("#crop-toggle")).to_be_disabled()
    at = within(page.locator("#frame").bounding_box())
    browsing.drag(page, at(0.2, 0.2), at(0.5, 0.5), at(0.8, 0.8))
    expect(page.locator("#crop")).to_be_hidden()
    browsing.ask(page, cherry)
    browsing.frame(page)
    expect(page.locator("#crop-toggle")).to_be_enabled()


def test_escape_gives_up_a_drag_and_leaves_the_box_as_it_was(page, cherry):
    browsing.ask(page, cherry)
    at = within(browsing.frame(page))

    def given_up(start, stop):
        page.mouse.move(*at(*start))
        page.mouse.down()
        page.mouse.move(*at(*stop))
        expect(page.locator("#crop")).to_be_visible()
        page.keyboard.press("Escape")
        page.mouse.move(*at(0.6, 0.6))
        page.mouse.up()

    given_up((0.2, 0.2), (0.5, 0.5))
    expect(page.locator("#crop")).to_be_hidden()
    browsing.again(page, lambda: browsing.drag(page, at(0.2, 0.2), at(0.4, 0.3), at(0.7, 0.6)))
    count = len(browsing.ASKED)
    box = page.locator("#crop").get_attribute("aria-label")
    given_up((0.4, 0.4), (0.5, 0.5))
    expect(page.locator("#crop")).to_have_attribute("aria-label", box)
    sent, _ = browsing.again(page, lambda: page.locator("#count").select_option("24"))
    assert len(browsing.ASKED) == count + 1
    np.testing.assert_allclose(sent.crop, [0.2, 0.2, 0.5, 0.4], atol=0.02)


def test_a_key_of_the_browser_moves_no_box(page, cherry):
    browsing.ask(page, cherry)
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    box = page.locator("#crop").get_attribute("aria-label")
    for key in ("Control+ArrowRight", "Meta+ArrowDown", "Control+Shift+ArrowLeft"):
        page.locator("#crop").press(key)
        expect(page.locator("#crop")).to_have_attribute("aria-label", box)


def test_a_second_finger_does_not_drag_the_box(watch, cherry):
    page = watch(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    browsing.ask(page, cherry)
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").tap())
    area = browsing.frame(page)
    at = within(area)
    first, second, stop = (
        {"x": x, "y": y, "id": finger}
        for finger, (x, y) in ((0, at(0.5, 0.5)), (1, at(0.3, 0.3)), (1, at(0.7, 0.6)))
    )
    moved = {**first, "x": first["x"] + 0.1 * area["width"]}
    session = page.context.new_cdp_session(page)

    def touch():
        for kind, points in (
            ("touchStart", [first]),
            ("touchMove", [moved]),
            ("touchStart", [moved, second]),
            ("touchMove", [moved, stop]),
            ("touchEnd", []),
        ):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    sent, _ = browsing.again(page, touch)
    np.testing.assert_allclose(sent.crop, [0.25, 0.15, 0.7, 0.7], atol=0.02)
