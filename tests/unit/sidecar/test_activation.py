"""What is read from a body, and the order of the contract's checks."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeprofile_sidecar import activation
from edgeprofile_sidecar.activation import Question, answer, check, read
from edgeprofile_sidecar.answers import INVALID_DESTINATION, UNAUTHORIZED, Answer
from edgeprofile_sidecar.members import Flawed, Unreadable
from edgeprofile_sidecar.selection import Wanted
from edgeprofile_sidecar.tokens import Grant
from tests.support.sidecar import token

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
WHOLE = {"entity": "user", "destinationId": "2Dest", "id": {"type": "email", "value": "ada@example.com"}}

EVERYTHING = Grant(token("all", "all"))
SCOPED = Grant(token("scoped", ("2Dest", "2Gone")))
DESTINATIONS = {"2Dest", "2Other"}


def body(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (WHOLE | changes).items() if value is not ...}).encode()


def raw(value: str, id_type: str = '"email"', entity: str = '"user"') -> bytes:
    return (f'{{"entity": {entity}, "destinationId": "2Dest", "id": {{"type": {id_type}, "value": {value}}}}}').encode()


def echoed(question: Question) -> Any:
    return json.loads(answer(question, b"{}").body)


# What is read


def test_a_question_is_read_whole():
    assert read(body()) == Question(
        "2Dest",
        "user",
        "email",
        "ada@example.com",
        b'{"entity":"user","id":{"type":"email","value":"ada@example.com"},"data":',
    )


@given(TEXT, TEXT, TEXT, TEXT, st.booleans())
def test_every_text_is_read_and_echoed(entity, destination, id_type, value, ascii_only):
    sent = {"entity": entity, "destinationId": destination, "id": {"type": id_type, "value": value}}
    question = read(json.dumps(sent, ensure_ascii=ascii_only).encode())
    assert isinstance(question, Question)
    assert (question.entity, question.destination, question.id_type, question.value) == (
        entity,
        destination,
        id_type,
        value,
    )
    assert echoed(question) == {"entity": entity, "id": {"type": id_type, "value": value}, "data": {}}


PIECE = st.sampled_from(
    [
        *'{}[]":, \\é\x00',
        "\\u0061",
        '"entity"',
        '"destinationId"',
        '"id"',
        '"type"',
        '"value"',
        '"user"',
        '""',
        "7",
        "null",
    ]
)


@given(
    st.one_of(
        st.lists(PIECE, max_size=24).map("".join),
        st.tuples(st.integers(0, 100), st.integers(0, 8), st.lists(PIECE, max_size=3).map("".join)).map(
            lambda cut: body().decode()[: cut[0]] + cut[2] + body().decode()[sum(cut[:2]) :]
        ),
    )
)
def test_the_quick_way_to_read_finds_what_the_other_finds(sent):
    plain = activation._read_plain(sent.encode())
    assert plain is None or plain == activation._read_any(sent.encode(), {})


def test_most_bodies_are_read_the_quick_way():
    assert activation._read_plain(body()) == read(body())
    for other in (
        body(id={"type": "email", "value": 7}),
        body(extra=1),
        body(entity=""),
        body(entity="é"),
        b"[" * 9_000,
    ):
        assert activation._read_plain(other) is None


@pytest.mark.parametrize(
    "spelled", ['"\\u0061da"', '"a\\/b"', '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"\\u0000"', '" "']
)
def test_texts_are_echoed_as_they_were_spelled(spelled):
    question = read(raw(spelled, spelled, spelled))
    assert isinstance(question, Question)
    assert question.value == question.id_type == question.entity == json.loads(spelled)
    assert question.head == f'{{"entity":{spelled},"id":{{"type":{spelled},"value":{spelled}}},"data":'.encode()


@pytest.mark.parametrize(
    "number", ["0", "-0", "7", "-12", "1.0", "1.50", "-0.0e-7", "1E5", "1e+400", "12345678901234567890123", "0.1"]
)
def test_a_number_is_an_id_as_the_text_that_was_sent(number):
    question = read(raw(f"  {number} "))
    assert isinstance(question, Question)
    assert question.value == number
    assert f'"value":{number}}}'.encode() in question.head


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_its_text(number):
    question = read(body(id={"type": "account", "value": number}))
    assert isinstance(question, Question)
    assert question.value == json.dumps(number)
    assert echoed(question)["id"]["value"] == number


OTHERS = TEXT.filter(lambda name: name not in {*WHOLE, *Wanted.__struct_encode_fields__})


@given(st.dictionaries(OTHERS, JSON, max_size=4))
def test_members_of_others_are_skipped(extra):
    question = read(json.dumps({**extra, **WHOLE, "id": {**extra, "type": "email", "value": "x"}}).encode())
    assert isinstance(question, Question)
    assert question.value == "x"


def test_the_last_of_two_members_counts_as_everywhere_in_json():
    question = read(b'{"entity":"a","entity":"user","destinationId":"2Dest","id":{"type":"t","value":1,"value":"v"}}')
    assert isinstance(question, Question)
    assert (question.entity, question.value) == ("user", "v")


# What is refused


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (body(entity=...), "entity is missing"),
        (body(entity=""), "entity must be a non-empty string"),
        (body(entity=None), "entity must be a non-empty string"),
        (body(entity=7), "entity must be a non-empty string"),
        (body(entity=["user"]), "entity must be a non-empty string"),
        (body(id=...), "id is missing"),
        (body(id="ada"), "id must be an object with the members type and value"),
        (body(id=None), "id must be an object with the members type and value"),
        (body(id=[]), "id must be an object with the members type and value"),
        (body(id={}), "id.type is missing"),
        (body(id={"type": "", "value": "v"}), "id.type must be a non-empty string"),
        (body(id={"type": 1, "value": "v"}), "id.type must be a non-empty string"),
        (body(id={"type": "t"}), "id.value is missing"),
        (body(id={"type": "t", "value": ""}), "id.value must be a non-empty string or a number"),
        (body(id={"type": "t", "value": None}), "id.value must be a non-empty string or a number"),
        (body(id={"type": "t", "value": True}), "id.value must be a non-empty string or a number"),
        (body(id={"type": "t", "value": {"v": 1}}), "id.value must be a non-empty string or a number"),
        (body(id={"type": "t", "value": ["v"]}), "id.value must be a non-empty string or a number"),
    ],
)
def test_a_flaw_names_its_member(sent, message):
    assert read(sent) == Flawed("2Dest", message)


@pytest.mark.parametrize(
    ("sent", "member"),
    [
        (rb'{"entity": "\ud800"}', "entity"),
        (rb'{"entity": "user", "id": {"type": "t", "value": "\ud800"}, "destinationId": "2Dest"}', "id.value"),
        (rb'{"entity": "user", "id": {"type": "a\udfff", "value": "\ud83d\ude00"}}', "id.type"),
        (rb'{"id": [{"value": 1}, {"value": "\udc00\ud800"}]}', "id[1].value"),
    ],
)
def test_half_of_a_pair_of_surrogates_names_its_member(sent, member):
    assert read(sent) == Unreadable(f"{member} holds a lone surrogate, which UTF-8 cannot carry")


@pytest.mark.parametrize("sent", [rb'{"\ud800": "\ud800"}', rb'{"\ud800": 1}', b'["\\ud800"]', b'"\\ud800"'])
def test_half_of_a_pair_of_surrogates_in_a_name_is_no_flaw_of_ours(sent):
    """Whatever is said of it can be sent."""
    asked = read(sent)
    assert isinstance(asked, Unreadable)
    assert asked.message.encode()


@pytest.mark.parametrize("named", [..., None, 7, True, [], {}, "", "2Dest"])
def test_a_destination_that_is_no_text_is_none(named):
    asked = read(body(destinationId=named))
    assert isinstance(asked, Question)
    assert asked.destination == (named if isinstance(named, str) else "")


@pytest.mark.parametrize("sent", [b"[]", b'"text"', b"7", b"null", b"true", b'[{"entity":"user"}]'])
def test_json_that_is_no_object(sent):
    assert read(sent) == Unreadable("the body must be a JSON object")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"{'entity': 1}",
        b'{"entity": "user",}',
        b'{"entity": NaN}',
        b'{"entity": 01}',
        b'{"entity": "\n"}',
        b'{"entity": "\xff"}',
        b'{"skipped": "\xff"}',
        b"\xef\xbb\xbf{}",
        '{"entity": "user"}'.encode("utf-16"),
        b"\x00",
        b"\x1f\x8b\x08",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json(sent):
    asked = read(sent)
    assert isinstance(asked, Unreadable)
    assert asked.message.startswith("the body is not JSON: ")


def test_an_empty_body_is_said_to_be_empty():
    assert read(b"") == Unreadable("the body is not JSON: it is empty")


def no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


@given(
    st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b'{"entity":"a","destinationId":"d","id":{"type":"t","value":1e5}}')
def test_nothing_raises_and_json_is_told_from_the_rest(sent):
    asked = read(sent)
    try:
        meant = json.loads(sent.decode(), parse_constant=no_constant)
    except ValueError:
        assert isinstance(asked, Unreadable)
    else:
        assert isinstance(asked, Unreadable) != isinstance(meant, dict)


@given(st.data())
def test_flaws_are_those_that_the_standard_library_finds(data):
    sent = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "entity": TEXT | JSON,
                "destinationId": TEXT | JSON,
                "id": st.fixed_dictionaries({}, optional={"type": TEXT | JSON, "value": TEXT | JSON}) | JSON,
            },
        )
    )
    asked = read(json.dumps(sent).encode())
    assert isinstance(asked, Question) == _is_whole(sent)
    if isinstance(asked, Question):
        assert echoed(asked) == {
            "entity": sent["entity"],
            "id": {name: sent["id"][name] for name in ("type", "value")},
            "data": {},
        }


def _is_whole(sent: dict[str, Any]) -> bool:
    identity = sent.get("id")
    if not isinstance(identity, dict):
        return False
    value = identity.get("value")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    texts = (sent.get("entity"), identity.get("type"), "a number" if number else value)
    return all(isinstance(text, str) and text for text in texts)


# The order of checks


@pytest.mark.parametrize("grant", [EVERYTHING, SCOPED])
@pytest.mark.parametrize("sent", [b"", b"[]", b"{"])
def test_an_unreadable_body_is_400_to_every_token(grant, sent):
    outcome = check(read(sent), grant, DESTINATIONS)
    assert isinstance(outcome, Answer)
    assert outcome.status == 400


@pytest.mark.parametrize(("grant", "outcome"), [(EVERYTHING, INVALID_DESTINATION), (SCOPED, UNAUTHORIZED)])
@pytest.mark.parametrize("named", [..., None, 7, "", " ", "\t\n"])
def test_no_destination_is_404_to_who_sees_everything_and_before_other_flaws(grant, outcome, named):
    assert check(read(body(destinationId=named)), grant, DESTINATIONS) is outcome
    assert check(read(body(destinationId=named, entity=...)), grant, DESTINATIONS) is outcome


@pytest.mark.parametrize("flaw", [{}, {"entity": ...}, {"id": 7}])
@pytest.mark.parametrize(
    ("grant", "named", "outcome"),
    [
        (EVERYTHING, "2Nowhere", INVALID_DESTINATION),
        (SCOPED, "2Nowhere", UNAUTHORIZED),
        (SCOPED, "2Other", UNAUTHORIZED),
        (SCOPED, "2dest", UNAUTHORIZED),
        (SCOPED, " 2Dest", UNAUTHORIZED),
        (SCOPED, "2Gone", INVALID_DESTINATION),
    ],
)
def test_a_named_destination_is_401_before_404_before_400(grant, named, outcome, flaw):
    assert check(read(body(destinationId=named, **flaw)), grant, DESTINATIONS) is outcome


@pytest.mark.parametrize("grant", [EVERYTHING, SCOPED])
def test_a_flaw_in_the_rest_is_400(grant):
    outcome = check(read(body(entity=...)), grant, DESTINATIONS)
    assert isinstance(outcome, Answer)
    assert (outcome.status, outcome.body) == (400, b'{"error":"entity is missing"}')


def test_a_whole_question_passes():
    asked = read(body())
    assert check(asked, SCOPED, DESTINATIONS) is asked


# The answer


@given(JSON.map(lambda value: json.dumps({"model": value})))
def test_data_passes_byte_for_byte(data):
    question = read(body())
    assert isinstance(question, Question)
    made = answer(question, data.encode())
    assert made.status == 200
    assert made.body == question.head + data.encode() + b"}"
    assert json.loads(made.body) == {"entity": "user", "id": WHOLE["id"], "data": json.loads(data)}
