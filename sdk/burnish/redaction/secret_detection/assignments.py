"""Find secrets in a text by the name beside them.

How it works: stems of secret names ("passw", "token", ...) are searched in lower case; around each
one the whole name is read and classified (`is_telling`); behind a secret name one bounded pattern
reads the value in the forms of code, configuration, headers, markup, commands and prose. Each
form has its own rule that separates values from placeholders, code and words of prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from burnish.redaction.patterns import join_words
from burnish.redaction.secret_detection.telling_names import (
    PASSWORD_WORDS,
    is_password_name,
    is_telling,
    words_of,
)
from burnish.redaction.secret_detection.tokens import Token
from burnish.redaction.views import View

_LATIN_STEMS = ("pass", "pwd", "pw", "secret", "token", "key", "credential", "authoriz", "cookie", "bearer", "jwt",
          "kennwort", "contrase", "clave", "senha", "mdp", "mot de passe", "wachtwoord", "losenord",
          "adgangskode", "salasana", "haslo", "heslo", "jelszo", "parola", "sifre", "palavra", "kata sandi",
          "zugangsdaten", "geheimnis", "identified by", "masterauth", "cvv", "otp", "mnemonic", "psk")  # fmt: skip
_FOREIGN = (
    *(word.replace("_", " ") for word in PASSWORD_WORDS if not word.isascii()), "密钥", "令牌", "凭据",
)  # fmt: skip
_ALL_STEMS = (*_LATIN_STEMS, *_FOREIGN)
STEMS = frozenset(_ALL_STEMS)
"""Beginnings of the names of secrets in lower case, of which a text with such a name holds one."""
_ANY_STEM = re.compile(join_words(_ALL_STEMS))
_LATIN = "A-Za-z0-9_\u00c0-\u024f\u0370-\u052f"
_BEHIND = re.compile(f"[{_LATIN}.-]{{0,32}}")
_BEFORE = frozenset(filter(re.compile(f"[{_LATIN}.$-]").match, map(chr, range(0x530))))
_FARTHEST = 40

_BARE = r"(?:[^\s\"'`,;<>}\])&]|&(?![\w.%-]{1,40}=)|,(?![\s\w.-]{0,40}[=:]|\s|$))"
_ASSIGN = r"(?:\[\d{1,3}\])?[ \t]{0,6}[\"'`\])]{0,2}[ \t]{0,8}(?::[ \t]?[A-Za-z_\[\]|]{1,20}[ \t]{0,2}(?==))?(?P<mark>=>|:=|::|===?|[=:\uff1a])[ \t]{0,8}"
_VALUE = rf"""(?:
      [fbruN]{{0,2}}[\[(]?[ ]{{0,2}}"(?P<double>[^"\r\n]{{1,1024}})"
    | [fbruN]{{0,2}}[\[(]?[ ]{{0,2}}'(?P<single>[^'\r\n]{{1,1024}})'
    | `(?P<tick>[^`\r\n]{{1,1024}})`
    | [|>][+-]?[ \t]{{0,4}}\r?\n[ \t]{{1,16}}(?P<block>[^\r\n]{{1,1024}})
    | [ ]{{0,4}}["'`]?(?P<bare>{_BARE}{{1,1024}})
)"""
_FORMS = re.compile(
    rf"""
      (?:["'`]\s{{0,4}}[,;]?\s{{0,24}}|[ ]{{0,3}}\r?\n\s{{0,24}}|[ ]{{0,2}}[,;][ ]{{0,2}}(?=["']))["']?\b(?:[Vv]alue|VALUE|[Vv]al)["']?[ \t]{{0,4}}[:=][ \t]{{0,4}}["']?(?P<pair>[^\s"'`,;<>]{{1,1024}})
    | ["']?\r?\n\r?\n(?P<part>[^\r\n]{{1,512}})
    | ["']\s{{0,4}}>\s{{0,8}}(?P<inner>[^<]{{1,1024}})</
    | </[\w:]{{1,20}}>\s{{0,24}}<(?:string|data|value)>\s{{0,8}}(?P<sibling>[^<]{{1,1024}})</
    | ["']\s{{0,3}},\s{{0,3}}["'](?P<next>[^"'\r\n]{{1,512}})["']
    | {_ASSIGN}{_VALUE}
    | \s(?:for|of|to|für|von|zu|de|du|pour|para|del)\s[^\s:=]{{1,40}}(?:\s[^\s:=]{{1,40}}){{0,4}}?(?:\s(?:is|was|lautet|ist|est|es):?|:)\s{{1,3}}["'`“]?(?P<about>[^\s"'`”,;<>]{{1,512}})
    | \s\.\s{{1,3}}"(?P<dotted>[^"\r\n]{{1,512}})"
    | ["'`]?\s(?:is|was|are|lautet|ist|est|es|é|è|e|wynosi|är|er|on|là)(?:\s(?:now|set\sto|jetzt))?:?\s{{1,3}}["'`“]?(?P<said>[^\s"'`”,;<>]{{1,512}})
    | \s?(?:是|为|為|は|이|가|은|는)[:]?\s?["'`“「]?(?P<told>[^\s"'`”」,;<>。、]{{1,512}})
    | (?:\s[^<>]{{0,200}})?>\s{{0,8}}(?:<!\[CDATA\[)?(?P<element>[^<\]]{{1,1024}})
    | ["']\s{{1,4}}(?:[A-Za-z-]{{1,20}}=["'][^"'<>]{{0,80}}["']\s{{1,4}}){{0,3}}(?:value|content)\s?=\s?["'](?P<attribute>[^"'<>]{{1,1024}})["']
    | \s{{0,3}}\(?\s{{0,3}}"(?P<call>[^"\r\n]{{1,512}})"
    | \s{{0,3}}\(?\s{{0,3}}'(?P<call2>[^'\r\n]{{1,512}})'
    | [ ]{{0,3}}\|[ ]{{0,3}}(?P<cell>[^|\s]{{1,200}})[ ]{{0,3}}\|
    | [ \t]{{1,4}}(?P<word>[^\s"'`<>|;&(){{}}\[\]]{{1,512}})
    """,
    re.VERBOSE,
)
_HEADER = re.compile(
    r"[\"'`]{0,2}[ \t]{0,4}[:=](?!=)[ \t]{0,4}(?:\"(?P<double>[^\"\r\n]{1,4096})|'(?P<single>[^'\r\n]{1,4096})|(?P<bare>[^\r\n\"'`]{1,4096}))"
)
_SCHEME = re.compile(
    r"(?i)(?:bearer|basic|token|apikey|api-key|key|jwt|oauth|negotiate|ntlm|digest|dpop|hawk|hmac|session|splunk|sso-key"
    r"|genie(?:key)?|aws4-hmac-sha256|googlelogin|bot|ghost|discogs|klaviyo-api-key)[ \t]{1,4}(?:token=|auth=)?[\"']?"
)
_PLAIN_HEADER = re.compile(r"[\w.~+/=:-]{8,4096}|[\w-]{3,20} [\w.~+/=:-]{12,4096}")
_PLACEHOLDER = re.compile(
    r"(?i)(?:\$\{|\$\(|\{\{|<|%\(|\{[a-z_]{0,40}\}$|\*{3,}|x{4,}$|\.{3,}|…|REDACTED-|\[redacted|\[withheld|your[-_ ]|my[-_]"
    r"|(?:os|process|env|config|settings|self|this|request|ctx|args|secrets?|var|local|data)\.\w|getenv|\$[a-z_]+$|env:|vault:|ref\+|urn:)"
)
_WORDS = frozenset(
    word
    for words in (
        "string str text number integer int bool boolean object array list dict type none null nil undefined true false",
        "required optional password passwd pwd pass secret token key value apikey api_key username user name login email",
        "changeme redacted hidden example placeholder default empty missing invalid valid unknown auth authorization",
        "bearer basic cookie hash file path stdin prompt input the a an to is of for and or in not with must should can",
        "will may from your my this that here there disabled enabled on off yes no unset bytes any optional[str] secretstr",
        "set given needed field option flag parameter argument header id length policy reset",
    )
    for word in words.split()
)  # fmt: skip
_LABELS = frozenset(word.replace("_", " ") for word in PASSWORD_WORDS)
_IDENTIFIER = re.compile(r"\.?[A-Za-z_][A-Za-z_.:/-]*")
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*[\[(]|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$")
_PATH = re.compile(r"(?:~?/|[A-Za-z]:[\\/]|\.{1,2}/)[\w.~ /\\-]*$|https?://\S+$")
_SNAKE = re.compile(r"[a-z]+(?:_[a-z0-9]+){2,12}")
_HASH = re.compile(r"[0-9a-fA-F-]+")
_STRICT = frozenset(
    {
        "double",
        "single",
        "tick",
        "element",
        "attribute",
        "pair",
        "call",
        "call2",
        "inner",
        "sibling",
        "dotted",
    }
)


def find_assigned(view: View) -> Iterator[Token]:
    """Find every value beside a name of a secret."""
    text, end = view.plain, 0
    for start, behind in _places_of_stems(view.lowered):
        if start < end:
            continue
        first, end = _name_around(text, start, behind)
        found = _value_behind(text, first, end)
        if found is not None:
            end = found.end
            yield found


def _places_of_stems(lowered: str) -> list[tuple[int, int]]:
    """Find the places of the stems, in order."""
    found: list[tuple[int, int]] = []
    if not has_telling_stem(lowered):
        return found
    for stem in _LATIN_STEMS if lowered.isascii() else _ALL_STEMS:
        if stem in lowered:
            place, size = lowered.find(stem), len(stem)
            while place >= 0:
                found.append((place, place + size))
                place = lowered.find(stem, place + size)
    return sorted(found)


def has_telling_stem(lowered: str) -> bool:
    """Return whether a text in lower case may hold the name of a secret."""
    return _ANY_STEM.search(lowered) is not None


def is_placeholder(text: str) -> bool:
    """Return whether a value is a placeholder: a variable, a template, stars, the name of a type."""
    return _PLACEHOLDER.match(text) is not None or text.strip(".!?:").lower() in _WORDS


def is_template(text: str) -> bool:
    """Return whether a value is a variable, a template or stars; a word may be a password."""
    return _PLACEHOLDER.match(text) is not None


def _name_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Find the bounds of the name that holds a stem."""
    first = max(0, start - _FARTHEST)
    while start > first and text[start - 1] in _BEFORE:
        start -= 1
    behind = _BEHIND.match(text, end)
    return start, behind.end() if behind else end


def _value_behind(text: str, start: int, end: int) -> Token | None:
    end = start + len(text[start:end].rstrip("."))
    name = _last_part(text[start:end].strip("-.$"))
    telling = is_telling(name)
    words = words_of(name)
    if telling and words.endswith(("authorization", "cookie")):
        return _header_value(text, end, words)
    if not telling:
        return _long_key(text, end) if words.endswith("key") else None
    match = _FORMS.match(text, end)
    if match is None or match.lastgroup is None:
        return None
    form = next(group for group, value in match.groupdict().items() if value and group != "mark")
    return _accept_value(text, match, form, name, text[max(0, start - 2) : start])


def _last_part(name: str) -> str:
    """Return the last part of a dotted name, which describes its value."""
    head, _, last = name.rpartition(".")
    return head if last in ("value", "0", "encrypted") else last


def _accept_value(
    text: str, match: re.Match[str], form: str, name: str, before: str
) -> Token | None:
    """Return the value of a form if the form accepts it."""
    value, place = match[form].rstrip(), match.start(form)
    if form in ("bare", "said", "told", "word", "block", "cell", "about", "part"):
        value = value.rstrip(".!?:。").strip()
    flag = name.startswith("-") or before.endswith("-") or _is_flag(text, match.start(), name)
    if form == "element" and not before.endswith(("<", ":")):
        return None
    if form == "next" and (before[-2:-1] not in ("(", "[") or not _is_mixed(value)):
        return None
    if form in ("about", "part") and not _is_mixed(value):
        return None
    if form in ("part", "inner") and not before.endswith(('"', "'")):
        return None
    if form in ("call", "call2") and before.endswith(("'", '"')):
        return None
    if form == "word" and not flag and name.lower() == "pass":
        return None
    if form in ("bare", "said", "word", "pair") and text[
        place + len(value) : place + len(value) + 1
    ] in ("(", "["):
        return None
    if not value or is_placeholder(value) or value.lower() in _LABELS or _is_path(value):
        return None
    exact = form in _STRICT or (match["mark"] == "=" and (flag or _is_variable(text, match, name)))
    good = _is_strict_value(value, name) if exact else _is_loose_value(value, name, form, flag)
    return Token("password", place, place + len(value)) if good else None


def _is_path(value: str) -> bool:
    """Return whether a value is a file or an address, not a random text that begins with a slash."""
    kinds = (str.isupper, str.islower, str.isdigit)
    drawn = len(value) >= 24 and "." not in value and all(any(map(kind, value)) for kind in kinds)
    return _PATH.match(value) is not None and not (drawn and value.count("/") < 4)


def _is_flag(text: str, end: int, name: str) -> bool:
    """Return whether the name is an option of a command, such as `--db-password`."""
    start = end - len(name)
    return text[max(0, start - 1) : start] == "-" or text[max(0, start - 2) : start] == "--"


def _is_variable(text: str, match: re.Match[str], name: str) -> bool:
    """Return whether an assignment is in a shell, an .env file, a connection string or a query."""
    tight = match.start("mark") == match.start() and match.end("mark") < len(text)
    behind = text[match.end("mark") : match.end("mark") + 1]
    connection = text[match.end() : match.end() + 1] in (";", "&")
    return tight and not behind.isspace() and (name.isupper() or connection)


def _is_strict_value(value: str, name: str) -> bool:
    """Return whether a quoted, tagged or tightly assigned value is a secret; most are."""
    if _CODE.match(value) and not any(map(str.isdigit, value)):
        return False
    if len(value) < 3 or (" " in value and "phrase" not in words_of(name) and not _is_mixed(value)):
        return False
    if " " in value and len(value) > 100:
        return False
    if is_password_name(name) or "secret" in words_of(name):
        return "_" not in value or not _IDENTIFIER.fullmatch(value) or len(value) < 4
    return not _IDENTIFIER.fullmatch(value) or len(value) >= 20


def _is_loose_value(value: str, name: str, form: str, flag: bool) -> bool:
    """Return whether a value in prose, YAML or behind an option is a secret, not an ordinary word."""
    if _CODE.match(value) or "(" in value or value[0] in "[{" or _SNAKE.fullmatch(value):
        return False
    if form in ("word", "cell") and not flag:
        named = re.fullmatch(r"[A-Za-z_-]+\d{0,4}", value) is not None and "_" in value
        return len(value) >= 8 and _is_mixed(value) and not named and not value.endswith(("=", ":"))
    if len(value) < (4 if flag or is_password_name(name) else 6):
        return False
    if _IDENTIFIER.fullmatch(value):
        return len(value) >= 20 and value.isalpha()
    if value.isdigit() or value.replace(".", "").isdigit():
        return form not in ("said", "word") or len(value) >= 4
    return any(map(str.isalnum, value))


def _is_mixed(value: str) -> bool:
    """Return whether a value has a digit beside letters, as generated passwords have."""
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _header_value(text: str, end: int, words: str) -> Token | None:
    """Return the value of an Authorization or Cookie header, after its scheme."""
    match = _HEADER.match(text, end)
    if match is None:
        return None
    form = match.lastgroup or "bare"
    value, place = match[form], match.start(form)
    if words.endswith("cookie"):
        kept = value.rstrip()
        return Token("cookie", place, place + len(kept)) if _is_cookie(kept) else None
    scheme = _SCHEME.match(value)
    rest = value[scheme.end() :] if scheme else value
    if not re.match(r"(?i)digest|hawk|oauth|aws4|hmac", value):
        rest = re.split(r"[\s\"',;}]", rest, maxsplit=1)[0] if scheme else rest.rstrip(" ,;})")
    rest = rest.rstrip()
    if is_placeholder(rest) or len(rest) < 4 or (not scheme and not _PLAIN_HEADER.fullmatch(rest)):
        return None
    if _IDENTIFIER.fullmatch(rest) and not (rest.isalpha() and len(rest) >= 20):
        return None
    place += value.index(rest)
    return Token("bearer", place, place + len(rest))


def _is_cookie(value: str) -> bool:
    """Return whether a header holds names with values that are longer than words."""
    name, mark, content = value.partition("=")
    return (
        bool(mark) and " " not in name.strip() and len(content) >= 4 and not is_placeholder(content)
    )


_LONG_KEY = re.compile(r"[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<value>[A-Za-z0-9+/_-]{24,512}={0,2})")


def _long_key(text: str, end: int) -> Token | None:
    """Return the value beside any name that ends in "key", if it must be one."""
    match = _LONG_KEY.match(text, end)
    if match is None:
        return None
    value = match["value"]
    kinds = (str.isupper, str.islower, str.isdigit)
    if _HASH.fullmatch(value) or not all(any(map(kind, value)) for kind in kinds):
        return None
    return Token("long_key", match.start("value"), match.end("value"))
