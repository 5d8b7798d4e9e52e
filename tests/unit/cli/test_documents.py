"""Reading definitions from files: YAML 1.2 values, the line of everything, and every way a file can be wrong."""

from pathlib import Path
from textwrap import dedent

import pytest

from services.cli.documents import FileDocument, FilesError, read_documents

KINDS = ("survey", "trigger")
TRIGGER = """\
# whom we ask
kind: trigger
id: after-purchase
on: shop.purchase.completed
when:
  all:
    - {path: data.amount, gt: 0.5}
    - path: data.country
      in: [no, 012, 2024-01-31, 1e3, ~]
"""


def read(directory: Path, *texts: str) -> list[FileDocument]:
    for index, text in enumerate(texts):
        (directory / f"{index}.yaml").write_text(dedent(text), encoding="utf-8")
    return read_documents([directory], KINDS)


def refused(directory: Path, *texts: str) -> list[str]:
    with pytest.raises(FilesError) as raised:
        read(directory, *texts)
    return [str(error).removeprefix(f"{directory}/") for error in raised.value.errors]


def test_words_that_yaml_1_1_would_change_stay_what_they_are(tmp_path: Path) -> None:
    [document] = read(tmp_path, TRIGGER)
    assert document.body["on"] == "shop.purchase.completed"
    assert document.body["when"]["all"][1]["in"] == ["no", "012", "2024-01-31", 1000.0, None]
    assert document.body["when"]["all"][0]["gt"] == 0.5


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ("on", 4),
        ("when.all[0].gt", 7),
        ("when.all[1].in[2]", 9),
        ("when.all[1].missing", 8),
        ("when.and-a-union-tag.all[1].path", 8),
        ("nowhere", 2),
        ("", 2),
    ],
)
def test_a_place_has_the_line_of_it_or_of_what_is_nearest(
    tmp_path: Path, at: str, line: int
) -> None:
    [document] = read(tmp_path, TRIGGER)
    assert document.lines.of(at) == line


def test_lines_go_on_over_the_documents_of_a_file(tmp_path: Path) -> None:
    _, second = read(
        tmp_path, "kind: survey\nid: a\n---\n---\nkind: survey\nid: b\ntitle: {en: x}\n"
    )
    assert (second.id, second.lines.of("title.en")) == ("b", 7)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kind: survey\nid: a\nid: b\n", "0.yaml:3: id stands twice, first on line 2"),
        ("kind: survey\nid: 12\n", "0.yaml:2: id: must be text; put it in quotes"),
        ("kind: survey\n", "0.yaml:1: id: is missing"),
        ("id: a\n", "0.yaml:1: kind is missing (expected survey, trigger)"),
        ("id: a\nkind: servey\n", "0.yaml:2: kind: 'servey' is not a kind (expected survey, trigger)"),
        ("- kind: survey\n", "0.yaml:1: is not a definition: a mapping with kind and id is expected"),
        ("kind: survey\nid: a\nname: [x\n", "0.yaml:4: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("kind: survey\nid: !!python/name:os.system x\n", "0.yaml:2: the tag tag:yaml.org,2002:python/name:os.system is not supported"),
        ("kind: survey\n? [a]\n: 1\n", "0.yaml:2: a key must be text"),
        ("[" * 100_000, "0.yaml:1: is nested too deeply"),
        ("a: &a\n  - *a\n", "0.yaml:1: is nested more than 50 levels deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, error: str) -> None:
    assert refused(tmp_path, text) == [error]


def test_aliases_that_multiply_are_refused_early(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    [error] = refused(tmp_path, bomb)
    assert "more than 200000 values" in error


@pytest.mark.parametrize("text", ["Would you come back?", "Why? Tell us", "a ? b"])
def test_a_question_mark_in_braces_is_text(tmp_path: Path, text: str) -> None:
    [document] = read(tmp_path, f"kind: survey\nid: a\ntext: {{en: {text}, zh: [{text}]}}\n")
    assert document.body["text"] == {"en": text, "zh": [text]}


def test_aliases_within_reason_are_fine(tmp_path: Path) -> None:
    [document] = read(tmp_path, "kind: survey\nid: a\none: &t {en: Hi}\ntwo: *t\n")
    assert document.body["two"] == {"en": "Hi"}


def test_one_id_twice_is_refused_across_files_and_says_where_the_other_is(tmp_path: Path) -> None:
    [error] = refused(
        tmp_path, "kind: survey\nid: a\n", "kind: trigger\nid: a\n---\nkind: survey\nid: a\n"
    )
    assert error == f"1.yaml:5: id: survey 'a' is defined twice, also in {tmp_path}/0.yaml:2"


def test_every_file_is_read_before_the_errors_are_told(tmp_path: Path) -> None:
    errors = refused(tmp_path, "kind: what\nid: a\n---\nkind: survey\n", "kind: survey\nid: [\n")
    assert [error.partition(": ")[0] for error in errors] == ["0.yaml:1", "0.yaml:4", "1.yaml:3"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text("kind: survey\nid: a\n", encoding="utf-8")
    assert len(read_documents([tmp_path, file, tmp_path / "." / "a.yml"], KINDS)) == 1


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"kind: survey\nid: \xff\n")
    with pytest.raises(FilesError) as raised:
        read_documents([tmp_path, tmp_path / "none.yaml", tmp_path.parent / "x"], KINDS)
    told = [str(error).rpartition("/")[2] for error in raised.value.errors]
    assert told[:2] == [
        "a.yaml:2: is not UTF-8",
        "none.yaml:1: cannot be read: No such file or directory",
    ]


def test_a_directory_without_definitions_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(FilesError, match="has no"):
        read_documents([tmp_path], KINDS)


def test_what_a_file_says_cannot_move_the_cursor(tmp_path: Path) -> None:
    [error] = refused(tmp_path, 'kind: "\\e[2J"\nid: a\n')
    assert "\x1b" not in error
