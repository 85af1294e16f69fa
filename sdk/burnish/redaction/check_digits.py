"""Verify the check digits of cards, accounts and national numbers."""

from __future__ import annotations

import datetime as dt


def digits_of(text: str) -> str:
    """Return the digits of a text."""
    return "".join(char for char in text if char.isdigit())


def luhn(number: str) -> bool:
    """Return whether the last digit is the correct check digit of a card number."""
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def iban_remainder(text: str) -> int:
    """Return the value of an IBAN modulo 97; 1 if it is valid."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97


def weighted(number: str, weights: tuple[int, ...]) -> int:
    """Sum the digits times their weights."""
    return sum(int(char) * weight for char, weight in zip(number, weights, strict=False))


_D5 = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_TURNS = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(number: str) -> bool:
    """Return whether a number ends in its Verhoeff check digit, as Aadhaar numbers do."""
    check = 0
    for place, char in enumerate(reversed(number)):
        check = int(_D5[check][int(_TURNS[place % 8][int(char)])])
    return check == 0


def is_date(year: int, month: int, day: int) -> bool:
    """Return whether this day exists."""
    try:
        dt.date(year, month, day)
    except ValueError:
        return False
    return True


def is_pesel(number: str) -> bool:
    """Return whether 11 digits are a Polish PESEL."""
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[int(number[2]) // 2]
    month = int(number[2:4]) % 20
    born = is_date(century + int(number[:2]), month, int(number[4:6]))
    return born and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def is_cpf(number: str) -> bool:
    """Return whether 11 digits are a Brazilian CPF."""
    if len(set(number)) == 1:
        return False
    for size in (9, 10):
        rest = weighted(number, tuple(range(size + 1, 1, -1))) * 10 % 11 % 10
        if rest != int(number[size]):
            return False
    return True


def is_bsn(number: str) -> bool:
    """Return whether nine digits are a Dutch BSN."""
    return int(number) > 0 and weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_spanish(text: str) -> bool:
    """Return whether a text is a Spanish NIF or NIE."""
    body = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23] == text[-1]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def is_codice_fiscale(text: str) -> bool:
    """Return whether 16 characters are an Italian tax code."""
    total = 0
    for place, char in enumerate(text[:15]):
        even = int(char) if char.isdigit() else ord(char) - ord("A")
        total += even if place % 2 else _ODD[char]
    return chr(ord("A") + total % 26) == text[15]


def is_nir(number: str) -> bool:
    """Return whether 15 digits are a French social security number."""
    return 97 - int(number[:13]) % 97 == int(number[13:])


def is_chinese(text: str) -> bool:
    """Return whether 18 characters are a Chinese resident number."""
    if not is_date(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[weighted(text[:17], weights) % 11] == text[17].upper()


def is_norwegian(number: str) -> bool:
    """Return whether 11 digits are a Norwegian birth number."""
    first = -weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    day = int(number[:2]) % 40
    return 1 <= day <= 31 and (first, second) == (int(number[9]), int(number[10]))


def is_turkish(number: str) -> bool:
    """Return whether 11 digits are a Turkish identity number."""
    odd, even = sum(map(int, number[:9:2])), sum(map(int, number[1:8:2]))
    tenth = (odd * 7 - even) % 10
    return (tenth, sum(map(int, number[:10])) % 10) == (int(number[9]), int(number[10]))


def is_swedish(number: str) -> bool:
    """Return whether ten digits are a Swedish personal number."""
    return is_date(2000, int(number[2:4]), int(number[4:6]) % 60 or 1) and luhn(number)


def is_finnish(text: str) -> bool:
    """Return whether six digits, a serial number and a check character are a Finnish identity code."""
    bare = text if text[6].isdigit() else text[:6] + text[7:]
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(bare[:9]) % 31] == bare[9].upper()


def is_belgian(number: str) -> bool:
    """Return whether 11 digits are a Belgian national number."""
    body, check = int(number[:9]), int(number[9:])
    return check in (97 - body % 97, 97 - (2_000_000_000 + body) % 97)


def is_swiss(number: str) -> bool:
    """Return whether 13 digits are a Swiss AHV number."""
    return weighted(number, (1, 3) * 6 + (1,)) % 10 == 0


def is_german_tax(number: str) -> bool:
    """Return whether 11 digits are a German tax number."""
    product = 10
    for char in number[:10]:
        product = ((int(char) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10]) and len(set(number[:10])) in (8, 9)


def is_nhs(number: str) -> bool:
    """Return whether ten digits are a British NHS number."""
    return (11 - weighted(number, tuple(range(10, 1, -1))) % 11) % 11 == int(number[9])
