"""Personal data and secrets are found by form and replaced by pseudonyms that the key recognises."""

import random
import string

import pytest

from burnish.redaction import Redactor, workspace_key
from burnish.redaction.check_digits import iban_remainder, luhn


@pytest.fixture
def redactor():
    return Redactor(b"key")


def card(rng):
    body = rng.choice(["4", "51", "37", "6011"])
    length = 14 if body == "37" else 15
    body += "".join(rng.choices(string.digits, k=length - len(body)))
    return next(body + last for last in string.digits if luhn(body + last))


def iban(rng):
    country, length = rng.choice([("DE", 18), ("NL", 14), ("FR", 23), ("GB", 18)])
    start = "ABNA" if country in ("NL", "GB") else ""
    body = start + "".join(rng.choices(string.digits, k=length - len(start)))
    return f"{country}{98 - iban_remainder(f'{country}00{body}'):02d}{body}"


def digits(rng, count):
    return "".join(rng.choices(string.digits, k=count))


def word(rng, count, letters=string.ascii_lowercase):
    return "".join(rng.choices(letters, k=count))


def phone(rng):
    area, line = f"{rng.randint(201, 989)}", f"{rng.randint(200, 999)}"
    return rng.choice(
        [
            f"+49 {rng.randint(30, 999)} {digits(rng, 7)}",
            f"+44 20 {digits(rng, 4)} {digits(rng, 4)}",
            f"+33 {rng.randint(1, 9)} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)}",
            f"({area}) {line}-{digits(rng, 4)}",
            f"{area}-{line}-{digits(rng, 4)}",
            f"{area}.{line}.{digits(rng, 4)}",
            f"+1{area}{line}{digits(rng, 4)}",
        ]
    )


MADE = {
    "email": lambda r: f"{word(r, 6)}.{word(r, 4)}{r.choice(['', '+tag', '_x'])}@{word(r, 7)}.{r.choice(['com', 'co.uk', 'de', 'org'])}",
    "phone": phone,
    "card": lambda r: r.choice([lambda c: c, lambda c: " ".join(c[i : i + 4] for i in range(0, len(c), 4))])(card(r)),
    "iban": lambda r: r.choice([lambda c: c, lambda c: " ".join(c[i : i + 4] for i in range(0, len(c), 4))])(iban(r)),
    "ssn": lambda r: f"{r.randint(100, 665)}-{r.randint(10, 99)}-{r.randint(1000, 9999)}",
    "ip": lambda r: f"{r.randint(1, 126)}.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}",
    "aws_key": lambda r: "AKIA" + word(r, 16, string.ascii_uppercase + string.digits),
    "github_token": lambda r: "ghp_" + word(r, 36, string.ascii_letters + string.digits),
    "jwt": lambda r: f"eyJ{word(r, 20)}.eyJ{word(r, 30)}.{word(r, 20)}",
    "openai_key": lambda r: "sk-" + word(r, 40, string.ascii_letters + string.digits),
    "stripe_key": lambda r: "sk_live_" + word(r, 24, string.ascii_letters),
    "slack_token": lambda r: f"xoxb-{digits(r, 11)}-{word(r, 20)}",
    "password": lambda r: word(r, 6) + digits(r, 3) + "!",
}  # fmt: skip
FRAMES = {
    "password": ["password: {}", 'pwd="{}"', "my password is {} thanks", '{{"api_key": "{}"}}', "TOKEN={}"],
}  # fmt: skip
PLAIN_FRAMES = [
    "{}",
    "please note {} for me.",
    "({})",
    '{{"contact": "{}", "n": 1}}',
    "a\n{}\nb",
    "x: {};",
]


@pytest.mark.parametrize("kind", sorted(MADE))
def test_at_least_99_percent_of_a_kind_are_found_and_nothing_is_left(kind):
    rng, redactor, found = random.Random(kind), Redactor(b"key"), 0
    for _ in range(300):
        value = MADE[kind](rng)
        text = rng.choice(FRAMES.get(kind, PLAIN_FRAMES)).format(value)
        cleaned = redactor.clean(text)
        found += value not in cleaned
        assert redactor.leaks(cleaned) == []

    assert found / 300 >= 0.99


