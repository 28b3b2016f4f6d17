"""How an image gets in: chosen, dropped, pasted, or by its address."""

import base64
import re
import threading

from simsearch.data import fetch
from tests.serve import browsing
from tests.serve.test_attacks import Site, http

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


def test_the_page_says_what_answers_and_offers_a_start(page, screenshots):
    expect(page.locator("#facts")).to_contain_text("24 images")
    expect(page.locator("#facts")).to_contain_text("LanceDB index “fruits”")
    expect(page.locator("#facts span").last).to_have_text("resnet18")
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
    _, answer = browsing.again(
        page, lambda: page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    )
    expect(page.locator("#curtain")).to_be_hidden()
    assert answer["hits"][0]["path"] == "cherry/00.jpg"
    expect(page.locator("#query-name")).to_have_text("dropped.jpg")


def test_a_pasted_image_is_searched_by(page, cherry):
    browsing.copy(page, image_png=browsing.png(cherry))
    _, answer = browsing.again(page, lambda: page.keyboard.press("Control+V"))
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
        _, answer = browsing.again(
            page, lambda: page.get_by_role("button", name="Search", exact=True).click()
        )
        assert answer["hits"][0]["path"] == "cherry/00.jpg"
        expect(page.get_by_role("alert")).to_be_hidden()
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def test_what_cannot_be_read_is_said_in_one_line(page, tmp_path, cherry):
    (tmp_path / "notes.png").write_text("these are notes")
    page.set_input_files("#file", tmp_path / "notes.png")
    expect(page.get_by_role("alert")).to_contain_text("This is no image that is read")
    (tmp_path / "large.png").write_bytes(bytes(1_100_000))
    page.set_input_files("#file", tmp_path / "large.png")
    expect(page.get_by_role("alert")).to_have_text("The file has 1.1 MB; up to 1 MB are taken.")
    for name in ("first.png", "second.png"):
        (tmp_path / name).write_bytes(bytes(600_000))
    page.set_input_files("#file", [tmp_path / "first.png", tmp_path / "second.png"])
    expect(page.get_by_role("alert")).to_have_text("The files have 1.2 MB; up to 1 MB are taken.")
    (tmp_path / "notes.txt").write_text("these are notes")
    browsing.ask(page, [tmp_path / "notes.txt", cherry])
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#query-name")).to_have_text("00.jpg")


def test_an_address_is_dropped_or_pasted_only_where_the_server_reads_addresses(page, server):
    address = "http://127.0.0.1:9/image.png"

    def drop():
        transfer = page.evaluate_handle(
            """(address) => {
                const transfer = new DataTransfer();
                transfer.setData("text/uri-list", `${address}\\r\\n${address}/more`);
                return transfer;
            }""",
            address,
        )
        page.dispatch_event("body", "drop", {"dataTransfer": transfer})

    def paste():
        browsing.copy(page, text_plain=f" {address}\n")
        page.keyboard.press("Control+V")

    for act in (drop, paste):
        sent, _ = browsing.again(page, act)
        assert sent.url == address
        expect(page.get_by_role("alert")).to_contain_text("private network")
    about = server.ask("/info").json | {"version": 0}
    about["limits"] |= {"url_queries": False, "max_top_k": 20}
    page.route("**/info", lambda route: route.fulfill(json=about))
    page.goto(server.url)
    expect(page.locator("#facts span").last).to_have_text("resnet18, version 0")
    expect(page.locator("#url-form")).to_be_hidden()
    expect(page.locator("#count option")).to_have_text(["8", "12"])
    for act in (drop, paste):
        act()
        expect(page.locator("#preview")).to_be_hidden()


def test_several_images_are_searched_by_on_average(page, server, photos, screenshots):
    files = [photos / name for name in ("cherry/00.jpg", "lime/01.jpg", "lime/04.jpg")]
    answer = browsing.ask(page, files)
    form = [("image", (file.name, file.read_bytes())) for file in files]
    same = server.ask("/search", form=[*form, ("top_k", "12")]).json
    assert answer["hits"] == same["hits"]
    expect(page.locator("#query-name")).to_have_text("3 images, averaged")
    expect(page.locator("#several img")).to_have_count(3)
    expect(page.locator("#frame")).to_be_hidden()
    expect(page.locator("#crop-toggle")).to_be_disabled()
    page.screenshot(path=screenshots / "several.png")
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.locator("#several")).to_be_hidden()
    browsing.again(page, page.go_back)
    expect(page.locator("#several img")).to_have_count(3)


