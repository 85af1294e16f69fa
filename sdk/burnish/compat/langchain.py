"""List private names of langchain-core and langchain-openai."""

from __future__ import annotations

from burnish.compat.tables import LibraryTable, PrivateName

FORMAT_FOR_TRACING = PrivateName(
    module="langchain_core.language_models.chat_models",
    path="_format_for_tracing",
    needed_for="images and files of a call as they were sent",
    without_it="images and files are captured as callbacks show them",
)
SHOULD_STREAM = PrivateName(
    module="langchain_core.language_models.chat_models",
    path="BaseChatModel._should_stream",
    needed_for="model calls whose handlers are not checked for streaming because of burnish",
    without_it="each recorded model call takes a few microseconds longer",
)
CREATE_RESULT = PrivateName(
    module="langchain_openai.chat_models.base",
    path="BaseChatOpenAI._create_chat_result",
    needed_for="token ids, reasoning and raw arguments of whole replies",
    without_it="whole replies of ChatOpenAI are captured as LangChain keeps them",
)
CONVERT_CHUNK = PrivateName(
    module="langchain_openai.chat_models.base",
    path="BaseChatOpenAI._convert_chunk_to_generation_chunk",
    needed_for="token ids, reasoning and raw arguments of streamed replies",
    without_it="streamed replies of ChatOpenAI are captured as LangChain keeps them",
)
_HOOKS = "the hooks of a chat model that `route` replaces in a subclass"
_NO_ROUTE = "routing to adapters fails with an error at the first call"
TABLES = (
    LibraryTable(
        distribution="langchain-core",
        tried_with="1.7.0 to 1.7.2",
        names=(
            FORMAT_FOR_TRACING,
            SHOULD_STREAM,
            *(
                PrivateName(
                    module="langchain_core.language_models.chat_models",
                    path=f"BaseChatModel.{hook}",
                    needed_for=_HOOKS,
                    without_it=_NO_ROUTE,
                )
                for hook in ("_generate", "_agenerate", "_stream", "_astream")
            ),
        ),
    ),
    LibraryTable(
        distribution="langchain-openai",
        tried_with="1.7.0 to 1.7.3",
        names=(CREATE_RESULT, CONVERT_CHUNK),
    ),
)
