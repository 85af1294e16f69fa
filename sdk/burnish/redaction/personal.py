"""Find personal data that has a fixed form: addresses, phones, cards, accounts, national numbers.

A pattern finds candidates, a check (check digits, ranges, dates) accepts them. Numbers without
distinctive separators or check digits count only next to a word that names them.

In most patterns the lookbehind stands behind the first character, because `re` finds that faster (`patterns`).
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator

from burnish.redaction import check_digits as checks
from burnish.redaction.check_digits import digits_of, iban_remainder, luhn
from burnish.redaction.patterns import GuardedPattern, join_words
from burnish.redaction.secret_detection.tokens import Token
from burnish.redaction.views import View

_LETTERS = "\u00c0-\u024f\u0370-\u03ff\u0400-\u052f\u0590-\u06ff\u0900-\u0dff"
_LOCAL = rf"[A-Za-z0-9{_LETTERS}._%+'-]"
_AT = r"(?:@|%40|\s?\[at\]\s?|\s?\(at\)\s?|&\#64;|&\#x40;|&commat;)"
_DOT = r"(?:\.|\s?\[dot\]\s?|\s?\(dot\)\s?)"
_LABEL = rf"[A-Za-z0-9{_LETTERS}-]"
_MAIL = re.compile(
    rf"""(?:(?<!{_LOCAL}){_LOCAL}{{1,64}}|"[^"\s@][^"\n@]{{0,62}}"|(?<=[\u3040-\u9fff\uac00-\ud7af]))
    {_AT}
    (?:(?:{_LABEL}{{1,63}}{_DOT}){{1,8}}(?:[A-Za-z]{{2,24}}|[{_LETTERS}]{{2,24}})
      |(?:[\w-]{{1,63}}\.){{1,4}}[\u3040-\u9fff\uac00-\ud7af]{{2,8}}
      |\[(?:\d{{1,3}}\.){{3}}\d{{1,3}}\])""",
    re.VERBOSE,
)
_MAIL_HINTS = ("@", "%40", "at]", "at)", "&#64;", "&#x40;", "&commat;")


def find_mails(view: View) -> Iterator[Token]:
    """Find e-mail addresses, also with quoted and non-ASCII parts and spelled out."""
    text = view.text
    for hint in _MAIL_HINTS:
        if hint in text:
            break
    else:
        return
    for match in _MAIL.finditer(text):
        start = match.start()
        while start < match.end() and text[start] in ".'%-" and text[start : start + 3] != "%40":
            start += 1
        start = _behind_escape(text, start)
        if match.group()[0] == "@" and start == match.start():
            start = _cjk_local(text, start)
        yield Token("email", start, match.end())


def _behind_escape(text: str, start: int) -> int:
    """Return the offset after the letter of an escape, such as a line end, before a local part."""
    if (
        start
        and text[start - 1] == "\\"
        and text[start] in "nrtbfv"
        and text[start + 1] not in "@%"
    ):
        return start + 1
    return start


def _cjk_local(text: str, place: int) -> int:
    start = place
    while start > max(0, place - 16) and "\u3040" <= text[start - 1] <= "\ud7af":
        start -= 1
    return start


_CARD = re.compile(r"\d(?<![A-Za-z0-9]\d)(?<!\d[.-]\d)(?:[ ./_-]{0,2}\d){12,63}(?![A-Za-z0-9])")
_MOST_GROUPS = 7
_GROUP = re.compile(r"\d+")
_ISSUED = re.compile(  # prefixes and lengths of the card networks
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|30\d{12}|3[689]\d{12}"
    r"|35\d{14}|6\d{15,18}|5[06-8]\d{11,17}"
)


def find_cards(view: View) -> Iterator[Token]:
    """Find card numbers of a known network with correct check digits, in any grouping."""
    for match in _CARD.finditer(view.text):
        yield from _cards_in(view.text, match.start(), match.end())


def _cards_in(text: str, start: int, end: int) -> Iterator[Token]:
    """Find the cards in a run of digit groups: the whole run, or some consecutive groups."""
    groups = [group.span() for group in _GROUP.finditer(text, start, end)]
    if _is_card_of(text, groups):
        yield Token("card", start, end)
        return
    place = 0
    while place < len(groups):
        first = place
        place += 1
        if text[groups[first][0]] not in "23456":
            continue
        for last in range(first, min(first + _MOST_GROUPS, len(groups))):
            if _is_card_of(text, groups[first : last + 1]):
                yield Token("card", groups[first][0], groups[last][1])
                place = last + 1
                break


def _is_card_of(text: str, groups: list[tuple[int, int]]) -> bool:
    """Return whether digit groups together are a card number."""
    size = sum(end - start for start, end in groups)
    if not 13 <= size <= 19:
        return False
    return _is_even(text, groups) and _is_card("".join(text[start:end] for start, end in groups))


def _is_card(number: str) -> bool:
    return _ISSUED.fullmatch(number) is not None and len(set(number)) > 1 and luhn(number)


def _is_even(text: str, groups: list[tuple[int, int]]) -> bool:
    """Return whether all groups have the same separator, which is not that of a decimal or a date."""
    between = {text[one[1] : two[0]] for one, two in itertools.pairwise(groups)}
    return len(between) <= 1 and (
        not between or between.pop() in (" ", "-", "  ") or len(groups) in (3, 4, 5)
    )


_IBAN = re.compile(r"[A-Za-z](?<![A-Za-z0-9][A-Za-z])[A-Za-z]\d{2}(?=[ .-]{0,2}[A-Za-z0-9])")
_IBAN_SIZES = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_IBAN_REST = re.compile(r"(?:[ .-]{0,2}[A-Za-z0-9]){1,31}")


def find_ibans(view: View) -> Iterator[Token]:
    """Find account numbers in any case and grouping, by length of country and check digits."""
    for match in _IBAN.finditer(view.text):
        size = _IBAN_SIZES.get(match.group()[:2].upper())
        rest = _IBAN_REST.match(view.text, match.end())
        if size is None or rest is None:
            continue
        end, kept = match.end(), size - 4
        for place in range(match.end(), rest.end()):
            kept -= view.text[place].isalnum()
            if kept == 0:
                end = place + 1
                break
        number = "".join(filter(str.isalnum, view.text[match.start() : end])).upper()
        behind = view.text[end : end + 1]
        if (
            kept == 0
            and iban_remainder(number) == 1
            and not (behind.isascii() and behind.isalnum())
        ):
            yield Token("iban", match.start(), end)


_IPV4 = re.compile(
    r"\d(?<![A-Za-z0-9_.-]\d)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![A-Za-z0-9_]|\.\d|-\d)"
)
_IPV6 = re.compile(
    r"(?<![:.\w])(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4})(?::[0-9a-fA-F]{1,4}){0,7}(?![:.\w])"
    r"|(?<![:.\w])(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,7})?(?![:.\w])",
    re.ASCII,
)

_GROUPS = re.compile(r":[0-9a-fA-F]{1,4}:")


def find_ips(view: View) -> Iterator[Token]:
    """Find IP addresses, except local ones."""
    text = view.text
    patterns = [_IPV4] if view.has_few_digits and "." in text else []
    if ":" in text and ("::" in text or _GROUPS.search(text)):
        patterns.append(_IPV6)
    for pattern in patterns:
        for match in pattern.finditer(text):
            if _is_public(match.group()):
                yield Token("ip", *match.span())


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


_SSN = re.compile(
    r"\d(?<![A-Za-z0-9_-]\d)\d\d(?:(?<!000|666|9\d\d)[- ](?!00)\d\d|(?<=9\d\d)[- ](?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9]))"
    r"[- ](?!0000)\d{4}(?![A-Za-z0-9_-])"
)
_PHONE_START = re.compile(
    r"[+(0-9](?<![A-Za-z0-9+.][+(0-9])(?<!\d[-/ ][+(0-9])(?<!\d-\([+(0-9])", re.ASCII
)
_PHONE_FORM = re.compile(
    r"""
    (?:
        (?!\+\d+\.\d+(?![\d.]|[\s/-]\d))                                                  # no decimal
        \+[1-9]\d{0,2}[\s./-]?(?:\(0?\d{1,4}\)[\s./-]?)?\d{1,5}(?:[\s./-]?\d{2,5}){1,4}      # international
      | 00[1-9]\d{0,2}[\s/-]\d{1,4}(?:[\s/-]?\d{2,5}){1,4}
      | 00(?:1[2-9]\d{9}|(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])[1-9]\d{7,10}  # joined
          |(?:2[1-689]|3[578]|42|5[09]|6[7-9]|8[058]|9[679])\d[1-9]\d{6,9})
      | (?:1[\s.-])?(?:\(\d{3}\)\s?|\d{3}[.-])\d{3}[.-]\d{4}                              # North America
      | (?:1\ )?[2-9]\d\d\ [2-9]\d\d\ \d{4}
      | \(0\d{1,4}\)\s?\d{2,4}(?:[\s-]?\d{2,4}){1,3}                                      # national, in brackets
      | 0[1-9](?:([ .-])\d{2})(?:\1\d{2}){3}                                                # France
      | 0[1-9]\d{1,4}[ /-]\d{3,8}(?:[ -]\d{2,5}){0,3}                                       # with a leading zero
      | 0[1-9][ -]\d{3,4}[ -]\d{4}
      | 06[ -]\d{8}
      | \(?[1-9]\d\)?[ ]9?\d{4}-\d{4}                                                       # Brazil
      | [6-9]\d{4}[ -]\d{5}                                                                 # India
      | 8[ -]?\(?[3-9]\d{2}\)?[ -]\d{3}[ -]\d{2}[ -]\d{2}                                   # Russia
      | 1[3-9]\d[ -]\d{4}[ -]\d{4}                                                          # China
      | [67]\d{2}(?:[ ]\d{2}){3}                                                            # Spain
      | 3[2-9]\d[ ]\d{3}[ ]?\d{4}                                                           # Italy
    )
    (?![A-Za-z0-9_-]|\.\d|[ ]\d)
    """,
    re.VERBOSE | re.ASCII,
)
_PHONE = GuardedPattern(_PHONE_START, _PHONE_FORM)
_CHINESE_PHONE = re.compile(r"(?<![A-Za-z0-9.])1[3-9]\d{9}(?![A-Za-z0-9.])", re.ASCII)
_CJK = re.compile("[\u4e00-\u9fff]")
_NEAR_PHONE = re.compile(
    r"(?<![A-Za-z])(?:phone|tel(?:e(?:phone|fon|fono))?|mobile?|cell|call\ (?:me\ )?(?:at|on)|fax|whatsapp|handy|numéro|m[oó]vil|celular"
    r"|телефон|電話|电话|手机|전화|τηλ(?:έφωνο)?|טלפון|هاتف|جوال|موبايل|تلفن|फ़?ोन|फोन|मोबाइल|ফোন|โทร(?:ศัพท์)?|điện thoại)(?:[\s_]?(?:no\.?|number|num|nummer))?\.?[\"']?\s?(?:is|:|=)?\s?[\"']?"
    r"(?P<value>\+?\(?\d[\d\s()/.-]{5,18}\d)(?![A-Za-z0-9_])",
    re.IGNORECASE,
)
_NEAR_PHONE_WORDS = (
    "phone", "tel", "mobil", "cell", "call", "fax", "whatsapp", "handy", "num\u00e9ro", "m\u00f3vil", "movil", "celular",
    "телефон", "電話", "电话", "手机", "전화", "τηλ", "טלפון", "هاتف", "جوال", "موبايل", "تلفن", "फ", "मोबाइल", "ফোন", "โทร", "điện thoại",
)  # fmt: skip
_NEAR_PHONE_WORD = re.compile(join_words(_NEAR_PHONE_WORDS))
_DATED = re.compile(r"(?:\d\d[./ -]){2}(?:19|20)\d\d|\d{2} \d{2} \d{2} \d{2} \d{2} \d{2}")


def find_phones(view: View) -> Iterator[Token]:
    """Find phone numbers: international, of a national form, or named by a word."""
    text = view.text
    for match in _PHONE.finditer(text):
        if 7 <= len(digits_of(match.group())) <= 15 and not _is_other_number(text, match):
            yield Token("phone", *match.span())
    if not text.isascii() and _CJK.search(text):
        for match in _CHINESE_PHONE.finditer(text):
            yield Token("phone", *match.span())
    if _NEAR_PHONE_WORD.search(view.lowered):
        for match in _NEAR_PHONE.finditer(text):
            if 7 <= len(digits_of(match["value"])) <= 15:
                yield Token("phone", *match.span("value"))


def _is_other_number(text: str, match: re.Match[str]) -> bool:
    """Return whether a number of a national form is a date, or part of a row of numbers."""
    value = match.group()
    if value[0] == "+" or value.startswith(("00", "(")):
        return False
    if _DATED.match(value) or (value[0] == "0" and len(digits_of(value)) < 9):
        return True
    return text[match.end() : match.end() + 1] == "%"


_LABEL_WORDS = (
    r"ssn|social security(?: number)?|pesel|bsn|burgerservicenummer|nif|nie|dni|tfn|sin|cpf|aadhaar|aadhar|steuer-?id"
    r"|steuer-?identifikationsnummer|tax id|itin|nino|national insurance(?: number)?|nhs(?: number)?|personnummer"
    r"|f[oø]dselsnummer|cpr|my ?number|マイナンバー|身份证号?码?|주민등록번호|passport|reisepass|passeport|pasaporte|passaporto"
    r"|driver'?s? licen[cs]e|driving licen[cs]e|f[uü]hrerschein|national id|id card|personalausweis|rsin|ahv|avs"
    r"|tc kimlik|curp|codice fiscale|num[eé]ro de s[eé]curit[eé] sociale|svnr|sozialversicherungsnummer|ausweisnummer"
    r"|ausweis-nr|nip|rodn[eé] [cč][ií]slo|cnp|егн|αφμ|αμκα|ni number|ppsn?|ein|medicare|ird|cnpj|cui[tl]|rut|rfc(?=[:=]? ?[a-z]{3,4}\d{6})|hkid"
    r"|nric|mykad|身分證|身份證|护照|護照|旅券|여권|บัตรประชาชน|เลขประจำตัวประชาชน|nik|ktp|npwp|id number|identity number|ת\.ז\.?|תעודת זהות"
    r"|инн|снилс|паспорт|рнокпп|isikukood|asmens kodas|personas kods|oib|emso|emšo|jmbg|taj|kennitala|kontonummer"
    r"|routing(?: number)?|sort code|bank account|c[eé]dula|bvn|cnic|iqama|emirates id|رقم الهوية|الرقم القومي|abn|vat id|vin"
)


def _split_words(pattern: str) -> list[str]:
    """Split a pattern into its alternatives; no group may contain an alternative at its start."""
    return re.sub(r"\([^()]*\)\??", " ", pattern).split("|")


_LABELLED = re.compile(
    rf"(?i)(?<![^\W\d_])(?:{_LABEL_WORDS})(?:[ _-]?(?:no\.?|number|num|nr\.?|id|#))?[\"']?[ ]?(?:is|\.?:|=|#|号|为|是)?[ ]?[\"']?"
    r"(?P<value>[A-Z]{0,5}\d[A-Z0-9 ./-]{4,20}[A-Z0-9])(?![A-Za-z0-9])"
)
LABEL_HINTS = frozenset(
    max(re.split(r"\(.*|\[[^\]]{0,200}\]\??|.\?|\\.", word), key=len)[:8].strip()
    for word in _split_words(_LABEL_WORDS)
)
"""Substrings that cover every spelling of the words: searching them is cheaper than `_LABELLED`."""
_LABEL_HINT = re.compile(join_words(sorted(LABEL_HINTS)))


def find_labelled_numbers(view: View) -> Iterator[Token]:
    """Find numbers of persons and documents next to a word that names them, as "SSN 536904399"."""
    if not view.has_few_digits or not _LABEL_HINT.search(view.lowered):
        return
    for match in _LABELLED.finditer(view.text):
        value = match["value"].rstrip(" .-/")
        if sum(map(str.isdigit, value)) >= 5:
            value = re.match(
                r"[A-Za-z]{0,5}\d[A-Z0-9./-]*(?: [A-Z0-9./-]*\d[A-Z0-9./-]*)*(?: [A-Z])?", value
            )
            if value:
                start = match.start("value")
                yield Token("national_id", start, start + len(value.group()))


_NATIONAL_FORMS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (r"\d{8}[- ]?[A-HJ-NP-TV-Z]|[XYZ][- ]?\d{7}[- ]?[A-HJ-NP-TV-Z]", checks.is_spanish),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", checks.is_cpf),
    (r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}", bool),
    (r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}", checks.verhoeff),
    (r"[A-Za-z]{6}\d\d[A-EHLMPR-Ta-ehlmpr-t]\d\d[A-Za-z]\d{3}[A-Za-z]", checks.is_codice_fiscale),
    (r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d\d ?\d{3} ?\d{3} ?\d\d", checks.is_nir),
    (r"\d{6}[-+]\d{4}|(?:19|20)\d{6}-\d{4}", lambda text: checks.is_swedish(text[-10:])),
    (r"\d{6}[-+A]\d{3}[0-9A-Y]", checks.is_finnish),
    (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", checks.is_belgian),
    (r"756\.\d{4}\.\d{4}\.\d{2}|756\d{10}", checks.is_swiss),
    (r"[1-9]\d{5}(?:19|20)\d{9}[0-9Xx]", checks.is_chinese),
    (r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}", bool),
    (r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", bool),
    (r"\d{11}", lambda text: checks.is_pesel(text) or checks.is_norwegian(text)),
)  # fmt: skip
_NATIONAL: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (re.compile(rf"(?<![A-Za-z0-9.-])(?:{form})(?![A-Za-z0-9]|[.-]\d)", re.ASCII), check)
    for form, check in _NATIONAL_FORMS
)
_ANY_NATIONAL = GuardedPattern(
    re.compile(r"[A-Za-z0-9](?<![A-Za-z0-9.-][A-Za-z0-9])(?=[A-Za-z]{0,5}[- ]?[0-9])"),
    re.compile("|".join(pattern.pattern for pattern, _ in _NATIONAL), re.ASCII),
)


_SHORT_NUMBER = re.compile(
    r"[A-Z](?<![A-Za-z0-9.-][A-Z])"
    r"(?:(?<=[A-CEGHJ-PR-TW-Z])[A-CEGHJ-NPR-TW-Z](?<!BG|GB|NK|KN|TN|NT|ZZ) ?\d\d ?\d\d ?\d\d ?[A-D]"
    r"|[A-Z]{2}[ABCFGHLJPT][A-Z]\d{4}[A-Z])(?![A-Za-z0-9]|[.-]\d)"
)


def find_short_numbers(view: View) -> Iterator[Token]:
    """Find numbers with fewer than seven digits: national insurance (United Kingdom), tax (India)."""
    if view.has_few_digits:
        for match in _SHORT_NUMBER.finditer(view.text):
            yield Token("national_id", *match.span())


def find_national_numbers(view: View) -> Iterator[Token]:
    """Find national numbers that their form and check digits identify."""
    if not _ANY_NATIONAL.occurs_in(view.text):
        return
    for pattern, check in _NATIONAL:
        for match in pattern.finditer(view.text):
            bare = re.sub(r"[ .+-]", "", match.group()).upper()
            if check(bare):
                yield Token("national_id", *match.span())


def find_ssns(view: View) -> Iterator[Token]:
    """Find social security numbers of the United States, in three groups."""
    for match in _SSN.finditer(view.text):
        yield Token("ssn", *match.span())