def test_more_images_than_a_query_may_have_are_told_before_they_are_sent(page, photos):
    files = sorted(photos.rglob("*.jpg"))[:17]
    page.set_input_files("#file", files)
    expect(page.get_by_role("alert")).to_have_text("These are 17 images; at most 16 make a query.")


def test_a_file_that_changes_later_is_searched_by_as_it_was(page, tmp_path, cherry, noise):
    file = tmp_path / "later.jpg"
    file.write_bytes(cherry.read_bytes())
    whole = browsing.ask(page, file)
    file.write_bytes(noise.read_bytes())
    _, answer = browsing.again(page, lambda: page.locator("#count").select_option("24"))
    assert answer["hits"][:12] == whole["hits"]
    file.unlink()
    browsing.again(page, page.get_by_role("button", name="Crop").click)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_that_cannot_be_read_is_told_and_keeps_what_is_there(page, cherry, noise):
    browsing.ask(page, cherry)
    # As of a folder, or of a file that was deleted meanwhile.
    gone = "() => Promise.reject(new DOMException('gone', 'NotFoundError'))"
    page.evaluate(f"() => {{ File.prototype.arrayBuffer = {gone}; }}")
    page.set_input_files("#file", noise)
    expect(page.get_by_role("alert")).to_have_text("“noise.png” cannot be read; choose it again.")
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    expect(page.locator(".card")).to_have_count(12)


def test_a_file_that_is_slow_to_read_does_not_overtake_a_later_one(page, cherry, noise):
    page.evaluate(
        """() => {
            const real = File.prototype.arrayBuffer;
            File.prototype.arrayBuffer = async function () {
                if (this.name !== "noise.png") return real.call(this);
                await new Promise((go) => (window.readNoise = go));
                return (window.noise = real.call(this));
            };
        }"""
    )
    page.set_input_files("#file", noise)
    browsing.until(page, "Boolean(window.readNoise)")
    browsing.ask(page, cherry)
    page.evaluate("readNoise()")
    # What follows the slow file's bytes comes before any later task.
    page.evaluate("noise.then(() => new Promise((go) => setTimeout(go)))")
    browsing.settle(page)
    expect(page.locator("#query-name")).to_have_text("00.jpg")
    assert browsing.paths(page)[0] == "cherry/00.jpg"


def test_a_file_that_cannot_be_read_takes_the_place_of_a_search_under_way(page, cherry, noise):
    browsing.ask(page, cherry)
    waiting = []
    page.route("**/search", lambda route: waiting.append(route))
    with page.expect_request("**/search"):
        page.set_input_files("#file", cherry.parent / "03.jpg")
    gone = "() => Promise.reject(new DOMException('gone', 'NotFoundError'))"
    page.evaluate(f"() => {{ File.prototype.arrayBuffer = {gone}; }}")
    page.set_input_files("#file", noise)
    expect(page.get_by_role("alert")).to_have_text("“noise.png” cannot be read; choose it again.")
    browsing.settle(page)
    expect(page.locator(".card")).to_have_count(0)


def test_a_result_is_dragged_onto_the_query(page):
    name, image = browsing.paths(page)[1], page.locator(".card img").nth(1)
    browsing.until(page, "(image) => image.naturalWidth > 0", arg=image.element_handle())
    start, stop = (
        (box["x"] + box["width"] / 2, box["y"] + 40)
        for box in (image.bounding_box(), page.locator("#drop").bounding_box())
    )

    def drag():
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(start[0] - 20, start[1])
        page.mouse.move(*stop)
        expect(page.locator("#curtain")).to_be_visible()
        page.mouse.up()

    sent, _ = browsing.again(page, drag)
    assert sent.id and not sent.url and page.url.endswith(f"?id={sent.id}")
    expect(page.locator("#query-name")).to_have_text(name)
    expect(page.locator("#curtain")).to_be_hidden()


def test_text_is_pasted_into_a_field_although_a_picture_comes_with_it(page, cherry):
    browsing.copy(page, image_png=browsing.png(cherry), text_plain="some words")
    field = page.get_by_label("Address of an image")
    field.focus()
    page.keyboard.press("Control+V")
    expect(field).to_have_value("some words")
    expect(page.locator("#preview")).to_be_hidden()
    page.locator("#choose").focus()
    browsing.again(page, lambda: page.keyboard.press("Control+V"))
    expect(page.locator("#preview")).to_be_visible()


def test_the_answer_to_a_photo_is_in_view_on_a_phone(watch, cherry, screenshots):
    page = watch(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    browsing.ask(page, cherry)
    browsing.until(page, "document.getElementById('results').getBoundingClientRect().top < 445")
    expect(page.locator(".card").first).to_be_in_viewport()
    page.screenshot(path=screenshots / "phone_answer.png")
