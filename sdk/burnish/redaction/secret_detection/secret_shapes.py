"""Find secrets by their context: private keys, URLs, schemes, commands, names of providers.

Every pattern begins with a literal or a short class and is bounded in length, so that the time
grows with the length of the text alone.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from burnish.redaction.patterns import join_words
from burnish.redaction.secret_detection.assignments import is_placeholder, is_template
from burnish.redaction.secret_detection.tokens import Token
from burnish.redaction.views import View

_KEY_BEGIN = re.compile(
    r"-{4,5} ?BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)? ?-{4,5}|PuTTY-User-Key-File-\d: "
)
_KEY_END = re.compile(
    r"-{4,5} ?END [A-Z0-9 ]{0,60}KEY(?: BLOCK)? ?-{4,5}|Private-MAC: [0-9a-f]{8,64}"
)
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.()-]{0,65536}")
_LONGEST_KEY = 65_536


def find_private_keys(view: View) -> Iterator[Token]:
    """Find private keys in PEM and PuTTY form, also with escaped line ends and cut off."""
    text = view.text
    if "PRIVATE KEY" not in text and "PuTTY-" not in text:
        return
    end = 0
    for match in _KEY_BEGIN.finditer(text):
        if match.start() < end:
            continue
        body = _KEY_BODY.match(text, match.end())
        closing = _KEY_END.search(text, match.end(), match.end() + _LONGEST_KEY)
        if closing is not None and closing.start() <= (body.end() if body else 0) + 512:
            end = closing.end()
        elif body is not None and len(body.group().strip()) >= 40:
            end = body.end()
        else:
            continue
        yield Token("private_key", match.start(), end)


class _Shape(NamedTuple):
    """A pattern with a group `value`, searched where one of the hints occurs."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    accept: Callable[[str], bool]


def _is_login(text: str) -> bool:
    """Return whether Base64 decodes to "user:password"."""
    try:
        return ":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:
        return False


def _is_random(text: str) -> bool:
    """Return whether a value has letters and digits and is not a template."""
    return any(map(str.isdigit, text)) and any(map(str.isalpha, text)) and not is_placeholder(text)


def _is_given(text: str) -> bool:
    """Return whether a value is not a placeholder."""
    return not is_placeholder(text)


def _is_odd(text: str) -> bool:
    """Return whether a value is not a plain word or number."""
    return not text.isalpha() and not text.isdigit() and not is_placeholder(text) and len(text) >= 4


def _is_passed(text: str) -> bool:
    """Return whether a command's password argument is a value, not a variable, template or option."""
    return not is_template(text) and not text.startswith("-") and not text.isdigit()


def _is_long_passed(text: str) -> bool:
    """Return whether the word after an option such as `--password` is its value, not prose."""
    return (
        _is_passed(text)
        and text.strip(".,:?!").lower() not in _NO_PASSWORD
        and not _FILE.search(text)
    )


_FILE = re.compile(r"\.(?:txt|json|ya?ml|pem|key|env|conf|cfg|ini)$")


def is_drawn(text: str) -> bool:
    """Return whether a value looks random: long with digits and both cases, or a hash."""
    if _HEX.fullmatch(text):
        return len(text) >= 32 and any(map(str.isalpha, text)) and any(map(str.isdigit, text))
    kinds = (str.isupper, str.islower, str.isdigit)
    return any(
        len(part) >= 12 and all(any(map(kind, part)) for kind in kinds) and _DIGITS.search(part)
        for part in re.split(r"[/_.=+-]", text)
    )


_DIGITS = re.compile(r"\d\D{1,256}\d")
_HEX = re.compile(r"[0-9a-fA-F]+")

