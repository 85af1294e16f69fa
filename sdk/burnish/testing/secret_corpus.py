"""Measure a redaction on generated secrets of published forms in many contexts.

    report = measure_secrets(Redactor(b"key").clean_value)
    report.recall          # share of redacted secrets
    report.missed          # samples that still show their secret

Tokens are drawn from the published forms (`burnish.redaction.secret_detection.secret_rules`);
passwords, connection strings, headers, commands and markup are written as people and programs write
them. Every value comes from a seeded generator and is not a real credential.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from burnish.redaction.secret_detection.secret_rules import INNER_RULES, TOKEN_RULES
from burnish.redaction.secret_detection.tokens import draw_token

ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_LEAST_SHOWN = 8  # consecutive characters of a secret that count as the secret


class SecretSample(NamedTuple):
    """A text or value with one secret in it."""

    form: str
    context: str
    value: Any
    secret: str


class SecretReport(NamedTuple):
    """The result of a redaction on all samples."""

    forms: int
    samples: int
    recall: float
    missed: list[SecretSample]


TOKEN_CONTEXTS: dict[str, str] = {
    "sentence": "please use {} from now on",
    "chinese": "我的密钥是{}。请保管好",
    "terminal colour": "\x1b[31m{}\x1b[0m ok",
    "escaped newline": "KeyError: 'x\\n{}\\n'",
    "bytes": "b'\\t{}\\r\\n'",
    "name of a file": "saved as backup_{}.txt",
    "json": '{"note": "{}", "n": 1}',
    "json in json": '{"body": "{\\"note\\": \\"{}\\"}"}',
    "markup": "<note>{}</note>",
    "query": "GET /v1/items?page=2&k={}&x=1",
    "yaml": "- note: {}\n  n: 1",
    "log": "2026-11-21T10:00:00Z INFO [client] using {}, retrying",
    "code": "client = Client('{}', timeout=3)",
    "table": "| prod | {} | eu |",
    "header": "X-Custom: {}\r\nAccept: */*",
    "coloured escape": "\\u001b[1;32m{}\\u001b[0m",
}
"""Contexts of a token that has its own form."""

PASSWORD_CONTEXTS: dict[str, str] = {
    "assignment": "password = {}",
    "quoted": 'db_password = "{}"',
    "environment": "export DB_PASSWORD={}",
    "docker": "docker run -e MYSQL_ROOT_PASSWORD={} mysql:8",
    "option": "app --password {} --verbose",
    "option with =": "app --db-password={} run",
    "mysql": "mysql -u root -p{} shop",
    "sshpass": "sshpass -p {} ssh root@host.example",
    "curl": "curl -u admin:{} https://api.example/v1",
    "url": "postgres://app:{}@db.example:5432/shop",
    "redis": "redis://:{}@cache.example:6379/0",
    "yaml": "database:\n  user: app\n  password: {}\n",
    "yaml block": "password: |\n  {}\n",
    "ini": "[client]\nuser = root\npassword = {}",
    "properties": "spring.datasource.password={}",
    "toml": 'smtp_password = "{}"',
    "json": '{"user": "anna", "password": "{}"}',
    "escaped json": '{\\"user\\": \\"anna\\", \\"password\\": \\"{}\\"}',
    "repr": "{'user': 'anna', 'password': '{}'}",
    "keyword argument": "connect(user='anna', password='{}')",
    "setter": 'config.setPassword("{}");',
    "xml": "<user>anna</user><password>{}</password>",
    "xml attribute": '<add key="Password" value="{}"/>',
    "html": '<input type="text" name="password" value="{}">',
    "connection string": "Server=db;User Id=sa;Password={};Encrypt=true",
    "jdbc": "jdbc:mysql://db/shop?user=app&password={}&ssl=true",
    "form": "user=anna&password={}&remember=1",
    "sql": "ALTER USER app WITH PASSWORD '{}';",
    "mysql sql": "CREATE USER app IDENTIFIED BY '{}';",
    "netrc": "machine host.example login anna password {}",
    "kubernetes": "- name: DB_PASSWORD\n  value: {}",
    "log": "2026-11-21 login ok user=anna pwd={} ip=local",
    "prose": "my password is {} thanks",
    "german": "Das Passwort lautet {} für den Server",
    "german colon": "Kennwort: {}",
    "french": "mot de passe : {}",
    "spanish": "contraseña: {}",
    "portuguese": "senha: {}",
    "italian": "la parola d'ordine; password: {}",
    "dutch": "wachtwoord: {}",
    "polish": "hasło: {}",
    "russian": "пароль: {}",
    "chinese": "密码\uff1a{}",
    "chinese prose": "密码是{}\uff0c请保密",
    "japanese": "パスワード\uff1a{}",
    "korean": "비밀번호: {}",
    "turkish": "şifre: {}",
    "powershell": 'ConvertTo-SecureString "{}" -AsPlainText',
    "ruby": ":password => '{}'",
    "dictionary": 'os.environ["DB_PASSWORD"] = "{}"',
    "table": "| password | {} |",
    "openssl": "openssl rsa -in key.pem -passin pass:{}",
}  # fmt: skip
"""Contexts of a password without its own form."""

HEADER_CONTEXTS: dict[str, str] = {
    "bearer": "Authorization: Bearer {}",
    "token": "Authorization: Token {}",
    "api key scheme": "Authorization: ApiKey {}",
    "no scheme": "authorization: {}",
    "proxy": "Proxy-Authorization: Bearer {}",
    "x-api-key": "X-Api-Key: {}",
    "x-auth-token": "x-auth-token: {}",
    "private token": "PRIVATE-TOKEN: {}",
    "subscription": "Ocp-Apim-Subscription-Key: {}",
    "cookie": "Cookie: sessionid={}; theme=dark",
    "set-cookie": "Set-Cookie: sid={}; Path=/; HttpOnly",
    "curl header": "curl -H 'Authorization: Bearer {}' https://api.example",
    "json headers": '{"headers": {"authorization": "Bearer {}"}}',
    "url token": "https://{}@git.example/team/repo.git",
    "access token query": "https://api.example/v1?access_token={}&page=2",
    "api key query": "https://api.example/v1?api_key={}",
    "signature": "https://blob.example/a?sv=2024&sig={}",
    "client secret": "client_id=abc&client_secret={}&grant_type=x",
    "generic key": "apikey={}",
    "secret": "SECRET_KEY='{}'",
    "camel": '"clientSecret": "{}"',
    "refresh": '"refresh_token": "{}"',
    "account key": "AccountName=a;AccountKey={};EndpointSuffix=x",
    "shared access": "SharedAccessKeyName=Root;SharedAccessKey={}",
    "datadog": "datadog_api_key: {}",
    "adafruit": 'adafruit_io = "{}"',
    "airtable": "AIRTABLE_KEY={}",
    "encryption key": "encryption_key: {}",
    "credential": 'credentials: "{}"',
    "option": "tool --token {} --json",
}
"""Contexts of a random key without its own form."""

STRUCTURES: dict[str, Callable[[Any], Any]] = {
    "password": lambda secret: {"password": secret},
    "camel case": lambda secret: {"dbPassword": secret},
    "kebab case": lambda secret: {"x-api-key": secret},
    "list": lambda secret: {"passwords": [secret]},
    "nested": lambda secret: {"credentials": {"value": secret, "user": "anna"}},
    "name and value": lambda secret: [{"name": "DB_PASSWORD", "value": secret}],
    "key and value": lambda secret: {"env": [{"key": "API_TOKEN", "value": secret}]},
    "pair": lambda secret: [["X-Api-Key", secret]],
    "authorization": lambda secret: {"headers": {"Authorization": secret}},
    "cookie": lambda secret: {"cookie": f"sid={secret}"},
    "french": lambda secret: {"mot_de_passe": secret},
    "chinese": lambda secret: {"密码": secret},
    "json in a text": lambda secret: json.dumps({"secret": secret}),
    "arguments of a command": lambda secret: {"argv": ["app", "--password", secret, "-v"]},
}
"""Plain data in which a key names the meaning of a value."""


def draw_password(rng: random.Random) -> str:
    """Draw a password as people and generators make them, without a form of its own."""
    word = "".join(rng.choices(string.ascii_lowercase, k=6))
    return rng.choice(
        [
            word.title() + str(rng.randint(100, 999)) + rng.choice("!?#$*"),
            "".join(rng.choices(ALNUM, k=14)) + str(rng.randint(1, 9)),
            f"{word}-{rng.randint(1000, 9999)}",
            "".join(rng.choices(ALNUM + "!#$*+-_", k=16)) + "x7",
            f"Tr0ub{rng.randint(2, 9)}dor{rng.randint(10, 99)}",
        ]
    )


def draw_key(rng: random.Random) -> str:
    """Draw a random key without a form of its own."""
    return rng.choice(
        [
            "".join(rng.choices(ALNUM, k=38)) + "a7",
            "".join(rng.choices(_HEX, k=32)),
            base64.b64encode(rng.randbytes(30)).decode(),
            "".join(rng.choices(string.ascii_lowercase + string.digits, k=31)) + "7",
        ]
    )


def token_forms() -> dict[str, str]:
    """Return the template of every published form, under a unique name."""
    known = [*TOKEN_RULES, *((kind, template) for kind, _, template in INNER_RULES)]
    return {f"{kind} {template.partition('<')[0]}": template for kind, template in known}


def secret_samples(seed: int = 0) -> Iterator[SecretSample]:
    """Yield every form in each of its contexts, once."""
    rng = random.Random(f"{seed} secrets")  # noqa: S311 - made-up data, no secret
    for form, template in token_forms().items():
        for context, frame in TOKEN_CONTEXTS.items():
            yield _make_sample(f"token: {form}", context, frame, draw_token(template, rng))
    for context, frame in PASSWORD_CONTEXTS.items():
        for number in range(12):
            yield _make_sample(f"password: {context}", str(number), frame, draw_password(rng))
    for context, frame in HEADER_CONTEXTS.items():
        for number in range(12):
            yield _make_sample(f"key: {context}", str(number), frame, draw_key(rng))
    for context, build in STRUCTURES.items():
        for number in range(12):
            secret = draw_password(rng)
            yield SecretSample(f"structure: {context}", str(number), build(secret), secret)


def measure_secrets(clean_value: Callable[[Any], Any], seed: int = 0) -> SecretReport:
    """Run a redaction over all samples.

    Args:
        clean_value: Redacts plain data.
        seed: Seed of the generator.
    """
    samples = list(secret_samples(seed))
    missed = [sample for sample in samples if is_shown(sample.secret, clean_value(sample.value))]
    forms = {sample.form for sample in samples}
    return SecretReport(len(forms), len(samples), 1 - len(missed) / len(samples), missed)


def is_shown(secret: str, value: Any) -> bool:
    """Return True if a value still contains a secret or a large part of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    size = min(_LEAST_SHOWN, len(secret))
    starts = range(len(secret) - size + 1)
    return any(
        secret[start : start + size] in text
        for start in starts
        if _is_drawn_part(secret, start, size)
    )


def _is_drawn_part(secret: str, start: int, size: int) -> bool:
    """Return True if a part of a secret is random, not a prefix that its whole form shares."""
    part = secret[start : start + size]
    return any(map(str.isdigit, part)) and any(map(str.isalpha, part))


def _make_sample(form: str, context: str, frame: str, secret: str) -> SecretSample:
    return SecretSample(form, context, frame.replace("{}", secret), secret)
