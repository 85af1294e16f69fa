"""Check the options of a request: `burnish serve` obeys each option or refuses it by name.

An option that changes the answer is obeyed or refused with status 400, never ignored: a client
that asks for JSON and gets prose cannot notice. Known options without support are accepted if their
value means the default behaviour (`n: 1`). Unknown options are refused too, because they may change
the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from burnish.errors import ServingError
from burnish.serving.embedded.sampling import Sampling

SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
    }
)
# Over HTTP, logits are not changed: the log-probabilities of an answer are the model's own, and
# training on captured answers treats them as the distribution that the tokens were drawn from.
_CHANGES_LOGITS = frozenset(
    {"presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias"}
)
_COMMON = (SAMPLING - _CHANGES_LOGITS) | {
    "model",
    "max_tokens",
    "stop",
    "stream",
    "logprobs",
    "return_token_ids",
    "return_tokens_as_token_ids",
}
_CHAT = _COMMON | {
    "messages",
    "tools",
    "tool_choice",
    "max_completion_tokens",
    "top_logprobs",
    "stream_options",
}
_COMPLETION = _COMMON | {"prompt"}
# Options without effect on the answer.
_HARMLESS = frozenset(
    {"user", "metadata", "store", "service_tier", "prompt_cache_key", "safety_identifier"}
)
# Values of unsupported options that mean the default behaviour. None always does.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "parallel_tool_calls": (True,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "stream_options": ({},),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "skip_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "use_beam_search": (False,),
    "length_penalty": (1.0,),
    "top_logprobs": (0,),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "repetition_penalty": (1, 1.0),
    "logit_bias": ({},),
}
_FLAGS = ("stream", "return_token_ids", "return_tokens_as_token_ids")
_CHOICES = ("auto", "none", None)
_MOST_LOGPROBS = 20


def check_chat_options(body: Mapping[str, Any]) -> None:
    """Refuse options that /v1/chat/completions does not support.

    Raises:
        ServingError: With the name of the option.
    """
    _check_options(body, _CHAT, "/v1/chat/completions")
    check_flags(body, "logprobs")
    tools = body.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(map(_is_object, tools))):
        raise ServingError(f"'tools' is {str(tools)[:80]}, not a list of objects")
    options = body.get("stream_options")
    if options is not None:
        if not _is_object(options):
            raise ServingError(f"'stream_options' is {str(options)[:80]}, not an object")
        check_flags(options, *options, inside="stream_options.")
        for name, value in options.items():
            if value and name != "include_usage":
                raise _unsupported_option(f"stream_options.{name}", value, "include_usage")
    if body.get("tool_choice") not in _CHOICES:
        raise _unsupported_option("tool_choice", body["tool_choice"], '"auto" or "none"')
    top = body.get("top_logprobs")
    if top and not body.get("logprobs"):
        raise ServingError("'top_logprobs' is given without 'logprobs': true")
    if top is not None and (type(top) is not int or not 0 <= top <= _MOST_LOGPROBS):
        raise ServingError(f"'top_logprobs' is {top!r}, not a number from 0 to {_MOST_LOGPROBS}")


def check_flags(body: Mapping[str, Any], *names: str, inside: str = "") -> None:
    """Refuse an option that is not true, false or null.

    Args:
        body: Options by name.
        names: Those that are flags.
        inside: The option that holds them, with a dot.

    Raises:
        ServingError: With the name of the option.
    """
    for name in names:
        value = body.get(name)
        if value is not None and not isinstance(value, bool):
            raise ServingError(f"'{inside}{name}' is {str(value)[:80]!r}, not true or false")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def check_completion_options(body: Mapping[str, Any]) -> None:
    """Refuse options that /v1/completions does not support.

    Raises:
        ServingError: With the name of the option.
    """
    _check_options(body, _COMPLETION, "/v1/completions")


def sampling_of_body(body: Mapping[str, Any], *, temperature: float = 1.0) -> Sampling:
    """Return the sampling settings of a request; the default is the model's own distribution.

    Args:
        body: Of the request, or the options of a call by name.
        temperature: The default temperature.

    Raises:
        ServingError: If a value is of a wrong type or out of its range.
    """
    seed, top_k = body.get("seed"), body.get("top_k")
    for name, value in (("seed", seed), ("top_k", top_k)):
        if value is not None and type(value) is not int:
            raise ServingError(f"'{name}' is {value!r}, not a whole number")
    bias = body.get("logit_bias")
    return Sampling(
        temperature=_read_number(body, "temperature", temperature),
        top_p=_read_number(body, "top_p", 1.0),
        seed=seed,
        top_k=max(top_k or 0, 0),  # vLLM's -1 disables it too
        min_p=_read_number(body, "min_p", 0.0),
        presence_penalty=_read_number(body, "presence_penalty", 0.0),
        frequency_penalty=_read_number(body, "frequency_penalty", 0.0),
        repetition_penalty=_read_number(body, "repetition_penalty", 1.0),
        logit_bias=_read_bias(bias) if bias else (),
    )


def _check_options(body: Mapping[str, Any], obeyed: frozenset[str], route: str) -> None:
    for name, value in body.items():
        if name in obeyed or name in _HARMLESS or value is None:
            continue
        if value not in _NEUTRAL.get(name, ()) or isinstance(value, bool) != isinstance(
            _NEUTRAL[name][0], bool
        ):
            raise _unsupported_option(name, value, f"an option that {route} of burnish serve has")
    check_flags(body, *_FLAGS)
    model = body.get("model")
    if model is not None and not (isinstance(model, str) and model):
        raise ServingError(f"'model' is {str(model)[:80]!r}, not a name")
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str | list):
        raise ServingError(f"'stop' is {str(stop)[:80]!r}, not a text or a list of texts")
    for name in ("max_tokens", "max_completion_tokens"):
        most = body.get(name)
        if most is not None and isinstance(most, int) and most < 1:
            raise ServingError(f"'{name}' is {most}, not a number of at least 1")


def _unsupported_option(name: str, value: Any, expected: str) -> ServingError:
    return ServingError(f"'{name}': {str(value)[:80]} is not supported", expected, "leave it out")


def _read_number(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ServingError(f"'{name}' is {value!r}, not a number")
    return float(value)


def _read_bias(given: Any) -> tuple[tuple[int, float], ...]:
    try:
        pairs = tuple((int(token), float(value)) for token, value in given.items())
    except (AttributeError, TypeError, ValueError) as error:
        raise ServingError(
            f"'logit_bias' is {str(given)[:80]}, not a number from -100 to 100 by token id"
        ) from error
    if not all(-100 <= value <= 100 and token >= 0 for token, value in pairs):
        raise ServingError("'logit_bias' holds a value beyond -100 to 100 or a negative token id")
    return pairs