_SQL = r"(?i)(?:identified by(?: password)?|password) {1,4}['\"](?P<value>[^'\"\n]{3,256})['\"]"
_COMMANDS = (
    r"(?<![\w-])(?:mysql\w{0,12}|mariadb\w{0,12}|sshpass|mongo\w{0,12}|docker login|podman login|helm registry login"
    r"|oc login|az login|7z|useradd|usermod|clickhouse-client|cqlsh|sqlcmd|psql)(?=[ \t])[^\n;|]{0,160}?\s-[pP] ?[\"']?"
    r"(?P<value>[^\s\"'`;|&]{4,256})"
)
_OTHER_COMMANDS = (
    r"(?<![\w-])(?:redis-cli [^\n;|]{0,80}?-a|ldap\w{3,10} [^\n;|]{0,200}?-w|sqlcmd [^\n;|]{0,120}?-P"
    r"|smbclient [^\n;|]{0,120}?-U [^\s%]{1,64}%|net user \S{1,64}|htpasswd -[bnBcmi]{1,6} (?:[^\s;|]{1,120} ){1,2}"
    r"|wpa_passphrase \S{1,64}|net use [^\n;|]{0,160}?/user:\S{1,64}|snmp-server community|isakmp key"
    r"|echo(?= \S{1,128} ?\| ?(?:sudo -S|passwd|chpasswd|docker login)))[ \t]{0,3}[\"']?(?P<value>[^\s\"'`;|&%]{4,256})"
)
# A plain word may follow: these options accept only a password.
_WORD = r"[ \t]{0,3}[\"']?(?P<value>[^\s\"'`;|&%<>$]{3,256})"
_JOINED_OPTION = (
    r"(?<![\w-])(?:mysql\w{0,12}|mariadb\w{0,12}|sshpass|7z\w?|rar|unrar)(?=[ \t])[^\n;|]{0,160}?\s-p[\"']?"
    r"(?P<value>[A-Za-z][^\s\"'`;|&%<>$]{2,256})"
)
_LOGIN_OPTION = (
    r"(?<![\w-])(?:(?:sshpass|mongo\w{0,12}|docker login|podman login|helm registry login|oc login|az login)(?=[ \t])"
    r"[^\n;|]{0,160}?\s-p(?=[ \t])|(?:zip|unzip|sqlcmd)(?=[ \t])[^\n;|]{0,160}?\s-P"
    r"|redis-cli(?=[ \t])[^\n;|]{0,80}?\s-a(?=[ \t])|ldap\w{3,10}(?=[ \t])[^\n;|]{0,200}?\s-w(?=[ \t])"
    r"|smbclient(?=[ \t])[^\n;|]{0,120}?\s-U [^\s%]{1,64}%|htpasswd -[nBcmi]{0,5}b[nBcmi]{0,5} (?:[^\s;|]{1,120} ){1,2}"
    r"|net use [^\n;|]{1,160}?(?= \S{3,64} /user:)|openssl enc(?=[ \t])[^\n;|]{0,160}?\s-k(?=[ \t])"
    r"|echo(?= \S{1,128} ?\| ?(?:sudo -S|passwd|chpasswd|docker login))|openssl(?=[ \t])[^\n;|]{0,200}?\s-pass(?:in|out)? pass:"
    rf"|(?:keytool|jarsigner)(?=[ \t])[^\n;|]{{0,200}}?\s-(?:store|key)pass(?=[ \t])){_WORD}"
)
_WEB_LOGIN = (
    r"(?<![\w-])(?:curl|wget|https?|xh|httpie)(?=[ \t])[^\n;|]{0,240}?\s(?:-u|-U|--user|--proxy-user|-a|--auth)[ =]?"
    r"[\"']?[^\s:\"'@/=$]{1,64}:(?P<value>[^\s\"'/$<>]{3,256})"
)
_LONG_OPTION = (
    r"(?<![\w-])--(?:[a-z]{1,20}-){0,2}(?:password|passwd|passphrase|pass|secret|token|api-key|apikey)(?:=|[ \t]{1,3})[\"']?"
    r"(?P<value>[A-Za-z][\w!#*+.,:?^~@-]{2,256})(?=$|[\s\"'`;|&)])"
)
_NO_PASSWORD = frozenset(
    word
    for words in (
        "option options flag flags argument arguments arg parameter parameters param switch switches",
        "setting settings value values is was are were has have had and or but not to for from on in at",
        "by of with without if when the a an this that which must should can could will would may might",
        "as so then than because instead file prompt stdin field also only takes needs expects requires",
        "reads sets means works does did be been being it its you your we they into via accepts asks",
        "lets allows exists appears comes goes makes uses used gives given now here there",
    )
    for word in words.split()
)  # fmt: skip
_SESSION = (
    r"(?i)(?<![\w.-])(?:session|sid|sess|salt|key|session[_-]?id|phpsessid|jsessionid)[\"'`]?[ \t]{0,2}[:=][ \t]{0,2}[\"'`]?"
    r"(?P<value>[A-Za-z0-9+/_=-]{12,256})(?![\w./-])"
)
VENDORS = frozenset((
    "adafruit", "adobe", "airtable", "algolia", "alibaba", "artifactory", "asana", "atlassian", "auth0", "beamer",
    "bintray", "bitbucket", "bitly", "bittrex", "brevo", "clearbit", "cloudflare", "codecov", "cohere", "coinbase",
    "confluence", "confluent", "contentful", "datadog", "deepl", "deepseek", "discord", "droneci", "dropbox", "etsy",
    "facebook", "fastly", "finicity", "finnhub", "flickr", "freshbooks", "gitter", "gocardless", "heroku", "hubspot",
    "intercom", "jfrog", "jira", "kraken", "kucoin", "launchdarkly", "linkedin", "looker", "mailchimp", "mailgun",
    "mattermost", "meraki", "messagebird", "mistral", "netlify", "newrelic", "new_relic", "nytimes", "okta", "opsgenie",
    "pagerduty", "plaid", "privateai", "rapidapi", "sendbird", "sentry", "shodan", "snyk", "sonar", "squarespace",
    "sumologic", "sumo", "telegram", "travis", "trello", "twilio", "twitch", "twitter", "typeform", "virustotal",
    "yandex", "zendesk", "zoom", "weatherapi", "openweather", "stability", "together", "voyage", "serpapi", "softlayer",
    "cloudant", "ibm_cloud",
))  # fmt: skip
"""Names of providers in lower case, of which a text with a key beside such a name holds one."""
_VENDOR = re.compile(join_words(sorted(VENDORS)))
_VENDOR_HINT = re.compile(r"[:=>][ \t]{0,4}[\"'`]?[A-Za-z0-9_=./+-]{15}")
_VENDOR_VALUE = re.compile(
    r"[\w.-]{0,24}[\"'`\])]{0,2}[ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4}[\"'`]?"
    r"(?P<value>[A-Za-z0-9_=./+-]{15,256})(?![A-Za-z0-9_/])"
)

