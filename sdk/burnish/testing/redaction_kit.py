"""Measure a redaction on generated personal data, secrets and ordinary text.

    report = measure(Redactor(b"key").clean)
    report.recall                    # {"email": 1.0, "phone": 0.998, ...}
    report.false_alarms              # share of ordinary texts that were changed

Every value comes from a seeded generator and belongs to no real person.
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

LETTERS, DIGITS = string.ascii_letters, string.digits
ALNUM = LETTERS + DIGITS
_WINDOW = 8  # consecutive characters of a value that count as the value


class RedactionSample(NamedTuple):
    """A text with one value that must be redacted."""

    kind: str
    text: str
    value: str


class RedactionReport(NamedTuple):
    """The result of a redaction on all samples."""

    recall: dict[str, float]  # share of redacted values, 0 to 1, by kind
    false_alarms: float  # share of ordinary texts that were changed, 0 to 1
    missed: list[RedactionSample]
    alarms: list[str]  # ordinary texts that were changed


def measure_redaction(
    clean: Callable[[str], str], count: int = 200, seed: int = 0
) -> RedactionReport:
    """Run a redaction over generated texts.

    Args:
        clean: Redacts one text, as a function given to `configure(redact=...)`.
        count: Number of texts of each kind.
        seed: Seed of the generator; the same seed gives the same texts.
    """
    missed = []
    recall = {}
    for kind in KINDS:
        gone = 0
        for sample in draw_samples(kind, count, seed):
            if is_still_shown(sample.value, clean(sample.text)):
                missed.append(sample)
            else:
                gone += 1
        recall[kind] = gone / count
    ordinary = list(draw_ordinary_texts(count * 4, seed))
    alarms = [text for text in ordinary if clean(text) != text]
    return RedactionReport(recall, len(alarms) / len(ordinary), missed, alarms)


def is_still_shown(value: str, cleaned: str) -> bool:
    """Return True if a text still contains a value or a large part of it."""
    body, text = _strip_separators(value), _strip_separators(cleaned)
    size = min(_WINDOW, len(body))
    return any(body[start : start + size] in text for start in range(len(body) - size + 1))


def _strip_separators(text: str) -> str:
    return re.sub(r"[\s().\-/]", "", text).lower()


def draw_samples(kind: str, count: int, seed: int = 0) -> Iterator[RedactionSample]:
    """Draw texts of one kind."""
    rng = random.Random(f"{seed} {kind}")  # noqa: S311 - made-up data, no secret
    make = KINDS[kind]
    frames = _FRAMES.get(kind, _ANYWHERE)
    for number in range(count):
        value = make(rng)
        frame = frames[number % len(frames)]
        yield RedactionSample(kind, frame.replace("{}", value), value)


def draw_ordinary_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Draw texts without personal data, some of which resemble it."""
    rng = random.Random(f"{seed} ordinary")  # noqa: S311 - made-up data, no secret
    for number in range(count):
        yield _ORDINARY[number % len(_ORDINARY)](rng)


def _draw_text(rng: random.Random, letters: str, size: int) -> str:
    return "".join(rng.choices(letters, k=size))


def _draw_number(rng: random.Random, size: int) -> str:
    return rng.choice("123456789") + _draw_text(rng, DIGITS, size - 1)


def _draw_name(rng: random.Random) -> tuple[str, str]:
    return rng.choice(_FIRST), rng.choice(_LAST)


def _draw_email(rng: random.Random) -> str:
    first, last = _draw_name(rng)
    local = rng.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}{_draw_number(rng, 2)}", f"{first}+news",
         f"{first}-{last}", f"{last}%sales"]
    )  # fmt: skip
    host = rng.choice(["mail", "firma-huber", "my-shop", "dept.uni-graz", "kontor", "x1"])
    return f"{local}@{host}.{rng.choice(['com', 'at', 'co.uk', 'io', 'museum', 'de', 'org'])}"


