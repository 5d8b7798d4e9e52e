"""The demo fills in a page as a browser without JavaScript does."""

from services.cli.demo.form import read_form

PAGE = """<form method="get" action="/search"><input name="q"></form>
<form method="post" action="/s/abc">
<input type="hidden" name="_version" value="2"><input type="hidden" name="_shown" value="recommend">
<input type="hidden" name="_shown" value="reason">
<label><input type="radio" name="recommend" value="9" checked>9</label>
<textarea name="reason"></textarea></form><input name="outside">"""


def test_sends_what_is_hidden_and_what_was_asked() -> None:
    form = read_form(PAGE, "http://shop.example/s/abc?answer=9")
    assert form is not None
    assert form.action == "http://shop.example/s/abc"
    assert form.filled({"recommend": "9", "reason": "better & cheaper", "other": "x"}) == [
        ("_version", "2"),
        ("_shown", "recommend"),
        ("_shown", "reason"),
        ("recommend", "9"),
        ("reason", "better & cheaper"),
    ]
    assert "outside" not in form.names


def test_a_page_without_a_form_has_none() -> None:
    assert read_form("<h1>Thanks</h1>", "http://shop.example/s/abc/thanks") is None