# Options of a command: without a blank before some option, a text holds no command.
_USER_OPTIONS = ("-u", "--user", "--proxy-user")
_SHAPES = (
    _Shape("url_password", ("://",), re.compile(
        r"://[^\s:/@\"'<>]{0,256}:(?P<value>[^\s/\"'<>]{1,512})@"), _is_given),
    _Shape("url_token", ("://",), re.compile(
        r"://(?P<value>[^\s:/@\"'<>?#]{12,512})@"), _is_random),
    _Shape("url_signature", ("ig=", "ignature="), re.compile(
        r"[?&;](?:[\w-]{0,24}[_-])?[Ss]ig(?:nature)?=(?P<value>[A-Za-z0-9%+/_-]{16,1024}={0,2})"), _is_random),
    _Shape("bearer", ("bearer", "Bearer", "BEARER"), re.compile(
        r"(?<![A-Za-z])[Bb](?:earer|EARER)[\s:\"']{1,4}(?P<value>[A-Za-z0-9._~+/=-]{16,8192})"), _is_random),
    _Shape("basic", ("basic", "Basic", "BASIC"), re.compile(
        r"(?<![A-Za-z])[Bb](?:asic|ASIC)\s{1,4}(?P<value>[A-Za-z0-9+/]{8,1024}={0,2})"), _is_login),
    _Shape("password", _USER_OPTIONS, re.compile(
        r"(?<![\w-])(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"'@/=]{1,64}:(?P<value>[^\s\"'/]{3,256})"), _is_odd),
    _Shape("password", ("curl", "wget", "http"), re.compile(_WEB_LOGIN), _is_passed),
    _Shape("password", (" -p", " -P"), re.compile(_COMMANDS), _is_odd),
    _Shape("password", (" -p",), re.compile(_JOINED_OPTION), _is_passed),
    _Shape("password", ("login", "zip", "mongo", "sshpass", "sqlcmd", "redis-cli", "ldap", "smbclient", "htpasswd",
                         "net use", "openssl", "echo ", "keytool", "jarsigner"), re.compile(_LOGIN_OPTION), _is_passed),
    _Shape("password", ("pass", "-secret", "-token", "api-key", "apikey"), re.compile(_LONG_OPTION), _is_long_passed),
    _Shape("token", ("ession", "ESSION", "sid", "SID", "salt", "Salt", "SALT", "key", "Key", "KEY", "sess"),
           re.compile(_SESSION), is_drawn),
    _Shape("password", ("redis-cli", "ldap", "sqlcmd", "smbclient", "net us", "htpasswd", "echo",
                         "wpa_passphrase", "community", "isakmp"),
           re.compile(_OTHER_COMMANDS), _is_odd),
    _Shape("password", ("dentified by", "DENTIFIED BY", "assword '", "ASSWORD '"), re.compile(_SQL), _is_given),
    _Shape("password", ("sqlplus", "oracle:thin:"), re.compile(
        r"(?:sqlplus(?: -\w{1,4}){0,3} |oracle:thin:)[^\s/@:]{1,64}/(?P<value>[^\s@/]{3,256})"), _is_odd),
    _Shape("password", ("sp_addlogin",), re.compile(
        r"sp_addlogin\s{1,4}N?'[^'\n]{1,64}'\s?,\s?N?'(?P<value>[^'\n]{3,256})'"), _is_given),
    _Shape("password", ("auth=", "auth =", "Auth(", "login("), re.compile(
        r"(?:\bauth ?= ?|Auth|\blogin)\( ?[\"'][^\"'\n]{0,128}[\"'] ?, ?[\"'](?P<value>[^\"'\n]{3,256})[\"']"), _is_odd),
    _Shape("password", (":5432:", ":6432:", ":*:"), re.compile(
        r"(?<!\S)[\w.*-]{1,128}:(?:5432|6432|\*):[\w*-]{1,64}:[\w*.-]{1,64}:(?P<value>\S{3,256})"), _is_odd),
    _Shape("password", ("chpasswd <<",), re.compile(
        r"chpasswd <<<? ?[\"']?[^\s:\"']{1,64}:(?P<value>[^\s\"']{3,256})"), _is_odd),
    _Shape("password", ("secret ", "password "), re.compile(
        r"(?<![\w-])(?:secret|password) [05-9] (?P<value>[^\s\"']{4,256})"), _is_random),
    _Shape("password", ("pass:",), re.compile(r"(?<![\w])pass:(?P<value>[^\s\"'`;|]{4,256})"), _is_odd),
    _Shape("password", ("ecureString",), re.compile(
        r"ConvertTo-SecureString(?: -String)? {1,3}[\"'](?P<value>[^\"'\n]{3,256})[\"']"), _is_given),
)  # fmt: skip
_HINTS = {hint.strip() for shape in _SHAPES for hint in shape.hints}
_HINT = re.compile(join_words(sorted(_HINTS)))
WORDS = frozenset(hint.lower() for hint in _HINTS)
"""Words in lower case, of which a text with a secret of such a shape holds one."""