def _draw_phone(rng: random.Random) -> str:
    area, line = str(rng.randint(201, 989)), str(rng.randint(200, 999))
    last = _draw_text(rng, DIGITS, 4)
    return rng.choice(
        [
            f"+1 {area} {line} {last}",
            f"+1-{area}-{line}-{last}",
            f"+1{area}{line}{last}",
            f"({area}) {line}-{last}",
            f"{area}-{line}-{last}",
            f"{area}.{line}.{last}",
            f"1-{area}-{line}-{last}",
            f"+43 {rng.randint(650, 699)} {_draw_number(rng, 7)}",
            f"+49 (0){rng.randint(30, 899)} {_draw_number(rng, 6)}",
            f"+44 20 {_draw_number(rng, 4)} {_draw_number(rng, 4)}",
            f"+33 {rng.randint(1, 9)} {' '.join(_draw_text(rng, DIGITS, 2) for _ in range(4))}",
            f"+91-{_draw_number(rng, 5)}-{_draw_number(rng, 5)}",
            f"+86 1{_draw_text(rng, DIGITS, 2)} {_draw_number(rng, 4)} {_draw_number(rng, 4)}",
            f"+{rng.randint(20, 99)}{_draw_number(rng, 9)}",
            f"0043 {rng.randint(650, 699)} {_draw_number(rng, 7)}",
            f"(0{rng.randint(11, 99)}) {_draw_number(rng, 4)} {_draw_number(rng, 4)}",
        ]
    )


def _draw_local_phone(rng: random.Random) -> str:
    return rng.choice(
        [f"0{_draw_number(rng, 9)}", f"0{rng.randint(10, 999)}/{_draw_number(rng, 6)}", _draw_number(rng, 10),
         f"0{rng.randint(650, 699)} {_draw_number(rng, 3)} {_draw_number(rng, 4)}"]
    )  # fmt: skip


def _group_digits(rng: random.Random, text: str) -> str:
    between = rng.choice(["", " ", " ", "-"])
    return between.join(text[i : i + 4] for i in range(0, len(text), 4))


def _draw_card(rng: random.Random) -> str:
    start, size = rng.choice(
        [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3528", 16),
         ("36", 14)]
    )  # fmt: skip
    body = start + _draw_text(rng, DIGITS, size - len(start) - 1)
    doubled = [int(d) * (1 + (size - 1 - i) % 2) for i, d in enumerate(body)]
    total = sum(d - 9 if d > 9 else d for d in doubled)
    return _group_digits(rng, body + str(-total % 10))


def _draw_iban(rng: random.Random) -> str:
    country, form = rng.choice(list(_IBANS.items()))
    body = "".join(
        _draw_text(rng, {"n": DIGITS, "a": string.ascii_uppercase}[kind], int(size))
        for kind, size in re.findall(r"([na])(\d+)", form)
    )
    number = int("".join(str(int(char, 36)) for char in f"{body}{country}00"))
    return _group_digits(rng, f"{country}{98 - number % 97:02d}{body}")


