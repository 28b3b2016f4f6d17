"""The page in a real browser, by every gesture, against a real server over a real index.

Screenshots go to the folder SIMSEARCH_SCREENSHOTS, or else to pytest's temporary one.
"""

import base64
import os
import pathlib
import re
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from simsearch.data import fetch
from simsearch.index import answers
from tests.serve import conftest, live
from tests.serve.test_attacks import Site, http

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium is installed: apt-get install chromium", allow_module_level=True)
expect = sync_api.expect
expect.set_options(timeout=20_000)
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-default-apps""".split()
ASKED = []  # What the server understood of each search.
# What Chromium itself says where a test asks for a refusal or takes the server away.
REFUSED = re.compile(
    r"Failed to load resource: (the server responded with a status of 4\d\d|net::ERR_INTERNET_DIS)"
)


@pytest.fixture(scope="module")
def server(quick_url, embedder):
    with live.serving(quick_url, embedder=embedder, allow_url_queries=True) as running:
        running.index._judge = answers.Judge(conftest.CALIBRATION, threshold=0.998)
        real = running.service.searcher.search

        async def noting(query):
            ASKED.append(query.request)
            return await real(query)

        running.service.searcher.search = noting
        yield running


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    folder = os.environ.get("SIMSEARCH_SCREENSHOTS")
    path = pathlib.Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path


class Watched:
    """A page, and what must not happen on it."""

    def __init__(self, browser, server, **options):
        settings = {"viewport": {"width": 1280, "height": 860}} | options
        self.context = browser.new_context(**settings)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def close(self, server):
        self.context.close()
        assert [words for words in self.said if not REFUSED.search(words)] == []
        own = (server.url + "/", f"blob:{server.url}/", "data:")
        assert [url for url in self.asked if not url.startswith(own)] == []


@pytest.fixture
def watch(browser, server):
    """Returns the function that opens a page; what happened on it is looked at in the end."""
    opened = []

    def call(path="/", **options):
        opened.append(Watched(browser, server, **options))
        opened[-1].page.goto(server.url + path)
        if path == "/":
            expect(opened[-1].page.locator(".card")).to_have_count(24)
        return opened[-1].page

    yield call
    for one in opened:
        one.close(server)


@pytest.fixture
def page(watch):
    return watch()


@pytest.fixture(scope="module")
def cherry(photos):
    return photos / "cherry" / "00.jpg"


@pytest.fixture
def noise(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def ask(page, file):
    """Searches by a file and waits for the answer."""
    with page.expect_response("**/search") as answered:
        page.set_input_files("#file", file)
    settle(page)
    return answered.value.json()


def settle(page):
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")


def again(page, act):
    """Does something that searches, and returns what the server understood and answered."""
    with page.expect_response("**/search") as answered:
        act()
    settle(page)
    return ASKED[-1], answered.value.json()


def paths(page):
    return page.locator(".card .path").all_text_contents()


def test_the_page_says_what_answers_and_offers_a_start(page, screenshots):
    expect(page.locator("#facts")).to_contain_text("24 images")
    expect(page.locator("#facts")).to_contain_text("LanceDB index “fruits”")
    expect(page.locator("#facts")).to_contain_text("resnet18")
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    page.screenshot(path=screenshots / "welcome.png")


def test_a_chosen_file_gives_a_grid_with_score_probability_label_and_path(
    page, cherry, screenshots
):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose an image").click()
    with page.expect_response("**/search") as answered:
        chooser.value.set_files(cherry)
    expect(page.get_by_role("heading", name=re.compile(r"^\d+ similar image"))).to_be_visible()
    first = page.locator(".card").first
    hit = answered.value.json()["hits"][0]
    expect(first.locator(".path")).to_have_text("cherry/00.jpg")
    expect(first.locator(".label")).to_have_text("cherry")
    expect(first.locator(".score")).to_have_text(f"{hit['score']:.3f}")
    expect(first.locator(".probability")).to_have_text("98 %")
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    expect(page.locator(".card img").nth(5)).to_have_js_property("complete", True)
    page.screenshot(path=screenshots / "results.png")


def test_a_dropped_image_is_searched_by(page, cherry):
    data = base64.b64encode(cherry.read_bytes()).decode()
    transfer = page.evaluate_handle(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
            return transfer;
        }""",
        data,
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#curtain")).to_be_visible()
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    _, answer = again(page, lambda: page.dispatch_event("body", "drop", {"dataTransfer": transfer}))
    expect(page.locator("#curtain")).to_be_hidden()
    assert answer["hits"][0]["path"] == "cherry/00.jpg"
    expect(page.locator("#query-name")).to_have_text("dropped.jpg")


