"""Add detectors: the user's patterns and lists, Presidio for names and more kinds, detect-secrets for more secrets.

Both packages are optional (`pip install 'burnish[redact]'`). They are set up to work offline and to ignore ordinary
words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import regex

from burnish.errors import ExportError
from burnish.redaction.detectors import Detection
from burnish_exporters.redact.people import find_people

Finder = Callable[[str], Iterable[Detection]]

_PRESIDIO_KINDS = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "US_SSN": "ssn",
}
_THRESHOLD = 0.4
_NATIONAL = tuple(
    f"{name}Recognizer"
    for name in [
        "ItFiscalCode",
        "EsNif",
        "EsNie",
        "PlPesel",
        "FiPersonalIdentityCode",
        "SgFin",
        "KrRrn",
        "KrPassport",
        "TrNationalId",
        "ThTnin",
        "ZaIdNumber",
        "DeTaxId",
        "DeSocialSecurity",
        "DePassport",
        "DeIdCard",
        "DeFuehrerschein",
        "InPan",
        "InAadhaar",
        "InPassport",
        "UkPassport",
        "UkDrivingLicence",
        "UkNino",
        "AuTfn",
        "AuMedicare",
        "CaSin",
        "SePersonnummer",
        "NgNin",
        "EsPassport",
        "ItPassport",
        "ItDriverLicense",
        "ItIdentityCard",
    ]
)
WITHHELD = "withheld"
"""Kind of a text that is replaced because a custom pattern took too long on it."""
_PATTERN_S = 1.0  # of one own pattern for one text
_WORD = re.compile(r"\S+")
_SECRET = re.compile(r"[\w+/=.-]+")


def make_finders(
    patterns: dict[str, str],
    terms: dict[str, str] | None = None,
    *,
    engines: bool,
    names_model: str | None = None,
) -> list[Finder]:
    """Return the detectors besides the patterns that burnish brings.

    Args:
        patterns: The user's kinds and their regular expressions.
        terms: The user's kinds and files of their terms, one a line, such as the names of customers.
        engines: Add Presidio and detect-secrets.
        names_model: spaCy model for names of people; without one, no names are found.

    Raises:
        ExportError: If a pattern is wrong, a file cannot be read, or a package is not installed.
    """
    found = [_pattern_finder(kind, pattern) for kind, pattern in sorted(patterns.items())]
    found += [_terms_finder(kind, Path(file)) for kind, file in sorted((terms or {}).items())]
    return (
        [*found, find_people, presidio_finder(names_model), secrets_finder()] if engines else found
    )


def _pattern_finder(kind: str, pattern: str) -> Finder:
    try:
        re.compile(pattern)
        compiled = regex.compile(pattern)
    except (re.error, regex.error) as problem:
        raise ExportError(
            f"redaction pattern {kind}: {problem}", "a regular expression"
        ) from problem

    def find_matches(text: str) -> Iterator[Detection]:
        try:
            found = list(compiled.finditer(text, timeout=_PATTERN_S))
        except TimeoutError:  # what it would have found is unknown, so nothing of the text stays
            yield from (
                Detection(WITHHELD, match.start(), match.end(), match.group())
                for match in _WORD.finditer(text)
            )
            return
        for match in found:
            if match.group():
                yield Detection(kind, match.start(), match.end(), match.group())

    return find_matches


def _terms_finder(kind: str, file: Path) -> Finder:
    """Find the terms of a file as whole words, in any case and spacing."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ExportError(
            f"terms of {kind}: {problem}", "a readable text file with one term a line"
        ) from problem
    terms = sorted({" ".join(line.split()) for line in lines if line.strip()}, key=len)
    if not terms:
        raise ExportError(f"{file} holds no term of {kind}", "a text file with one term a line")
    longest_first = (re.escape(term).replace(r"\ ", r"\s+") for term in reversed(terms))
    return _pattern_finder(kind, rf"(?i)(?<!\w)(?:{'|'.join(longest_first)})(?!\w)")


def presidio_finder(names_model: str | None = None) -> Finder:
    """Set up Presidio's analyzer, without a language model unless one is named.

    Raises:
        ExportError: If Presidio is not installed.
    """
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ImportError as problem:
        raise _missing_package("presidio-analyzer") from problem
    _stay_offline()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    _add_national(registry)
    if names_model is None:
        engine = _no_model()
        registry.remove_recognizer("SpacyRecognizer")
    else:
        models = [{"lang_code": "en", "model_name": names_model}]
        settings = {"nlp_engine_name": "spacy", "models": models}
        engine = NlpEngineProvider(nlp_configuration=settings).create_engine()
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def find_entities(text: str) -> Iterator[Detection]:
        for result in analyzer.analyze(text=text, language="en", score_threshold=_THRESHOLD):
            if result.entity_type in ("DATE_TIME", "URL"):
                continue
            kind = _PRESIDIO_KINDS.get(result.entity_type) or result.entity_type.lower()
            yield Detection(kind, result.start, result.end, text[result.start : result.end])

    return find_entities


def _add_national(registry: Any) -> None:
    """Make the recognizers of other countries read texts of any language; a release may lack some."""
    from presidio_analyzer import predefined_recognizers

    loaded = {recognizer.name for recognizer in registry.recognizers}
    for name in _NATIONAL:
        made = getattr(predefined_recognizers, name, None)
        if made is not None and name not in loaded:
            registry.add_recognizer(made(supported_language="en"))


def secrets_finder() -> Finder:
    """Set up detect-secrets' plugins, without the two that fire on ordinary words.

    Raises:
        ExportError: If detect-secrets is not installed.
    """
    try:
        from detect_secrets.core.scan import scan_line
        from detect_secrets.settings import default_settings
    except ImportError as problem:
        raise _missing_package("detect-secrets") from problem

    def find_secrets(text: str) -> Iterator[Detection]:
        with default_settings() as settings:
            settings.disable_plugins("Base64HighEntropyString", "HexHighEntropyString")
            for line in set(text.splitlines()):
                values = {secret.secret_value for secret in scan_line(line)}
                for value in sorted({_whole_secret(str(v), line) for v in values if v}):
                    for match in re.finditer(re.escape(value), text):
                        yield Detection("secret", match.start(), match.end(), value)

    return find_secrets


def _whole_secret(value: str, line: str) -> str:
    """Return the whole secret; some detectors return its first letters only."""
    start = line.find(value)
    token = next((m for m in _SECRET.finditer(line) if m.start() <= start < m.end()), None)
    return token.group() if token and token.group().startswith(value) else value


def _no_model() -> Any:
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    return NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])


def _stay_offline() -> None:
    """Set the bundled snapshot of the domain list that Presidio would download otherwise."""
    import tldextract

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _missing_package(package: str) -> ExportError:
    return ExportError(
        f"the package {package} is not installed",
        'Presidio and detect-secrets for redact="full"',
        "pip install 'burnish[redact]', or redact=\"structured\"",
    )
