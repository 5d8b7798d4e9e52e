"""Conditions: every operator, unknown in every place, positions in errors, bounds, and hostile patterns."""

import itertools
import json
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.conditions import (
    MISSING,
    OPERATORS,
    ROOTS,
    Condition,
    ConditionError,
    parse,
    parse_path,
    read,
)
from shared.conditions.pattern import Pattern
from shared.conditions.pattern_syntax import PatternError

NOON = "2026-01-31T12:00:00Z"
ABSENT = object()


def ask(operator: str, literal: object, value: object) -> bool | None:
    data = {} if value is ABSENT else {"x": value}
    return parse({"path": "data.x", operator: literal}, roots=ROOTS).matches({"data": data})


def problems_of(document: object, roots: frozenset[str] = ROOTS) -> dict[str, str]:
    with pytest.raises(ConditionError) as caught:
        parse(document, roots=roots)
    return {each.at: f"{each.message} | {each.expected}" for each in caught.value.problems}


@pytest.mark.parametrize(
    ("operator", "literal", "value", "result"),
    [
        ("eq", 1, 1.0, True),
        ("eq", 1, 2, False),
        ("eq", 1, True, None),
        ("eq", True, 1, None),
        ("eq", True, True, True),
        ("eq", False, True, False),
        ("eq", "1", 1, None),
        ("eq", "金", "金", True),
        ("eq", "", "", True),
        ("ne", "a", "b", True),
        ("ne", "a", "a", False),
        ("ne", "a", 1, None),
        ("lt", 5, 4.9, True),
        ("lt", 5, 5, False),
        ("lt", 5, "4", None),
        ("lt", 5, False, None),
        ("lt", "b", "a", True),
        ("lte", 5, 5, True),
        ("lte", 5, 6, False),
        ("gt", 0, 0.01, True),
        ("gt", 0, 0, False),
        ("gt", 2**53, 2**53 + 1, True),
        ("gte", 0, 0, True),
        ("gte", 0, -1, False),
        ("gte", "2026-01-01", "2026-01-02", True),
        ("between", [1, 3], 1, True),
        ("between", [1, 3], 3.0, True),
        ("between", [1, 3], 3.1, False),
        ("between", [1, 3], "2", None),
        ("between", ["a", "c"], "b", True),
        ("in", ["a", "b"], "b", True),
        ("in", ["a", "b"], "c", False),
        ("in", ["a", "b"], 1, None),
        ("in", ["a"], ["a"], None),
        ("in", [0, 1], True, None),
        ("in", [0, 1.5], 1.5, True),
        ("not_in", ["a", "b"], "c", True),
        ("not_in", ["a", "b"], "a", False),
        ("not_in", ["a", "b"], 1, None),
        ("contains", "坏", "东西坏了", True),
        ("contains", "x", "abc", False),
        ("contains", "a", ["a", 1], True),
        ("contains", "ab", ["a", "b"], False),
        ("contains", 1, [1.0], True),
        ("contains", 1, [True], False),
        ("contains", True, [1], False),
        ("contains", 1, "1", None),
        ("contains", "a", {"a": 1}, None),
        ("contains", "a", 1, None),
        ("starts_with", "SH-", "SH-1", True),
        ("starts_with", "SH-", "BJ-1", False),
        ("starts_with", "1", 1, None),
        ("ends_with", ".cn", "a@b.cn", True),
        ("ends_with", ".cn", "a@b.com", False),
        ("ends_with", "1", 1, None),
        ("matches", "^SH-[0-9]+$", "SH-12", True),
        ("matches", "^SH-[0-9]+$", "XSH-12", False),
        ("matches", "[0-9]", 12, None),
        ("matches", "a", "a" * 2_001, None),
        ("before", NOON, "2026-01-31T11:59:59.999999Z", True),
        ("before", NOON, "2026-01-31T19:59:59+08:00", True),
        ("before", NOON, NOON, False),
        ("before", NOON, "2026-01-31", None),
        ("before", NOON, "2026-01-31T12:00:00", None),
        ("before", NOON, "2026-02-30T12:00:00Z", None),
        ("before", NOON, 1769860800, None),
        ("after", NOON, "2026-01-31T20:00:01+08:00", True),
        ("after", NOON, "2026-01-31t12:00:00.000001234z", True),
        ("after", NOON, NOON, False),
        ("after", NOON, "soon", None),
        ("exists", True, 0, True),
        ("exists", True, "", True),
        ("exists", True, None, False),
        ("exists", True, ABSENT, False),
        ("exists", False, ABSENT, True),
        ("exists", False, None, True),
        ("exists", False, [], False),
    ],
)
def test_operator(operator: str, literal: object, value: object, result: bool | None) -> None:
    assert ask(operator, literal, value) is result