def test_a_pasted_image_is_searched_by(page, cherry):
    png = base64.b64encode(conftest.encoded(Image.open(cherry))).decode()
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const image = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
        }""",
        png,
    )
    _, answer = again(page, lambda: page.keyboard.press("Control+V"))
    assert answer["hits"][0]["path"] == "cherry/00.jpg"


def test_an_address_is_searched_by_and_a_private_one_refused(page, cherry, monkeypatch):
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    web.seen, Site.image = [], cherry.read_bytes()
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        page.get_by_label("Address of an image").fill(f"http://127.0.0.1:{web.server_port}/image")
        page.get_by_label("Address of an image").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("private network")
        monkeypatch.setattr(fetch, "is_public", lambda address: True)
        _, answer = again(
            page, lambda: page.get_by_role("button", name="Search", exact=True).click()
        )
        assert answer["hits"][0]["path"] == "cherry/00.jpg"
        expect(page.get_by_role("alert")).to_be_hidden()
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def drag(page, start, *stops):
    page.mouse.move(*start)
    page.mouse.down()
    for stop in stops:
        page.mouse.move(*stop)
    page.mouse.up()


def test_a_region_is_drawn_moved_and_resized_by_mouse(page, cherry, screenshots):
    whole = ask(page, cherry)
    area = page.locator("#frame").bounding_box()

    def at(x, y):
        return area["x"] + x * area["width"], area["y"] + y * area["height"]

    sent, cropped = again(page, lambda: drag(page, at(0.2, 0.2), at(0.4, 0.3), at(0.7, 0.6)))
    np.testing.assert_allclose(sent.crop, [0.2, 0.2, 0.5, 0.4], atol=0.02)
    assert cropped["hits"] != whole["hits"]
    expect(page.locator("#crop")).to_have_attribute("aria-label", re.compile("left 20 %, top 20 %"))
    page.screenshot(path=screenshots / "crop.png")
    sent, _ = again(page, lambda: drag(page, at(0.4, 0.4), at(0.5, 0.5), at(0.95, 0.95)))
    np.testing.assert_allclose(sent.crop, [0.5, 0.6, 0.5, 0.4], atol=0.02)
    sent, _ = again(page, lambda: drag(page, at(0.5, 0.6), at(0.3, 0.3), at(0.25, 0.1)))
    np.testing.assert_allclose(sent.crop, [0.25, 0.1, 0.75, 0.9], atol=0.02)
    sent, back = again(page, lambda: page.get_by_role("button", name="Whole image").click())
    assert sent.crop is None and back["hits"] == whole["hits"]


def test_a_region_is_set_by_keyboard(page, cherry):
    ask(page, cherry)
    page.get_by_role("button", name="Crop").focus()
    sent, _ = again(page, lambda: page.keyboard.press("Enter"))
    np.testing.assert_allclose(sent.crop, [0.15, 0.15, 0.7, 0.7], atol=1e-6)
    expect(page.locator("#crop")).to_be_focused()

    def keys():
        for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
            page.keyboard.press(key)

    sent, _ = again(page, keys)
    np.testing.assert_allclose(sent.crop, [0.17, 0.17, 0.68, 0.68], atol=1e-6)
    sent, _ = again(page, lambda: page.keyboard.press("Escape"))
    assert sent.crop is None
    expect(page.get_by_role("button", name="Crop")).to_be_focused()


def test_keys_search_by_a_box_only_while_it_is_there(page, cherry):
    ask(page, cherry)
    page.clock.install()
    again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    page.keyboard.press("ArrowRight")
    before = page.evaluate("history.length")
    sent, _ = again(page, lambda: page.keyboard.press("Escape"))
    page.clock.fast_forward(2000)
    assert sent.crop is None and page.evaluate("history.length") == before + 1
    again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Remove the query").click()
    page.clock.fast_forward(2000)
    assert page.evaluate("history.length") == before + 3
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_drag_that_meant_nothing_keeps_the_box_that_keys_set(page, cherry):
    ask(page, cherry)
    page.clock.install()
    again(page, lambda: page.get_by_role("button", name="Crop").press("Enter"))
    area = page.locator("#frame").bounding_box()
    start = area["x"] + 0.05 * area["width"], area["y"] + 0.05 * area["height"]
    stop = start[0] + 0.03 * area["width"], start[1]

    def act():
        page.keyboard.press("ArrowRight")
        drag(page, start, stop)
        page.clock.fast_forward(2000)

    sent, _ = again(page, act)
    np.testing.assert_allclose(sent.crop, [0.17, 0.15, 0.7, 0.7], atol=1e-6)
    expect(page.locator("#crop")).to_have_attribute("aria-label", re.compile("left 17 %"))


def test_a_region_of_a_stored_image_does_not_find_that_image(page):
    again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.locator("#query-image")).to_have_js_property("complete", True)
    own = page.locator("#query-name").text_content()
    page.get_by_role("button", name="Crop").focus()
    sent, answer = again(page, lambda: page.keyboard.press("Enter"))
    assert sent.crop and page.url.endswith(f"?id={sent.exclude[0]}") and sent.id is None
    assert len(answer["hits"]) == 12
    assert sent.exclude[0] not in [hit["id"] for hit in answer["hits"]]
    assert own not in paths(page)


def test_a_region_of_a_stored_image_that_is_gone_is_not_searched_by(page):
    again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.locator("#query-image")).to_have_js_property("complete", True)
    crop, searches = page.get_by_role("button", name="Crop"), []
    page.on("request", lambda request: searches.append(request.method) if request.post_data else 0)
    gone = {"detail": "there is no image with this id"}
    page.route("**/large", lambda route: route.fulfill(status=404, json=gone))
    crop.click()
    expect(page.get_by_role("alert")).to_have_text("There is no image with this id")
    settle(page)
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
    ask(page, cherry)
    page.screenshot(path=screenshots / "phone.png")
    again(page, lambda: page.get_by_role("button", name="Crop").tap())
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

    sent, _ = again(page, touch)
    width, height = 0.7 - 40 / area["width"], 0.7 - 40 / area["height"]
    np.testing.assert_allclose(sent.crop, [0.15, 0.15, width, height], atol=0.02)
    page.wait_for_timeout(500)  # Else the browser may take it for the second of a double tap.
    again(page, lambda: page.locator(".card .hit").nth(2).tap())
    page.locator(".card .open").first.tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=screenshots / "phone_large.png")


def test_a_result_is_searched_by_and_the_way_back_is_the_browsers(page, cherry, server):
    ask(page, cherry)
    before = paths(page)
    _, answer = again(page, lambda: page.locator(".card .hit").nth(1).click())
    expect(page.locator("#query-name")).to_have_text(before[1])
    assert paths(page) == [hit["path"] for hit in answer["hits"]] and before[1] not in paths(page)
    assert "?id=" in page.url
    again(page, page.go_back)
    assert paths(page) == before
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    again(page, page.go_forward)
    again(page, page.reload)
    expect(page.locator("#query-name")).to_have_text(before[1])
    page.get_by_role("button", name="Remove the query").click()
    expect(page.locator(".card")).to_have_count(24)


def test_the_way_back_is_kept_over_a_reload(page, cherry, noise):
    ask(page, cherry)
    ask(page, noise)
    again(page, lambda: page.locator(".card .hit").nth(2).click())
    address, name = page.url, page.locator("#query-name").text_content()
    again(page, lambda: page.locator(".card .hit").nth(2).click())
    again(page, page.reload)
    again(page, lambda: page.locator(".card .hit").nth(3).click())
    again(page, page.go_back)
    # From here on the entries are of the load before.
    sent, _ = again(page, page.go_back)
    assert page.url == address and address.endswith(f"?id={sent.id}")
    expect(page.locator("#query-name")).to_have_text(name)
    # The files are gone with that load.
    page.go_back()
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    expect(page.locator("#preview")).to_be_hidden()
    again(page, page.go_forward)
    expect(page.locator("#query-name")).to_have_text(name)


def test_a_shared_link_is_one_step_of_the_way_back(page, server):
    first = server.index.sample(1)[0]
    again(page, lambda: page.goto(f"{server.url}/?id={first.id}"))
    again(page, lambda: page.locator(".card .hit").first.click())
    sent, _ = again(page, page.go_back)
    assert sent.id == first.id and page.url.endswith(f"?id={first.id}")
    page.go_back()
    expect(page.get_by_role("heading", name="Or start from one of these")).to_be_visible()
    assert page.url == f"{server.url}/"
    page.goto(f"{server.url}/?id={'0' * 32}")
    expect(page.get_by_role("alert")).to_have_text("There is no image with this id")


def test_the_skip_link_keeps_what_was_asked(page):
    sent, _ = again(page, lambda: page.locator(".card .hit").first.click())
    page.get_by_role("link", name="Skip to the results").press("Enter")
    expect(page.locator("#results")).to_be_focused()
    again(page, lambda: page.locator(".card .hit").first.click())
    back, _ = again(page, page.go_back)
    assert back.id == sent.id and page.url.endswith(f"?id={sent.id}#results")


def test_marked_results_refine_the_search(page, cherry, screenshots):
    ask(page, cherry)
    more, less = page.locator(".card").nth(2), page.locator(".card").nth(4)
    names = paths(page)
    more.hover()
    more.get_by_role("button", name="More like this").click()
    less.hover()
    less.get_by_role("button", name="Less like this").click()
    expect(page.locator("#marks-text")).to_have_text("More like 1, less like 1")
    page.screenshot(path=screenshots / "marked.png")
    sent, answer = again(page, lambda: page.get_by_role("button", name="Search again").click())
    assert len(sent.ids) == len(sent.unlike) == 1
    assert names[2] not in paths(page) and names[4] not in paths(page)
    expect(page.locator("#marks")).to_be_hidden()
    expect(page.locator("#refine-list li")).to_have_count(2)
    page.screenshot(path=screenshots / "refined.png")
    sent, _ = again(page, lambda: page.get_by_role("button", name="Remove: less like").click())
    assert len(sent.ids) == 1 and not sent.unlike
    expect(page.locator("#refine-list li")).to_have_count(1)
    page.locator(".card .less").first.dispatch_event("click")
    page.locator("#marks-clear").click()
    expect(page.locator("#marks")).to_be_hidden()


def test_labels_and_the_number_of_results_are_chosen(page, cherry):
    ask(page, cherry)
    label = page.get_by_label("Only with the label")
    again(page, lambda: label.fill("plum's"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's"}
    label.fill("lim")
    again(page, lambda: label.press("Enter"))
    assert set(page.locator(".card .label").all_text_contents()) == {"plum's", "lime"}
    again(page, lambda: page.locator("#count").select_option("24"))
    assert page.locator(".card").count() == 16
    again(page, lambda: page.get_by_role("button", name="Remove the label plum's").click())
    assert page.locator(".card").count() == 8
    again(page, lambda: label.press("Backspace"))
    assert page.locator(".card").count() == 24


def test_a_start_is_offered_among_the_chosen_labels(page):
    label, chosen = page.get_by_label("Only with the label"), page.locator(".card .label")
    label.fill("lime")
    expect(page.locator(".card")).to_have_count(8)
    assert set(chosen.all_text_contents()) == {"lime"}
    label.press("Backspace")
    expect(page.locator(".card")).to_have_count(24)


def test_more_marks_than_a_query_may_have_are_told_before_they_are_sent(page, screenshots):
    again(page, lambda: page.locator(".card .hit").first.click())
    again(page, lambda: page.locator("#count").select_option("24"))
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
    sent, answer = again(page, refine.click)
    assert len(sent.ids) == 15 and answer["hits"]


def test_a_label_that_begins_with_another_is_typed(page):
    labels = [{"label": label, "count": 8} for label in ("Lime", "lime", "limestone", "plum's")]
    page.route("**/labels", lambda route: route.fulfill(json={"labels": labels}))
    page.reload()
    label, chips = page.get_by_label("Only with the label"), page.locator("#chips")
    expect(page.locator("#labels option")).to_have_count(4)
    label.press_sequentially("limestone")
    expect(chips).to_have_text("limestone")
    expect(label).to_have_value("")
    label.press_sequentially("lime")
    expect(chips).to_have_text("limestone")
    label.press("Enter")
    expect(chips).to_have_text("limestonelime")
    # What browsers send where one is chosen from the list: headless ones show none.
    replaced = 'new InputEvent("input", { inputType: "insertReplacementText" })'
    for event in ('new Event("input")', replaced):
        label.press("Backspace")
        expect(chips).to_have_text("limestone")
        label.evaluate(f"(input) => {{ input.value = 'lime'; input.dispatchEvent({event}); }}")
        expect(chips).to_have_text("limestonelime")


def test_a_result_is_seen_large_with_all_that_is_known(page, cherry, screenshots):
    ask(page, cherry)
    names = paths(page)
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
    again(page, lambda: dialog.get_by_role("button", name="Search by this").click())
    expect(page.locator("#query-name")).to_have_text(names[3])


def test_everything_is_reached_by_keyboard(page, screenshots):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".card .hit").first).to_be_focused()
    columns = page.evaluate(
        "() => { const cards = [...document.querySelectorAll('.card')];"
        "return cards.filter((card) => card.offsetTop === cards[0].offsetTop).length; }"
    )
    for key, index in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("End", 23), ("Home", 0)):
        page.keyboard.press(key)
        expect(page.locator(".card .hit").nth(index)).to_be_focused()
    page.screenshot(path=screenshots / "keyboard.png")
    page.keyboard.press("+")
    expect(page.locator(".card").first).to_have_attribute("data-mark", "more")
    page.keyboard.press("-")
    expect(page.locator(".card").first).to_have_attribute("data-mark", "less")
    expect(page.locator("#marks-search")).to_be_disabled()
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    again(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator(".card")).to_have_count(12)


def test_nothing_similar_is_said_where_nothing_is(page, noise, screenshots):
    answer = ask(page, noise)
    assert not answer["is_match"]
    expect(page.get_by_role("heading", name="Nothing similar here")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text(
        "Similar means a score of 0.998 or more, which at most 0.1 % of the validation pairs of "
        "different classes reach."
    )
    expect(page.locator(".card.weak")).to_have_count(12)
    page.screenshot(path=screenshots / "nothing.png")


def test_nothing_similar_holds_within_the_labels_that_were_chosen(page, noise):
    ask(page, noise)
    label = page.get_by_label("Only with the label")
    again(page, lambda: label.fill("lime"))
    expect(page.get_by_role("heading")).to_have_text("Nothing similar labelled “lime”")
    expect(page.locator("#verdict")).to_contain_text("The nearest image with this label scores")
    expect(page.locator("#verdict")).to_contain_text("Images with other labels were not looked at.")
    again(page, lambda: label.fill("plum's"))
    expect(page.get_by_role("heading")).to_have_text("Nothing similar labelled “lime” or “plum's”")
    expect(page.locator("#verdict")).to_contain_text("with one of these labels scores")


def test_only_what_reaches_the_threshold_counts_as_similar(page, cherry, server, screenshots):
    scores = [hit.score for hit in server.index.search(cherry, top_k=12).hits]
    middle = (scores[6] + scores[7]) / 2
    usual = server.index._judge
    server.index._judge = usual._replace(threshold=middle)
    try:
        ask(page, cherry)
    finally:
        server.index._judge = usual
    expect(page.get_by_role("heading")).to_have_text("7 similar images, 5 less similar")
    weak = page.locator(".card").evaluate_all("all => all.map((one) => one.matches('.weak'))")
    assert weak == [False] * 7 + [True] * 5
    colors = page.locator(".card .probability").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).color)"
    )
    assert len(set(colors[:7])) == len(set(colors[7:])) == 1 and colors[0] != colors[-1]
    expect(page.locator(".card img").nth(11)).to_have_js_property("complete", True)
    page.screenshot(path=screenshots / "mixed.png", full_page=True)


def test_what_rounds_to_none_or_all_is_said_to_be_less_or_more(page):
    found = page.evaluate(
        """async () => {
            const { percent } = await import(new URL("page/grid.js", location.href));
            return [0, 0.004, 0.006, 0.9437, 0.994, 0.996, 1].map(percent);
        }"""
    )
    assert found == ["<1 %", "<1 %", "1 %", "94 %", "99 %", ">99 %", ">99 %"]


def test_old_results_do_not_stand_under_a_query_that_failed(page, tmp_path, cherry, screenshots):
    ask(page, cherry)
    (tmp_path / "cut.png").write_bytes(conftest.encoded(Image.open(cherry))[:300])
    with page.expect_response("**/search") as refused:
        page.set_input_files("#file", tmp_path / "cut.png")
    assert refused.value.status == 422
    settle(page)
    expect(page.get_by_role("alert")).to_contain_text("The image cannot be read")
    expect(page.get_by_role("heading")).to_have_count(0)
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#keys")).to_be_hidden()
    page.screenshot(path=screenshots / "failed.png")
    again(page, page.go_back)
    expect(page.locator(".card")).to_have_count(12)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_only_image_of_an_index_has_no_other(page, cherry, server, monkeypatch):
    real, count = server.index.search_vectors, 1

    def fewer(*arguments, **options):
        found = real(*arguments, **options)
        return [answer._replace(hits=answer.hits[:count]) for answer in found]

    monkeypatch.setattr(server.index, "search_vectors", fewer)
    again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.get_by_role("heading")).to_have_text("No image to compare with")
    expect(page.locator("#verdict p")).to_have_text("The collection holds no other image.")
    count, said = 0, page.locator("#verdict p")
    again(page, lambda: page.get_by_label("Only with the label").fill("lime"))
    expect(said).to_have_text("No other image of the collection has this label.")
    ask(page, cherry)
    expect(said).to_have_text("No image of the collection has this label.")
    again(page, lambda: page.get_by_role("button", name="Remove the label lime").click())
    expect(said).to_have_text("The index is empty.")


def test_a_server_that_is_gone_is_said_to_be(page, cherry):
    ask(page, cherry)
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


def test_what_cannot_be_read_is_said_in_one_line(page, tmp_path, cherry):
    (tmp_path / "notes.png").write_text("these are notes")
    page.set_input_files("#file", tmp_path / "notes.png")
    expect(page.get_by_role("alert")).to_contain_text("This is no image that is read")
    (tmp_path / "large.png").write_bytes(bytes(1_100_000))
    page.set_input_files("#file", tmp_path / "large.png")
    expect(page.get_by_role("alert")).to_have_text("The file has 1.1 MB; up to 1 MB are taken.")
    ask(page, cherry)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_it_is_light_or_dark_as_the_system_or_as_chosen(watch, cherry, screenshots):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = watch(color_scheme="light"), watch(color_scheme="dark")
    assert paper(light) != paper(dark)
    ask(dark, cherry)
    dark.screenshot(path=screenshots / "dark.png")
    button = dark.locator("#theme")
    button.click()
    expect(button).to_have_attribute("aria-label", "Colours: light")
    assert paper(dark) == paper(light)
    dark.reload()
    expect(dark.locator("#theme")).to_have_attribute("aria-label", "Colours: light")
    assert paper(dark) == paper(light)


def test_everything_that_can_be_pressed_has_a_name(page, cherry):
    ask(page, cherry)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select")].filter((one) =>
            !one.getAttribute("aria-label") && !one.textContent.trim() && !one.labels?.length
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
