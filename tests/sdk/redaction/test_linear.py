"""The detectors take time linear in the length of a text, and limited memory."""

import time
import tracemalloc

import pytest

from burnish.redaction import SECRETS, STRUCTURED, Redactor, find
from burnish.redaction.memo import Memo, Replacement
from burnish.redaction.views import View

PIECE = 1 << 16
UNITS = (
    "a", "1 ", "a-", "::", "A1", "a.", "eyJ", "eyJaaaaaaaaaaaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----\n", "password ",
    "password=", '"', "[{", "://", "://a:", "@", "a@", "a@a.", "sk-", "ghp_", " ", "authorization: ", "cookie: a=",
    "phone ", "tel 1 2 ", "+1 2", "012-", "DE89 ", "a:", "\\", "\\n", "%41", "&quot;", "\x1b[", "\x1b[1;", "mysql -p ",
    "<password ", "\uff11", "a\u200b", "密码是", "\n", "password\n", "ssn 1 2 3 4 5 6 7 8 ", "heroku=",
    "basic aaaaaaaaaaa", "?sig=", "MIAAAAIBA", "/webhooks/1", "AKIA", "123456 ", "1234-", "0 1 23 4567 ", "İ",
    "curl -u a:", "echo ", '{"a":', 'password" value=', 'password" a="b" a="b" a="b" ', "REDACTED-A-",
    "anna@firm.com ", "nhs number is ", "u12345678abcd@example.invalid ", "4 1 1 1 ", "Confidence: ",
    "rut 1", "auth=('a', '", "sqlplus a/", "a:5432:a:a:", "password for a ", "chpasswd << a:", 'password">', "net use ",
    "htpasswd -b a ", "secret 5 ", "login('a'", "password</key>", "isakmp key ", "0.", "ver:1-hint:", "M.C5",
)  # fmt: skip


def worst(unit, size):
    return (unit * (size // len(unit) + 1))[:size]


def seconds(work):
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize("detector", SECRETS + STRUCTURED, ids=lambda detector: detector.name)
def test_a_megabyte_of_the_worst_texts_takes_about_four_times_a_quarter_of_it(detector):
    """Four times as much of each text; a quadratic detector takes sixteen times as long."""

    def read(size):
        for unit in UNITS:
            list(detector.find(View(worst(unit, size))))

    read(1_000)
    quarter = seconds(lambda: read(PIECE // 16))
    whole = min(seconds(lambda: read(PIECE // 4)) for _ in range(2))

    assert whole < 8 * quarter + 0.5


def test_one_megabyte_of_mixed_worst_text_is_read_in_windows():
    text = "\n".join(worst(unit, 1 << 14) for unit in UNITS)[: 1 << 20]
    redactor = Redactor(b"key")

    cleaned = redactor.clean_value(text + f"\npassword: Tr0ub4dor-{'x7' * 3}\n")

    assert "Tr0ub4dor" not in cleaned


def test_a_finding_at_the_border_of_two_windows_is_found_once():
    token = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE0123"
    text = " " * ((1 << 20) - 20) + token + " " * (1 << 17)
    (finding,) = find(text, SECRETS)
    assert text[finding.start : finding.end] == token


def test_a_text_of_more_than_32_mib_is_withheld():
    redactor = Redactor(b"key")

    assert redactor.clean("a" * ((32 << 20) + 1)).startswith("[withheld: ")
    assert redactor.counts == {"oversized": 1}


def test_the_memory_of_looked_at_texts_is_bounded_and_holds_no_text():
    redactor = Redactor(b"key", SECRETS)
    tracemalloc.start()
    try:
        for number in range(40):
            redactor.clean(f"result {number} " + "lorem ipsum " * 4_000)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert kept < 500_000


def test_a_memo_forgets_the_oldest_first():
    memo = Memo(most_bytes=20_000)
    digests = [memo.digest(f"text {number}") for number in range(300)]
    for digest in digests:
        memo.put(digest, (Replacement("email", 0, 5, "x@example.invalid"),))

    assert memo.size <= 20_000
    assert memo.get(digests[0]) is None
    assert memo.get(digests[-1]) is not None
