"""What an answer is worth in words, and the way among its results."""

from simsearch.index import answers
from tests.serve import browsing

server, browser, watch, page, screenshots, cherry, noise = browsing.FIXTURES
expect = browsing.expect


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
    browsing.again(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator(".card")).to_have_count(12)


def test_nothing_similar_is_said_where_nothing_is(page, noise, screenshots):
    answer = browsing.ask(page, noise)
    assert not answer["is_match"]
    expect(page.get_by_role("heading", name="Nothing similar here")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text(
        "Similar means a score of 0.998 or more, which at most 0.1 % of the validation pairs of "
        "different classes reach."
    )
    expect(page.locator(".card.weak")).to_have_count(12)
    page.screenshot(path=screenshots / "nothing.png")


def test_only_what_reaches_the_threshold_counts_as_similar(page, cherry, server, screenshots):
    scores = [hit.score for hit in server.index.search(cherry, top_k=12).hits]
    middle = (scores[6] + scores[7]) / 2
    usual = server.index._judge
    server.index._judge = usual._replace(threshold=middle)
    try:
        browsing.ask(page, cherry)
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


def test_without_a_threshold_nothing_is_called_similar(page, cherry, server, monkeypatch):
    monkeypatch.setattr(server.index, "_judge", answers.Judge())
    browsing.ask(page, cherry)
    expect(page.get_by_role("heading")).to_have_text("12 nearest images")
    expect(page.locator(".card.weak")).to_have_count(0)
    expect(page.locator(".card .probability")).to_have_count(0)
    said = page.evaluate(
        """async () => {
            const { verdict } = await import(new URL("page/verdict.js", location.href));
            const answer = { hits: [{ score: 0.1 }], threshold: 0.5, false_match_rate: 0 };
            return verdict(answer, { labels: [], isStored: false })[1].textContent;
        }"""
    )
    assert "which none of the validation pairs of different classes reaches." in said


def test_what_rounds_to_none_or_all_is_said_to_be_less_or_more(page):
    found = page.evaluate(
        """async () => {
            const { percent } = await import(new URL("page/grid.js", location.href));
            return [0, 0.004, 0.006, 0.9437, 0.994, 0.996, 1].map(percent);
        }"""
    )
    assert found == ["<1 %", "<1 %", "1 %", "94 %", "99 %", ">99 %", ">99 %"]


def test_the_only_image_of_an_index_has_no_other(page, cherry, server, monkeypatch):
    real = server.index.search_vectors

    def nothing_else(*arguments, **options):
        found = real(*arguments, **options)
        return [answer._replace(hits=[], is_match=False) for answer in found]

    monkeypatch.setattr(server.index, "search_vectors", nothing_else)
    browsing.again(page, lambda: page.locator(".card .hit").first.click())
    expect(page.get_by_role("heading")).to_have_text("No image to compare with")
    expect(page.locator("#verdict p")).to_have_text("The collection holds no other image.")
    said = page.locator("#verdict p")
    browsing.again(page, lambda: browsing.choose(page, "lime"))
    expect(said).to_have_text("No other image of the collection has this label.")
    browsing.ask(page, cherry)
    expect(said).to_have_text("No image of the collection has this label.")
    browsing.again(page, lambda: page.get_by_role("button", name="Remove the label lime").click())
    expect(said).to_have_text("The index is empty.")


def test_a_double_click_searches_once(page):
    card, searches = page.locator(".card .hit").nth(2), []
    page.on("request", lambda request: searches.append(request.url) if request.post_data else 0)
    name = browsing.paths(page)[2]
    box = card.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)

    def click():
        page.mouse.down()
        page.mouse.up()

    browsing.again(page, click)
    page.mouse.down(click_count=2)  # On what the first brought.
    page.mouse.up(click_count=2)
    browsing.again(page, lambda: page.locator("#count").select_option("24"))
    expect(page.locator("#query-name")).to_have_text(name)
    assert len(searches) == 2


def test_a_new_answer_is_seen_from_its_beginning_and_the_way_back_finds_the_place(page):
    last = page.locator(".card .hit").last
    last.scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    assert place > 100
    browsing.again(page, last.click)
    browsing.until(page, "document.getElementById('results').getBoundingClientRect().top >= 0")
    expect(page.locator("#verdict")).to_be_in_viewport()
    page.go_back()
    expect(page.locator(".card")).to_have_count(24)
    browsing.until(page, "(place) => Math.abs(scrollY - place) < 5", arg=place)


def test_the_focus_stays_among_the_results(page):
    first = page.locator(".card .hit").first
    page.locator(".card .hit").nth(3).focus()
    browsing.again(page, lambda: page.keyboard.press("Enter"))
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card .hit").nth(1)).to_be_focused()


def test_a_rough_calibration_is_told(page, cherry, noise, server, monkeypatch, screenshots):
    judge = server.index._judge._replace(doubt="do not trust the threshold: 9 pairs")
    monkeypatch.setattr(server.index, "_judge", judge)
    words = "Do not trust the threshold: 9 pairs."
    for query, heading in ((cherry, "similar image"), (noise, "Nothing similar here")):
        browsing.ask(page, query)
        expect(page.get_by_role("heading")).to_contain_text(heading)
        expect(page.locator("#verdict")).to_contain_text(words)
    page.screenshot(path=screenshots / "rough.png")


def test_each_card_s_buttons_say_of_which_image_they_are(page, cherry):
    answer = browsing.ask(page, cherry)
    what = f"cherry, score {answer['hits'][0]['score']:.3f}, 98 % the same class"
    for words in ("Search by this image", "More like this", "Less like this", "Large view"):
        expect(page.get_by_role("button", name=f"{words}: {what}", exact=True)).to_be_visible()


def test_words_of_other_scripts_leave_the_order_of_the_rest(page):
    hit = {"id": "0" * 32, "label": "تفاح", "path": "تفاح/1.jpg", "metadata": {}}
    page.route("**/images?*", lambda route: route.fulfill(json={"images": [hit]}))
    page.route("**/thumbnail", lambda route: route.fulfill(status=404))
    browsing.choose(page, "lime")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card .label")).to_have_text("تفاح")
    direction = "(one) => getComputedStyle(one).direction"
    assert page.locator(".card .label").evaluate(direction) == "rtl"
    assert page.locator(".card bdi").evaluate(direction) == "ltr"