def _draw_ip_address(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return f"{rng.randint(1, 126)}.{'.'.join(str(rng.randint(0, 254)) for _ in range(3))}"
    groups = [f"{rng.randint(0x1000, 0xFFFF):x}" for _ in range(8)]
    if rng.random() < 0.5:
        return ":".join(groups)
    return f"{groups[0]}:{groups[1]}::{groups[2]}"


def _draw_jwt(rng: random.Random) -> str:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    head = part('{"alg":"HS256","typ":"JWT"}')
    claims = part(f'{{"sub":"{_draw_number(rng, 10)}","name":"{_draw_name(rng)[1]}"}}')
    return f"{head}.{claims}.{_draw_text(rng, ALNUM + '_-', 43)}"


def _draw_private_key(rng: random.Random) -> str:
    """Draw the body of a key; its first and last line are in the frame."""
    return "\n".join(_draw_text(rng, ALNUM + "+/", 64) for _ in range(4))


def _draw_password(rng: random.Random) -> str:
    return rng.choice(
        [_draw_text(rng, LETTERS, 6) + _draw_text(rng, DIGITS, 3) + rng.choice("!?#$%*"), _draw_text(rng, ALNUM, 12) + "7",
         f"{rng.choice(_LAST)}-{_draw_number(rng, 4)}", _draw_text(rng, ALNUM + "!#$%&*+-_", 18) + "3",
         f"{rng.choice(_FIRST).title()}{rng.choice(_LAST).title()}{_draw_number(rng, 2)}!"]
    )  # fmt: skip


def _draw_basic_auth(rng: random.Random) -> str:
    return base64.b64encode(f"{_draw_name(rng)[0]}:{_draw_password(rng)}".encode()).decode()


_FIRST = ("anna", "bert", "chloe", "dmitri", "emre", "fatima", "grace", "hiro", "irma", "jan")
_LAST = ("gruber", "okafor", "smith", "garcia", "nguyen", "kowalski", "rossi", "haddad", "berg")
_IBANS = {
    "DE": "n18", "AT": "n16", "CH": "n17", "FR": "n23", "ES": "n20", "IT": "a1n22", "NL": "a4n10",
    "GB": "a4n14", "PL": "n24", "BE": "n12", "NO": "n11", "SE": "n20", "IE": "a4n14", "MT": "a4n23",
}  # fmt: skip

KINDS: dict[str, Callable[[random.Random], str]] = {
    "email": _draw_email,
    "phone": _draw_phone,
    "phone, told by a word": _draw_local_phone,
    "card": _draw_card,
    "iban": _draw_iban,
    "ip": _draw_ip_address,
    "private key": _draw_private_key,
    "jwt": _draw_jwt,
    "aws key": lambda r: r.choice(["AKIA", "ASIA"]) + _draw_text(r, string.ascii_uppercase + "234567", 16),
    "github token": lambda r: r.choice(["ghp_", "gho_", "ghs_"]) + _draw_text(r, ALNUM, 36),
    "github fine token": lambda r: f"github_pat_{_draw_text(r, ALNUM, 22)}_{_draw_text(r, ALNUM, 59)}",
    "gitlab token": lambda r: "glpat-" + _draw_text(r, ALNUM + "_-", 20),
    "slack token": lambda r: f"xoxb-{_draw_number(r, 12)}-{_draw_number(r, 13)}-{_draw_text(r, ALNUM, 24)}",
    "openai key": lambda r: r.choice(["sk-", "sk-proj-"]) + _draw_text(r, ALNUM, 48),
    "anthropic key": lambda r: f"sk-ant-api03-{_draw_text(r, ALNUM + '_-', 93)}AA",
    "stripe key": lambda r: r.choice(["sk_live_", "rk_live_", "sk_test_"]) + _draw_text(r, ALNUM, 24),
    "google key": lambda r: "AIza" + _draw_text(r, ALNUM + "_-", 35),
    "huggingface token": lambda r: "hf_" + _draw_text(r, LETTERS, 34),
    "npm token": lambda r: "npm_" + _draw_text(r, ALNUM, 36),
    "pypi token": lambda r: "pypi-AgEIcHlwaS5vcmc" + _draw_text(r, ALNUM + "_-", 120),
    "sendgrid key": lambda r: f"SG.{_draw_text(r, ALNUM + '_-', 22)}.{_draw_text(r, ALNUM + '_-', 43)}",
    "telegram token": lambda r: f"{_draw_number(r, 10)}:AA{_draw_text(r, ALNUM + '_-', 33)}",
    "digitalocean token": lambda r: "dop_v1_" + _draw_text(r, "0123456789abcdef", 64),
    "databricks token": lambda r: "dapi" + _draw_text(r, "0123456789abcdef", 32),
    "azure key": lambda r: base64.b64encode(r.randbytes(64)).decode(),
    "password in a url": lambda r: _draw_text(r, ALNUM, 14),
    "bearer": lambda r: _draw_text(r, ALNUM + "_-.", 40),
    "basic": _draw_basic_auth,
    "password": _draw_password,
}  # fmt: skip
"""Generator of each kind of value."""

_ANYWHERE = (
    "{}",
    "Please note {} for me, thanks.",
    "my contact is ({}).",
    '{"contact": "{}", "n": 1}',
    "line one\n{}\nline three",
    "x: {};",
    "<td>{}</td>",
    "INFO 2026-11-21 12:30:45 value={} done",
    "Is it {}?",
    "- item '{}', second item",
)
_NAMED = (
    "password: {}", 'pwd="{}"', "my password is {} thanks", '{"api_key": "{}"}', "DB_PASSWORD={}",
    "client_secret = '{}'", "export AUTH_TOKEN={}", "passphrase: {}\nnext: line",
    '{"user": "anna", "password": "{}"}', "access_token: {}", "curl -d password={} https://x.example",
)  # fmt: skip
_FRAMES: dict[str, tuple[str, ...]] = {
    "private key": tuple(
        f"{before}-----BEGIN {kind}PRIVATE KEY-----\n{{}}\n-----END {kind}PRIVATE KEY-----{after}"
        for kind in ("RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED ")
        for before, after in (("", ""), ("my key:\n", "\nkeep it"), ('{"key": "', '"}'))
    ),
    "password": _NAMED,
    "azure key": ("AccountKey={};EndpointSuffix=core.windows.net", 'account_key: "{}"', "AZURE_STORAGE_KEY={}"),
    "password in a url": ("postgres://app:{}@db.example:5432/x", "redis://:{}@cache:6379/0", "https://anna:{}@host.example/p"),
    "bearer": ("Authorization: Bearer {}", '{"authorization": "Bearer {}"}', "curl -H 'Authorization: bearer {}' url"),
    "basic": ("Authorization: Basic {}", '{"Authorization": "Basic {}"}'),
    "phone, told by a word": (
        "phone: {}", "call me at {} please", "Tel. {}", '{"phone": "{}"}', "my mobile is {}",
        "Fax: {}", "whatsapp {}", "telephone number {}", '{"mobile_number": "{}"}', "cell={}",
    ),
    "ip": ("client {} connected", "from {}, port 443", '{"ip": "{}"}', "[{}]", "GET / {} 200"),
}  # fmt: skip

_HEX = "0123456789abcdef"
_ORDINARY: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"Order {_draw_number(r, 10)} of 2026-11-{r.randint(10, 28)} at 12:30:45, total 1,{_draw_number(r, 3)}.50 EUR.",
    lambda r: f"id {_draw_text(r, _HEX, 32)} and {_draw_text(r, _HEX, 8)}-{_draw_text(r, _HEX, 4)}-4{_draw_text(r, _HEX, 3)}-8{_draw_text(r, _HEX, 3)}-{_draw_text(r, _HEX, 12)}",
    lambda r: f"Version {r.randint(1, 20)}.{r.randint(0, 30)}.{r.randint(0, 9)} needs {r.randint(1, 64)} GB; see chapter 12.4.5.",
    lambda r: "A token is required. The key is under the mat. Keep the secret safe.",
    lambda r: "The password is required and must be changed; your password is wrong.",
    lambda r: f'{{"order": {_draw_number(r, 4)}, "tokens": {_draw_number(r, 3)}, "max_tokens": 256, "keys": ["a", "b"]}}',
    lambda r: f"2026-11-21T12:30:45.{_draw_text(r, DIGITS, 6)}Z {_draw_number(r, 19)} 12:34:56",
    lambda r: "She said: call me at noon; ring room 1204, or come by at 14:30.",
    lambda r: '{"type": "function", "name": "login", "parameters": {"properties": {"password": {"type": "string"}}}}',
    lambda r: f"The sum of {_draw_number(r, 5)} and {_draw_number(r, 6)} is {_draw_number(r, 7)}.",
    lambda r: f"File \"/srv/app/main.py\", line {_draw_number(r, 3)}, in <module>: KeyError: 'token'",
    lambda r: "api_key = os.environ['SERVICE_KEY']  # read from the environment",
    lambda r: "password: ${DB_PASSWORD}\ntoken: <your token>\nsecret: {{ vault.secret }}",
    lambda r: f"Ship to 17 Harbour Road, Springfield {_draw_number(r, 5)}; parcel of {r.randint(1, 9)}.{r.randint(0, 9)} kg.",
    lambda r: f"Latitude 47.{_draw_text(r, DIGITS, 4)}, longitude 15.{_draw_text(r, DIGITS, 4)}, {_draw_number(r, 3)} m.",
    lambda r: f"commit {_draw_text(r, _HEX, 40)} by the build of {r.randint(1, 28)} March",
    lambda r: f"ISBN 978-3-{_draw_number(r, 3)}-{_draw_number(r, 5)}-{r.randint(0, 9)}, page {_draw_number(r, 3)}, 19.99 EUR",
    lambda r: f"SKU {_draw_text(r, string.ascii_uppercase, 3)}-{_draw_number(r, 5)}, {r.randint(1, 90)} pieces, shelf B{_draw_number(r, 2)}",
    lambda r: "Server listens on 127.0.0.1:8000 and 0.0.0.0:9000; localhost only.",
    lambda r: f"@anna please look at #{_draw_number(r, 4)}; cc @bert, see docs/guide.md",
    lambda r: f"WHERE total > {_draw_number(r, 4)} AND placed < '2026-11-01' ORDER BY id;",
    lambda r: f"{r.randint(1, 12)}:{r.randint(10, 59)} std::vector<int> v({_draw_number(r, 3)}); a::b::c",
    lambda r: "The keyboard, the monkey and the donkey: a tokenizer splits secretaries into pieces.",
    lambda r: f"sha256:{_draw_text(r, _HEX, 64)} {_draw_number(r, 8)} bytes",
    lambda r: f'{{"usage": {{"prompt_tokens": {_draw_number(r, 4)}, "completion_tokens": {_draw_number(r, 3)}, "total_tokens": {_draw_number(r, 4)}}}}}',
    lambda r: f'{{"id": "call_{_draw_text(r, ALNUM, 24)}", "type": "function", "function": {{"name": "get_token_price"}}}}',
    lambda r: "data:image/png;base64," + base64.b64encode(r.randbytes(240)).decode(),
    lambda r: f"Das Passwort muss {r.randint(8, 16)} Zeichen lang sein; der Schlüssel liegt im Büro.",
    lambda r: f"Le mot de passe doit contenir {r.randint(8, 16)} caractères. La clé est sous le paillasson.",
    lambda r: f"La contraseña debe tener {r.randint(8, 16)} caracteres; consulte el capítulo {r.randint(1, 9)}.",
    lambda r: f"密码长度必须为{r.randint(8, 16)}个字符\uff0c请在设置中修改。",
    lambda r: f"def login(user, password, token=None):\n    if len(password) < {r.randint(6, 12)}:\n        raise ValueError('password too short')",
    lambda r: f"<div class=\"token-list\" id=\"key-{_draw_number(r, 2)}\"><span>secret garden</span></div>",
    lambda r: f"{{'eos_token': '</s>', 'pad_token_id': {_draw_number(r, 3)}, 'max_new_tokens': {_draw_number(r, 3)}}}",
    lambda r: f"cookies: {r.randint(2, 30)} pieces, flour {_draw_number(r, 3)} g; bake at {_draw_number(r, 3)} degrees",
    lambda r: f"next_page_token: {_draw_text(r, string.ascii_lowercase, 6)}; page {r.randint(1, 99)} of {_draw_number(r, 3)}",
)  # fmt: skip
