"""Define attribute names: OpenTelemetry's GenAI conventions, and our own."""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""Version of the conventions that the names below follow."""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
WORKFLOW = "gen_ai.workflow.name"
RETRIEVAL_QUERY = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS = "gen_ai.retrieval.documents"
MEMORY_STORE = "gen_ai.memory.store.id"
MEMORY_RECORD = "gen_ai.memory.record.id"
MEMORY_COUNT = "gen_ai.memory.record.count"
MEMORY_QUERY = "gen_ai.memory.query.text"
MEMORY_RECORDS = "gen_ai.memory.records"
EVALUATION_EVENT = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
SCORE = "gen_ai.evaluation.score.value"
LABEL = "gen_ai.evaluation.score.label"
USER = "user.id"
INPUT_VALUE = "input.value"
OUTPUT_VALUE = "output.value"
OUTPUT_MIME = "output.mime_type"
OPENINFERENCE_KIND = "openinference.span.kind"
OPENINFERENCE_TAGS = "tag.tags"
OPENINFERENCE_DOCUMENTS = "retrieval.documents"
ERROR_TYPE = "error.type"

CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"  # the older name of cache_write

KIND = "burnish.kind"
TRAJECTORY = "burnish.trajectory.id"
TASK = "burnish.task.id"
ATTEMPT = "burnish.attempt"
SOURCE = "burnish.source"
ENVIRONMENT = "burnish.environment"
MODE = "burnish.mode"
RESUMED = "burnish.resumed"
TAGS = "burnish.tags"
METADATA = "burnish.metadata"
INPUT = "burnish.input"
OUTPUT = "burnish.output"
ENTRY = "burnish.entry"
STATUS = "burnish.status"
ANSWER = "burnish.answer"
LOSSES = "burnish.losses"
INTERRUPTS = "burnish.interrupts"
ERROR_MESSAGE = "burnish.error.message"
NODE = "burnish.node"
STEP = "burnish.step"
NAMESPACE = "burnish.namespace"
SPEAKER = "burnish.speaker"
BUBBLED = "burnish.bubbled"
CUT = "burnish.cut"
UNFINISHED = "burnish.unfinished"
REDACTED = "burnish.redacted"
REQUEST = "burnish.request"
ADAPTER = "burnish.adapter"
ARM = "burnish.arm"
ROLLOUT = "burnish.rollout"
SHARE = "burnish.share"
PROMPT_VERSION = "burnish.prompt"
SAMPLED = "burnish.sampled"
PROMPT_TOKEN_IDS = "burnish.prompt_token_ids"  # noqa: S105 - a name, no secret
TOKEN_IDS = "burnish.token_ids"  # noqa: S105 - a name, no secret
LOGPROBS = "burnish.logprobs"
EXTRAS = "burnish.extras"
RAW_ARGUMENTS = "burnish.raw_arguments"
IS_ERROR = "burnish.is_error"
FACT = "burnish.fact"  # outcome, verdict, state or losses
SUCCESS = "burnish.success"
EVIDENCE = "burnish.evidence"
SCOPE = "burnish.scope"
VERIFIER_VERSION = "burnish.verifier.version"
COST_USD = "burnish.cost_usd"
FINAL_STATE = "burnish.final_state"
INVALID = "burnish.invalid"
"""Attributes of another sender whose values have a wrong type, by name."""
JSON_KEYS = "burnish.json"
"""Names of the attributes of a shipped span whose values are JSON text."""
TEXT_KEYS = "burnish.text"
"""Names of the attributes of a shipped span that are usually JSON but plain text here."""
ADDED = "burnish.added"
"""Names of the attributes that shipping added for other readers; reading removes them."""

USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}

SAMPLING = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "max_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "n": "gen_ai.request.choice.count",
    "stop": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
}

JSON_ATTRIBUTES = frozenset(
    (
        *(INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS),
        *(TOOL_ARGUMENTS, TOOL_RESULT, METADATA, INPUT, OUTPUT, REQUEST, EXTRAS),
        *(EVIDENCE, FINAL_STATE, LOSSES, PROMPT_TOKEN_IDS, TOKEN_IDS, LOGPROBS),
        *(RETRIEVAL_DOCUMENTS, MEMORY_RECORDS, INVALID),
    )
)
"""Attributes that are always JSON text in OTLP, from any sender."""

CONTENT_ATTRIBUTES = frozenset(
    (
        *(INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS),
        *(TOOL_ARGUMENTS, TOOL_RESULT, METADATA, INPUT, OUTPUT, ANSWER, EXTRAS, RAW_ARGUMENTS),
        *(EVIDENCE, FINAL_STATE, ERROR_MESSAGE, PROMPT_TOKEN_IDS, TOKEN_IDS, LOGPROBS, INVALID),
        *(RETRIEVAL_QUERY, RETRIEVAL_DOCUMENTS, MEMORY_QUERY, MEMORY_RECORDS),
        *(INPUT_VALUE, OUTPUT_VALUE),
    )
)
"""Attributes that hold content: texts of people, models and tools."""