ORDINARY = [
    "Order 1234567890 of 2026-11-21 at 12:30:45, total 1,234.50 EUR, 3 of 17 items.",
    "id 0860c6156c3b3c02716b046b2a13c609 and 7f3b2a10-9d8e-4c3b-8a7f-1234567890ab",
    "Version 1.2.3 runs at 127.0.0.1 and needs 4 GB; see chapter 12.4.5.",
    "A token is required. The key is under the mat. Keep the secret safe.",
    "The password is required and must be changed.",
    '{"order": 4411, "tokens": 125, "max_tokens": 256, "keys": ["a", "b"]}',
    "2026-11-21T12:30:45.123456Z 1795280936115142532 12:34:56",
    "She said: call me at noon; ring room 1204.",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(redactor, text):
    assert redactor.clean(text) == text


def test_the_same_original_has_the_same_stand_in_everywhere(redactor):
    one = redactor.clean("write to Anna@Firm.com")
    two = redactor.clean_value({"args": ["anna@firm.com"]})

    assert one.split()[-1] == two["args"][0]
    assert one != Redactor(b"other key").clean("write to Anna@Firm.com")


@pytest.mark.parametrize(
    "text",
    [
        "u12345678abcd@example.invalid",
        "+1-202-555-0173",
        "240.1.2.3",
        "192.0.2.17",
        "2001:db8:0a1b:2c3d::4e5f",
    ],
)
def test_what_only_looks_like_a_stand_in_is_replaced(redactor, text):
    assert redactor.clean(text) != text


def test_cleaning_twice_changes_nothing(redactor):
    rng = random.Random(1)
    text = "; ".join(make(rng) for make in MADE.values())

    once = redactor.clean(text)

    assert redactor.clean(once) == once


def test_stand_ins_keep_their_form_and_stay_in_reserved_ranges(redactor):
    rng = random.Random(2)
    stand_ins = {
        kind: redactor.pseudonym(kind, MADE[kind](rng))
        for kind in ("card", "iban", "phone", "ip", "ssn")
    }

    assert luhn(stand_ins["card"])
    assert stand_ins["card"].startswith("400000")
    assert iban_remainder(stand_ins["iban"]) == 1
    assert "-555-01" in stand_ins["phone"]
    assert 240 <= int(stand_ins["ip"].partition(".")[0]) <= 255
    assert stand_ins["ssn"].startswith("000-")


def test_escapes_do_not_hide_an_address(redactor):
    assert "firm" not in redactor.clean_encoded('{"to": "anna\\u0040firm.com"}')
    assert "firm" not in redactor.clean_arguments('{"to": "anna\\u0040firm.com"}')
    assert "firm" not in redactor.clean("mailto:anna%40firm.com")


def test_a_key_tells_what_its_value_is(redactor):
    cleaned = redactor.clean_arguments('{"password": "hunter22", "user": "anna"}')

    assert "hunter22" not in cleaned
    assert '"user": "anna"' in cleaned


def test_a_number_is_replaced_by_a_number(redactor):
    given = {"card": 4111111111111111, "phone": 43664123456, "order": 43664123456, "ok": True}
    cleaned = redactor.clean_value({"rows": [given, 4111111111111111, 12, 1.5]})["rows"]

    assert cleaned[0]["card"] == cleaned[1] != given["card"]
    assert str(cleaned[1]).startswith("400000")
    assert str(cleaned[0]["phone"])[4:8] == "5550"
    assert (cleaned[0]["order"], cleaned[0]["ok"]) == (given["order"], True)
    assert cleaned[2:] == [12, 1.5]
    assert redactor.clean_value({"rows": [cleaned[0]]}) == {"rows": [cleaned[0]]}


def test_unchanged_data_is_the_same_object(redactor):
    value = {"a": ["plain", 1], "b": None}

    assert redactor.clean_value(value) is value


def test_what_was_replaced_is_counted_by_kind(redactor):
    redactor.clean("a@firm.com, b@firm.com")
    redactor.clean("a@firm.com, b@firm.com")

    assert redactor.counts == {"email": 4}


def test_a_workspace_makes_its_key_once_and_keeps_it_to_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("BURNISH_REDACTION_KEY", raising=False)

    key = workspace_key(tmp_path)

    assert workspace_key(tmp_path) == key
    assert (tmp_path / "redaction.key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["redaction.key"]
    monkeypatch.setenv("BURNISH_REDACTION_KEY", "given")
    assert workspace_key(tmp_path) == b"given"


def test_long_text_without_an_address_costs_no_more_than_its_length():
    """A quadratic pattern would need minutes for these."""
    redactor = Redactor(b"key")

    for text in (
        "a" * 200_000 + "@",
        "1 " * 100_000,
        "a-" * 100_000 + "key",
        "::" * 50_000,
        "A1" * 100_000,
    ):
        redactor.clean(text)
