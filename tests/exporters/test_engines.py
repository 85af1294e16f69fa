"""Presidio, detect-secrets and custom lists find data without a fixed form, offline and without a language model."""

import random
import string

import pytest

from burnish.errors import ExportError
from burnish.redaction import Redactor
from burnish.redaction.check_digits import iban_remainder, luhn
from burnish_exporters import BuildOptions, build_dataset
from burnish_exporters.redact import make_finders
from burnish_exporters.redact.people import find_people

pytestmark = pytest.mark.xdist_group("engines")  # their import takes seconds

SAMPLES = 40


@pytest.fixture(scope="module")
def finders():
    """Both engines, set up once: it takes seconds."""
    return make_finders({}, engines=True)


def digits(rng, count):
    return "".join(rng.choices(string.digits, k=count))


def word(rng, count, letters=string.ascii_lowercase):
    return "".join(rng.choices(letters, k=count))


def card(rng):
    body = "4" + digits(rng, 14)
    return next(body + last for last in string.digits if luhn(body + last))


def iban(rng):
    body = digits(rng, 18)
    return f"DE{98 - iban_remainder(f'DE00{body}'):02d}{body}"


LETTERS = string.ascii_letters + string.digits
MADE = {
    "email": lambda r: f"{word(r, 6)}.{word(r, 4)}@{word(r, 7)}.com",
    "phone": lambda r: f"+49 {r.randint(30, 999)} {digits(r, 7)}",
    "card": card,
    "iban": iban,
    "ssn": lambda r: f"{r.randint(100, 665)}-{r.randint(10, 99)}-{r.randint(1000, 9999)}",
    "ip": lambda r: f"{r.randint(1, 126)}.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}",
    "aws_key": lambda r: "AKIA" + word(r, 16, string.ascii_uppercase + string.digits),
    "github_token": lambda r: "ghp_" + word(r, 36, LETTERS),
    "jwt": lambda r: f"eyJ{word(r, 20)}.eyJ{word(r, 30)}.{word(r, 20)}",
    "discord_token": lambda r: f"M{word(r, 23, LETTERS)}.{word(r, 6, LETTERS)}.{word(r, 27, LETTERS)}",
    "mailchimp_key": lambda r: f"{word(r, 32, '0123456789abcdef')}-us{r.randint(10, 99)}",
    "square_key": lambda r: f"sq0csp-{word(r, 43, LETTERS)}",
    "twilio_key": lambda r: f"SK{word(r, 32, '0123456789abcdef')}",
    "password": lambda r: f'password = "{word(r, 6)}{digits(r, 3)}!"',
}  # fmt: skip
FRAMES = ["{}", "please note {} for me.", "({})", "a\n{}\nb", "it is {}, and again {}"]


@pytest.mark.parametrize("kind", sorted(MADE))
def test_at_least_99_percent_of_a_kind_are_found_and_nothing_is_left(kind, finders):
    rng, found = random.Random(kind), 0
    redactor = Redactor(b"key", finders=finders)
    for _ in range(SAMPLES):
        value = MADE[kind](rng)
        cleaned = redactor.clean(rng.choice(FRAMES).replace("{}", value))
        found += value not in cleaned
        assert redactor.leaks(cleaned) == []

    assert found / SAMPLES >= 0.99


@pytest.mark.parametrize(
    "text",
    [
        "Order 4411 of 2026-11-21 at 12:30, total 1,234.50 EUR, 3 of 17 items.",
        "A token is required. The key is under the mat. Keep the secret safe.",
        '{"order": 4411, "tokens": 125, "keys": ["a", "b"]}',
        "See www.example.com or ask at the desk in Berlin on Monday.",
    ],
)
def test_ordinary_text_is_left_alone(text, finders):
    assert Redactor(b"key", finders=finders).clean(text) == text


def test_a_secret_that_is_there_twice_is_replaced_twice(finders):
    redactor = Redactor(b"key", finders=finders)

    cleaned = redactor.clean("use password = 'hunter2secret', yes hunter2secret")

    assert "hunter2secret" not in cleaned
    assert (
        len(
            {
                part
                for part in cleaned.replace("'", " ").replace(",", " ").split()
                if "REDACTED" in part
            }
        )
        == 1
    )


def build(runs, recipe):
    options = BuildOptions(key=b"key")
    return build_dataset(runs, agent="support", verify=["outcome"], recipe=recipe, options=options)


def test_a_build_with_engines_replaces_more_kinds_and_reports_them_by_type(make_run):
    wallet = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"
    run = make_run(
        1, request=f"Pay to {wallet}, copy to anna@firm.com", answer=f"Paid to {wallet}."
    )

    version = build([run], {"redact": "full"})

    assert version.manifest.extras["redaction"]["replaced"] == {"crypto": 2, "email": 1}
    (row,) = version.rows()
    assert wallet not in str(row)


@pytest.fixture
def customers(tmp_path):
    file = tmp_path / "customers.txt"
    file.write_text("Anna Smith\nSmith\n\nO'Neil & Sons\n")
    return str(file)


def test_terms_of_ones_own_are_replaced_as_whole_words_in_any_case(make_run, customers):
    run = make_run(1, request="ANNA  SMITH and o'neil & sons, not the blacksmith or Smithers")

    version = build([run], {"redact_terms": {"customer": customers}})

    (row,) = version.rows()
    asked = row["messages"][1]["content"]
    assert "anna" not in asked.lower()
    assert "neil" not in asked.lower()
    assert "not the blacksmith or Smithers" in asked
    assert version.manifest.extras["redaction"]["replaced"] == {"customer": 2}
    assert "Smith" not in (version.path / "manifest.json").read_text()


@pytest.mark.parametrize("content", [None, "\n \n"])
def test_a_list_that_is_missing_or_empty_is_refused(make_run, tmp_path, content):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ExportError, match="one term a line"):
        build([make_run()], {"redact_terms": {"name": str(file)}})


PEOPLE = (
    "DOB: 04/07/1983", "born on 4 July 1983", "Geburtsdatum: 04.07.1983", "née le 4 juillet 1983",
    "fecha de nacimiento: 4 de julio de 1983", "дата рождения: 04.07.1983", "生年月日: 1983年7月4日",
    "lives at 221B Baker Street", "wohnt in der Lindenstraße 14a", "habite 12 rue de la Paix", "abita in Via Roma 7",
    "vive en Calle Mayor 3", "codice fiscale RSSMRA85T10A562S",
)  # fmt: skip
NO_PEOPLE = (
    "released on 4 July 1983",
    "turn left and walk 3 blocks",
    "version 12 of the Road map",
    "order 1983-07-04 shipped",
)


@pytest.mark.parametrize("text", PEOPLE)
def test_births_and_addresses_are_found_by_the_words_beside_them(finders, text):
    found = [finding for finder in finders for finding in finder(text)]

    assert any(finding.end >= len(text) - 1 for finding in found)


@pytest.mark.parametrize("text", NO_PEOPLE)
def test_other_dates_and_numbers_are_no_births_and_addresses(text):
    assert not list(find_people(text))