@functools.cache
def _shapes_near(hint: str) -> frozenset[int]:
    """Return the places in `_SHAPES` of the shapes of a hint, without blanks, and of others that may overlap with it."""
    ends = [hint[place:] for place in range(len(hint))]
    near = {
        other for other in _HINTS if other in hint or any(other.startswith(end) for end in ends)
    }
    return frozenset(
        place
        for place, shape in enumerate(_SHAPES)
        if not near.isdisjoint(other.strip() for other in shape.hints)
    )


def find_shapes(view: View) -> Iterator[Token]:
    """Find every secret that its context identifies."""
    text = view.plain
    hints = {match.group() for match in _HINT.finditer(text)}
    for place in sorted(frozenset().union(*map(_shapes_near, hints))):
        shape = _SHAPES[place]
        if shape.hints == _USER_OPTIONS and " -" not in text:
            continue
        for hint in shape.hints:
            if hint in text:
                break
        else:
            continue
        for match in shape.pattern.finditer(text):
            if shape.accept(match["value"]):
                yield Token(shape.kind, *match.span("value"))


def find_vendor_keys(view: View) -> Iterator[Token]:
    """Find random values next to the name of a provider, such as `adafruit_io = "..."`."""
    if not view.has_long_run or not _VENDOR_HINT.search(view.plain):
        return
    for match in _VENDOR.finditer(view.lowered):
        found = _VENDOR_VALUE.match(view.plain, match.end())
        if found and _is_key_of_vendor(found["value"]):
            yield Token("provider_key", *found.span("value"))


def _is_key_of_vendor(value: str) -> bool:
    """Return whether a value looks random, and is not a path, host, version or date."""
    if value.count("/") > 1 or value.count(".") > 2 or value.startswith(("http", "/", ".", "20")):
        return False
    digits = sum(map(str.isdigit, value))
    return _is_random(value) and digits >= 3