LITERALS: dict[str, object] = {
    "between": [1, 2],
    "in": ["a"],
    "not_in": ["a"],
    "before": NOON,
    "after": NOON,
    "exists": True,
}


@pytest.mark.parametrize("operator", sorted(set(OPERATORS) - {"exists"}))
@pytest.mark.parametrize("value", [ABSENT, None, {}], ids=["missing", "null", "object"])
def test_what_is_missing_or_mistyped_is_unknown_even_under_not(
    operator: str, value: object
) -> None:
    leaf = {"path": "data.x", operator: LITERALS.get(operator, "a")}
    facts = {"data": {} if value is ABSENT else {"x": value}}
    assert parse(leaf, roots=ROOTS).matches(facts) is None
    assert parse({"not": leaf}, roots=ROOTS).matches(facts) is None


TRUE, FALSE, UNKNOWN = ({"path": f"data.{name}", "eq": True} for name in ("yes", "no", "none"))
KLEENE_FACTS = {"data": {"yes": True, "no": False}}
VALUES: dict[bool | None, object] = {True: TRUE, False: FALSE, None: UNKNOWN}


@pytest.mark.parametrize(("left", "right"), list(itertools.product(VALUES, VALUES)))
def test_kleene_tables(left: bool | None, right: bool | None) -> None:
    both = parse({"all": [VALUES[left], VALUES[right]]}, roots=ROOTS).matches(KLEENE_FACTS)
    either = parse({"any": [VALUES[left], VALUES[right]]}, roots=ROOTS).matches(KLEENE_FACTS)
    rank = {False: 0, None: 1, True: 2}
    assert both is min(left, right, key=rank.__getitem__)
    assert either is max(left, right, key=rank.__getitem__)


@pytest.mark.parametrize(("value", "result"), [(True, False), (False, True), (None, None)])
def test_not_keeps_unknown(value: bool | None, result: bool | None) -> None:
    assert parse({"not": VALUES[value]}, roots=ROOTS).matches(KLEENE_FACTS) is result


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.a", 1),
        ("data.b.c", [10, {"d": 2}]),
        ("data.b.c.0", 10),
        ("data.b.c.1.d", 2),
        ("data.b.c.2", MISSING),
        ("data.b.c.-1", MISSING),
        ("data.b.c.x", MISSING),
        ("data.a.x", MISSING),
        ("data.text.0", MISSING),
        ("data.7", "key"),
        ("data.nothing", None),
        ("data.nothing.x", MISSING),
        ("customer.a", MISSING),
    ],
)
def test_read(path: str, value: object) -> None:
    facts = {
        "data": {"a": 1, "b": {"c": [10, {"d": 2}]}, "text": "abc", "7": "key", "nothing": None}
    }
    assert read(facts, path) == value
    assert read(facts, parse_path(path, ROOTS)) == value
    seen = parse({"path": path, "exists": True}, roots=ROOTS).matches(facts)
    assert seen is (value is not MISSING and value is not None)


@pytest.mark.parametrize("root", ["list", 5, None, "text", [1]])
def test_facts_of_a_wrong_shape_are_missing(root: object) -> None:
    assert parse({"path": "data.x", "gt": 0}, roots=ROOTS).matches({"data": root}) is None
    assert parse({"path": "data.0", "gt": 0}, roots=ROOTS).matches({"data": [3]}) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data", "alone is not a path"),
        ("", "segment ''"),
        ("data..a", "segment ''"),
        ("data.a b", "segment 'a b'"),
        ("data.金", "segment '金'"),
        ("data.a\n", "segment 'a\n'"),
        ("orders.a", "'orders' cannot be read here"),
        ("event.amount", "there is no 'event.amount'"),
        ("event.type.x", "there is no 'event.type.x'"),
        ("data." + "a" * 200, "path of 205 characters"),
        (None, "not null"),
        (["data"], "not list"),
    ],
)
def test_bad_path(text: object, message: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(message)) as caught:
        parse_path(text, ROOTS, at="transaction")
    assert [each.at for each in caught.value.problems] == ["transaction"]


def test_a_path_outside_the_callers_roots_is_named() -> None:
    found = problems_of({"path": "data.x", "gt": 0}, frozenset({"answers"}))
    assert found == {
        "when.path": "'data' cannot be read here | a path that starts with one of: answers"
    }


