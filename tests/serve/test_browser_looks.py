"""The page in light and dark, on small screens and to a screen reader; the API's page."""

import re

import pytest

from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_it_is_light_or_dark_as_the_system_or_as_chosen(watch, cherry, screenshots):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = watch(color_scheme="light"), watch(color_scheme="dark")
    assert paper(light) != paper(dark)
    browsing.ask(dark, cherry)
    dark.screenshot(path=screenshots / "dark.png")
    button = dark.locator("#theme")
    button.click()
    expect(button).to_have_attribute("aria-label", "Colours: light")
    assert paper(dark) == paper(light)
    dark.reload()
    expect(dark.locator("#theme")).to_have_attribute("aria-label", "Colours: light")
    assert paper(dark) == paper(light)


def luminance(colour):
    """Returns the relative luminance of rgb(…), as WCAG has it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edge_of_a_field_is_seen(watch, scheme):
    page = watch(color_scheme=scheme)
    colours = """(one) => [getComputedStyle(one).borderTopColor,
        ...[one, document.body].map((part) => getComputedStyle(part).backgroundColor)]"""
    for field in ("#url", "#label", "#count"):
        edge, *around = map(luminance, page.locator(field).evaluate(colours))
        for other in around:
            low, high = sorted((edge, other))
            assert (high + 0.05) / (low + 0.05) >= 3, field  # As WCAG 1.4.11 asks.


def test_everything_that_can_be_pressed_has_a_name(page, cherry):
    browsing.ask(page, cherry)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select")].filter((one) =>
            !one.hidden && !one.getAttribute("aria-label") && !one.textContent.trim() &&
            !one.labels?.length
        ).map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_the_api_page_works_without_the_web(watch, screenshots):
    page = watch("/docs")
    expect(page.get_by_text("/search", exact=True)).to_be_visible()
    page.locator("#operations-server-healthz_healthz_get button").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text('"ok"')
    page.screenshot(path=screenshots / "api.png")


def test_long_words_make_no_phone_scroll_sideways(watch, server, cherry, screenshots):
    long = "pneumono" * 25
    page = watch(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    about = server.ask("/info").json | {"index": long}
    hit = server.search(cherry.read_bytes(), top_k=1).json["hits"][0]
    answer = server.search(cherry.read_bytes()).json
    answer |= {"hits": [hit | {"label": long, "path": f"{long}/{long}.jpg"}], "is_match": False}
    page.route("**/info", lambda route: route.fulfill(json=about))
    page.route("**/search", lambda route: route.fulfill(json=answer))
    page.goto(f"{server.url}/?id={hit['id']}&label={long}")
    expect(page.get_by_role("heading")).to_have_text(f"Nothing similar labelled “{long}”")
    expect(page.locator("#facts")).to_contain_text(long)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=screenshots / "phone_long.png", full_page=True)
    page.route("**/search", lambda route: route.fulfill(status=404, json={"detail": long}))
    page.locator("#count").select_option("24")
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_narrowest_window_scrolls_one_way_only(watch, cherry, screenshots):
    page = watch(viewport={"width": 320, "height": 640})
    browsing.ask(page, cherry)
    browsing.again(page, lambda: page.get_by_role("button", name="Crop").click())
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for name in ("New image", "Whole image", "Remove the query"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    page.screenshot(path=screenshots / "narrow.png")


def test_what_is_marked_is_seen_in_the_colours_of_the_system(watch, cherry, screenshots):
    page = watch(forced_colors="active")
    browsing.ask(page, cherry)
    page.locator(".card .hit").first.press("+")
    looks = "(one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).outlineStyle]"
    marked, other = (page.locator(".card").nth(at).evaluate(looks) for at in (0, 1))
    assert marked[1] == "solid" and other[1] == "none"
    pressed, not_pressed = (
        page.locator(".card").first.locator(which).evaluate(looks) for which in (".more", ".less")
    )
    assert pressed[0] != not_pressed[0]
    page.screenshot(path=screenshots / "forced_colours.png")
