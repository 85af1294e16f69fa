"""Further eyes: Presidio for names, detect-secrets for what has no known form.

Knows: how the two packages are set up so that they work offline and do not fire on ordinary words.
Does not know: what is done with what they find. Both are optional: `pip install 'burnish[redact]'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from burnish.errors import ExportError
from burnish.redaction import Finding

Finder = Callable[[str], Iterable[Finding]]

_PRESIDIO_KINDS = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "US_SSN": "ssn",
}
_THRESHOLD = 0.4


def finders_of(
    patterns: dict[str, str], *, engines: bool, names_model: str | None = None
) -> list[Finder]:
    """What is asked besides our own patterns.

    Args:
        patterns: Own kinds and their regular expressions.
        engines: Whether Presidio and detect-secrets look too.
        names_model: spaCy model for names of people; none works without.

    Raises:
        ExportError: If a pattern is wrong, or a package is not installed.
    """
    found = [_own(kind, pattern) for kind, pattern in sorted(patterns.items())]
    return [*found, presidio(names_model), secrets_detector()] if engines else found


def _own(kind: str, pattern: str) -> Finder:
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise ExportError(
            f"redaction pattern {kind}: {problem}", "a regular expression"
        ) from problem

    def finder(text: str) -> Iterator[Finding]:
        for match in compiled.finditer(text):
            if match.group():
                yield Finding(kind, match.start(), match.end(), match.group())

    return finder


def presidio(names_model: str | None = None) -> Finder:
    """Presidio's analyzer, without a language model unless one is named.

    Raises:
        ExportError: If Presidio is not installed.
    """
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # pyright: ignore[reportMissingImports]
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # pyright: ignore[reportMissingImports]
    except ImportError as problem:
        raise _missing("presidio-analyzer") from problem
    _stay_offline()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    if names_model is None:
        engine = _no_model()
        registry.remove_recognizer("SpacyRecognizer")
    else:
        models = [{"lang_code": "en", "model_name": names_model}]
        settings = {"nlp_engine_name": "spacy", "models": models}
        engine = NlpEngineProvider(nlp_configuration=settings).create_engine()
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def finder(text: str) -> Iterator[Finding]:
        for result in analyzer.analyze(text=text, language="en", score_threshold=_THRESHOLD):
            if result.entity_type in ("DATE_TIME", "URL"):
                continue
            kind = _PRESIDIO_KINDS.get(result.entity_type) or result.entity_type.lower()
            yield Finding(kind, result.start, result.end, text[result.start : result.end])

    return finder


def secrets_detector() -> Finder:
    """detect-secrets' plugins, without the two that fire on ordinary words.

    Raises:
        ExportError: If detect-secrets is not installed.
    """
    try:
        from detect_secrets.core.scan import scan_line  # pyright: ignore[reportMissingImports]
        from detect_secrets.settings import default_settings  # pyright: ignore[reportMissingImports]
    except ImportError as problem:
        raise _missing("detect-secrets") from problem

    def finder(text: str) -> Iterator[Finding]:
        with default_settings() as settings:
            settings.disable_plugins("Base64HighEntropyString", "HexHighEntropyString")
            place = 0
            for line in text.splitlines(keepends=True):
                for secret in scan_line(line):
                    value = secret.secret_value
                    if value and value in line:
                        start = place + line.index(value)
                        yield Finding("secret", start, start + len(value), value)
                place += len(line)

    return finder


def _no_model() -> Any:
    from presidio_analyzer.nlp_engine import NoOpNlpEngine  # pyright: ignore[reportMissingImports]

    return NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])


def _stay_offline() -> None:
    """Give the domain list that Presidio asks for its bundled snapshot; it would be downloaded otherwise."""
    import tldextract  # pyright: ignore[reportMissingImports]

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _missing(package: str) -> ExportError:
    return ExportError(
        f"the package {package} is not installed",
        'Presidio and detect-secrets for redact="full"',
        "pip install 'burnish[redact]', or redact=\"structured\"",
    )