def test_every_problem_is_reported_at_its_position() -> None:
    found = problems_of(
        {
            "all": [
                {"path": "data.x", "gt": "0", "lt": None},
                {"path": "nowhere.x", "greater": 1},
                {"any": []},
                {"not": [TRUE]},
                {"path": "data.x", "in": ["a", 1, None]},
                {"path": "data.x", "matches": "(a"},
                {"path": "data.x", "startswith": "a"},
                {"path": "data.x"},
                {"gt": 1},
                {"all": [TRUE], "path": "data.x"},
                {"path": "data.x", True: 1},
                "data.x > 1",
            ]
        }
    )
    assert set(found) == {
        "when.all[0]",
        "when.all[0].lt",
        "when.all[1].path",
        "when.all[1].greater",
        "when.all[2].any",
        "when.all[3].not",
        "when.all[4].in[1]",
        "when.all[4].in[2]",
        "when.all[5].matches",
        "when.all[6].startswith",
        "when.all[7]",
        "when.all[8]",
        "when.all[9]",
        "when.all[10].(boolean)",
        "when.all[11]",
    }
    assert found["when.all[0]"] == "2 operators: gt, lt | exactly one; all combines several"
    assert found["when.all[6].startswith"] == "no such operator | starts_with?"
    assert "a ( that is not closed, at character 1" in found["when.all[5].matches"]


@pytest.mark.parametrize(
    ("operator", "literal", "message"),
    [
        ("eq", None, "exists: false"),
        ("eq", [1], "a value of type list"),
        ("gt", True, "a value of type boolean"),
        ("gt", float("nan"), "not finite"),
        ("gt", float("inf"), "not finite"),
        ("gt", 10**400, "too large"),
        ("eq", "a" * 1_001, "a string of 1001 characters"),
        ("in", [], "an empty list"),
        ("in", "a", "a list of one or more"),
        ("in", ["a"] * 1_001, "a list of 1001 items"),
        ("between", [1], "a list of 1 items"),
        ("between", [1, 2, 3], "a list of 3 items"),
        ("between", [2, 1], "low is above high"),
        ("between", [True, False], "a value of type boolean"),
        ("contains", "", "an empty string"),
        ("starts_with", "", "an empty string"),
        ("matches", "", "an empty pattern"),
        ("matches", 5, "a value of type number"),
        ("matches", "a" * 201, "a pattern of 201 characters"),
        ("matches", "(a{99}){99}", "a pattern of 9801 positions"),
        ("before", "2026-01-31", "RFC 3339"),
        ("after", "2026-01-31T25:00:00Z", "RFC 3339"),
        ("after", 5, "RFC 3339"),
        ("exists", "yes", "true or false"),
        ("exists", 1, "true or false"),
    ],
)
def test_bad_literal(operator: str, literal: object, message: str) -> None:
    found = problems_of({"path": "data.x", operator: literal})
    assert any(message in each for each in found.values()), found
    assert all(at.startswith(f"when.{operator}") for at in found)


def nested(depth: int) -> object:
    return TRUE if depth == 1 else {"not": nested(depth - 1)}


def test_bounds_hold_exactly() -> None:
    parse(nested(8), roots=ROOTS)
    assert problems_of(nested(9)) == {"when" + ".not" * 8: "nested too deep | at most 8 levels"}
    parse({"all": [TRUE] * 199}, roots=ROOTS)
    assert list(problems_of({"all": [TRUE] * 200})) == ["when.all[199]"]
    assert list(problems_of({"any": [{"all": [TRUE] * 500}] * 500})) == ["when.any[0].all[198]"]
    heavy = {"path": "data.x", "matches": "a{200}"}
    parse({"all": [heavy, heavy]}, roots=ROOTS)
    assert "600 positions" in problems_of({"all": [heavy, heavy, heavy]})["when"]


def test_a_tree_that_nests_beyond_pythons_stack_is_one_problem() -> None:
    document: object = TRUE
    for _ in range(100_000):
        document = {"not": document}
    assert len(problems_of(document)) == 1


HOSTILE = [
    "(a+)+$",
    "(a|a)*b",
    "(.*)*x",
    "(a*)*(a*)*b",
    ".*.*.*.*.*.*x",
    "(a|b)*a(a|b){90}c",
    "(a?){60}a{60}b",
]


