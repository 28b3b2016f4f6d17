"""A real browser on the page of a real server over a real index, and what every test does with it.

A test module takes the fixtures by `FIXTURES`; it is skipped where there is no browser.

Screenshots go to the folder SIMSEARCH_SCREENSHOTS, or else to pytest's temporary one.
"""

import base64
import os
import pathlib
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from simsearch.index import answers
from tests.serve import conftest, live

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
    r"Failed to load resource: "
    r"(the server responded with a status of (4\d\d|503)|net::ERR_INTERNET_DIS)"
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
        # Interception is on from the first request: where a test's own `page.route` turns it on,
        # Chromium may be a request late, and Playwright waits forever for what was not paused.
        self.context.route("nothing:*", lambda route: route.abort())
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


def choose(page, label):
    """Types a label and takes the first one that is offered."""
    field = page.get_by_label("Only with the label")
    field.fill(label)
    field.press("Enter")


def paths(page):
    return page.locator(".card .path").all_text_contents()


def drag(page, start, *stops):
    page.mouse.move(*start)
    page.mouse.down()
    for stop in stops:
        page.mouse.move(*stop)
    page.mouse.up()


def picture(path, size):
    """Draws a picture of a size, and returns its path."""
    Image.linear_gradient("L").resize(size).convert("RGB").save(path)
    return path


def until(page, condition, arg=None):
    """Waits until a function or an expression of the page's is true.

    Not `wait_for_function`, which looks again by `eval`: the page's policy forbids it.
    """
    deadline = time.monotonic() + 20
    while not page.evaluate(condition, arg):
        assert time.monotonic() < deadline, f"never true: {condition}"
        page.wait_for_timeout(50)


def frame(page):
    """Waits until the query's frame has the picture's shape; returns where it is, in pixels."""
    until(
        page,
        """() => {
            const image = document.getElementById("query-image");
            const { width, height } = document.getElementById("frame").getBoundingClientRect();
            const ratio = image.naturalWidth / image.naturalHeight;
            return image.complete && Math.abs(width - ratio * height) < 1 + 0.01 * width;
        }""",
    )
    return page.locator("#frame").bounding_box()


def copy(page, **texts):
    """Puts contents of several kinds into the clipboard: `image_png` in base64, or texts."""
    page.evaluate(
        """async (contents) => {
            const blobs = {};
            for (const [name, data] of Object.entries(contents)) {
                const type = name.replace("_", "/");
                const bytes = () => Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                blobs[type] = new Blob([type.startsWith("image") ? bytes() : data], { type });
            }
            await navigator.clipboard.write([new ClipboardItem(blobs)]);
        }""",
        texts,
    )


def png(file):
    """Returns a picture as `copy` takes it."""
    return base64.b64encode(conftest.encoded(Image.open(file))).decode()


# A module binds these names: a fixture is found by the name that it has there.
FIXTURES = (server, browser, watch, page, screenshots, cherry, noise)