def cost(do: Callable[[], object]) -> float:
    """The CPU seconds it takes at least: of three times, for a collection of garbage may fall into one."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        do()
        taken.append(time.process_time() - started)
    return min(taken)


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("text", ["a" * 1_999 + "!", "ab" * 1_000, "aab!" * 500])
def test_hostile_patterns_cost_milliseconds(pattern: str, text: str) -> None:
    condition = parse({"path": "data.x", "matches": pattern}, roots=ROOTS)
    assert cost(lambda: condition.matches({"data": {"x": text}})) < 0.1


@pytest.mark.parametrize(
    "pattern",
    [
        "((((a{9}){9}){9}){9}){9}",
        "((((){999}){999}){999}){999}",
        "(" * 100,
        "(?i)" + "".join(map(chr, range(0x400, 0x4C4))),
    ],
)
def test_hostile_patterns_are_refused_at_once(pattern: str) -> None:
    def refused() -> None:
        with pytest.raises(PatternError):
            Pattern(pattern)

    assert cost(refused) < 0.1


REFUSED = [
    "(a", "a)", "*a", "a**", "a*+", "a{2,1}", "a{", "a{x}", r"\1", r"\b", r"\p", "\\", "[a", "[]", "[z-a]",
    "[a--b]", "(?=a)", "(?P<n>a)", "(?<=a)b", "a(?i)b", "^*", "+",
]  # fmt: skip


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_is_not_in_the_grammar_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(pattern)
    assert caught.value.expected


AGREES = [
    "", "a", "^a", "a$", "^a$", "^$", "a|b", "^(a|b)+$", "(^|b)a", "a(b|$)", "^^a", "a$$", "(?:ab)*c", "a{2}",
    "^a{1,2}$", "a{2,}b", "^a{,2}$", "a??b", "a+?b", "[^a]", "[a-b]+c", r"[\d.-]+", r"\.", r"\w+\s\d", "(?i)AB", "(?i)[A-B]c", "(?i)金s", "(?i)ſ",
    ".", "a.b", "()a", "(a|)b", "a|", "^(a|b)$|^c", "[ab\\]]", "x{0}a", "]", "}", "-", r"\-", "(a*b*)*c", "(^a|b$)",
]  # fmt: skip
TEXTS = ["".join(each) for n in range(4) for each in itertools.product("abc", repeat=n)] + [
    "aabb", "aaaa", "ABC", "aBc", "a.b", "1.5-2", "x 7", "金", "a\nb", "\n", "]", "}", "-", "İ", "ſ",
]  # fmt: skip


@pytest.mark.parametrize("pattern", AGREES)
def test_patterns_mean_what_they_mean_in_re(pattern: str) -> None:
    ours, theirs = Pattern(pattern), re.compile(pattern.replace("$", r"\Z"))
    for text in TEXTS:
        assert ours.search(text) is (theirs.search(text) is not None), (pattern, text)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{0}"])
    return (
        st.tuples(inner, counts).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
        | st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})")
    )


patterns = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", ""]), _grow, max_leaves=6
)


@given(patterns, st.sampled_from(["", "^"]), st.sampled_from(["", "$"]), st.text("abc", max_size=6))
def test_any_pattern_agrees_with_re(body: str, begin: str, end: str, text: str) -> None:
    pattern = f"{begin}({body}){end}"
    try:
        ours = Pattern(pattern)
    except PatternError as error:
        assert "at most" in error.expected  # noqa: PT017 - the only refusal this grammar can meet
        return
    theirs = re.search(pattern.replace("$", r"\Z"), text)
    assert ours.search(text) is (theirs is not None)


@given(st.text(alphabet="ab(|)*+?{}[]^$.\\-,0123d:i", max_size=30), st.text("ab01", max_size=10))
def test_any_text_is_a_pattern_or_refused(pattern: str, text: str) -> None:
    try:
        ours = Pattern(pattern)
    except PatternError:
        return
    assert isinstance(ours.search(text), bool)


def test_explanation_says_what_was_seen_and_why_unknown() -> None:
    condition = parse(
        {
            "all": [
                {"path": "data.amount", "gt": 100},
                {"not": {"path": "customer.tier", "in": ["gold"]}},
                {
                    "any": [
                        {"path": "data.note", "contains": "x"},
                        {"path": "data.items", "exists": True},
                    ]
                },
                {"path": "data.nothing", "eq": 1},
            ]
        },
        roots=ROOTS,
    )
    explanation = condition.explain(
        {
            "data": {"amount": "120", "note": "y" * 500, "items": [{}], "nothing": None},
            "customer": {},
        }
    )
    note = {"result": "false", "path": "data.note", "operator": "contains", "literal": "x"}
    assert explanation.result is None
    assert explanation.unknown == (
        "data.amount is mistyped: expected number, got string",
        "customer.tier is missing",
        "data.nothing is missing: null",
    )
    assert explanation.tree == {
        "result": "unknown",
        "all": [
            {
                "result": "unknown",
                "path": "data.amount",
                "operator": "gt",
                "literal": 100,
                "value": "120",
                "reason": "mistyped: expected number, got string",
            },
            {
                "result": "unknown",
                "not": {
                    "result": "unknown",
                    "path": "customer.tier",
                    "operator": "in",
                    "literal": ["gold"],
                    "reason": "missing",
                },
            },
            {
                "result": "true",
                "any": [
                    note | {"value": "y" * 199 + "…"},
                    {
                        "result": "true",
                        "path": "data.items",
                        "operator": "exists",
                        "literal": True,
                        "value": "list of 1 items",
                    },
                ],
            },
            {
                "result": "unknown",
                "path": "data.nothing",
                "operator": "eq",
                "literal": 1,
                "value": None,
                "reason": "missing: null",
            },
        ],
    }


def test_a_condition_is_a_value() -> None:
    document = {
        "any": [{"gt": 0, "path": "data.a.b"}, {"not": {"path": "customer.t", "in": ["x"]}}]
    }
    condition = parse(document, roots=ROOTS)
    assert condition.document == document
    assert condition.paths == {"data.a.b", "customer.t"}
    again = parse(condition.document, roots=ROOTS)
    assert condition == again
    assert len({condition, again}) == 1
    assert parse({"path": "data.x", "eq": 1}, roots=ROOTS) != parse(TRUE, roots=ROOTS)
    assert parse({"path": "data.x", "eq": 1}, roots=ROOTS) != parse(
        {"path": "data.x", "eq": True}, roots=ROOTS
    )


def test_changing_the_parsed_document_changes_nothing() -> None:
    allowed = ["a"]
    condition = parse({"path": "data.x", "in": allowed}, roots=ROOTS)
    allowed.append("b")
    assert condition.matches({"data": {"x": "b"}}) is False
    assert condition.document == {"path": "data.x", "in": ["a"]}


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["path", "all", "any", "not", *OPERATORS]) | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_parse_raises_nothing_but_condition_errors(document: object) -> None:
    try:
        condition = parse(document, roots=ROOTS)
    except ConditionError as error:
        problems = error.problems
    else:
        json.dumps(condition.explain({}).tree)
        return
    assert problems
    assert all(each.at.startswith("when") and each.expected for each in problems)


names = st.sampled_from(["a", "b"])
times = st.datetimes(timezones=st.timezones()).map(lambda each: each.isoformat(timespec="seconds"))
leaves = st.one_of(
    st.tuples(names, st.sampled_from(["lt", "lte", "gt", "gte", "eq", "ne"]), st.integers(-2, 2)),
    st.tuples(
        names,
        st.sampled_from(["eq", "ne", "starts_with", "contains", "matches"]),
        st.sampled_from("ab"),
    ),
    st.tuples(names, st.sampled_from(["in", "not_in"]), st.just(["a", "b"])),
    st.tuples(
        names,
        st.sampled_from(["before", "after"]),
        st.sampled_from([NOON, "0001-01-01T00:00:00+23:59"]),
    ),
    st.tuples(names, st.just("exists"), st.booleans()),
).map(lambda leaf: {"path": f"data.{leaf[0]}", leaf[1]: leaf[2]})
documents = st.recursive(
    leaves,
    lambda inner: (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=6,
)
values = (
    scalars
    | st.integers(-2, 2)
    | st.sampled_from(["a", "b"])
    | times
    | st.lists(scalars, max_size=3)
)
facts_of = st.fixed_dictionaries({"data": st.dictionaries(names, values)})


def parsed(document: object) -> Condition | None:
    try:
        return parse(document, roots=ROOTS)
    except ConditionError as error:
        assert all(each.message == "nested too deep" for each in error.problems)  # noqa: PT017
        return None


@given(documents, facts_of)
def test_explanation_agrees_with_the_answer(document: object, facts: dict[str, object]) -> None:
    if condition := parsed(document):
        answer, explanation = condition.matches(facts), condition.explain(facts)
        assert explanation.result is answer
        json.dumps(explanation.tree)
        if answer is None:
            assert explanation.unknown


@given(documents, facts_of)
def test_twice_not_is_the_same(document: object, facts: dict[str, object]) -> None:
    once, thrice = parsed(document), parsed({"not": {"not": document}})
    if once and thrice:
        assert once.matches(facts) is thrice.matches(facts)
