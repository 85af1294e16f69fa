"""List private names of the clients of OpenAI, Anthropic and Google."""

from __future__ import annotations

from burnish.compat.tables import LibraryTable, PrivateName

_NO_TRACE = "a client is refused with an error"


def _instance_field(module: str, path: str, needed_for: str, without_it: str) -> PrivateName:
    return PrivateName(
        module=module, path=path, needed_for=needed_for, without_it=without_it, of_instance=True
    )


def _generated_client(package: str) -> tuple[PrivateName, ...]:
    """Return the names of a client generated from an API description, such as OpenAI's."""
    return (
        _instance_field(
            f"{package}._resource",
            "SyncAPIResource._post",
            "requests of a client whose resources were created before recording began",
            _NO_TRACE,
        ),
        _instance_field(
            f"{package}._streaming",
            "Stream._iterator",
            "chunks of a streamed reply as the caller reads them",
            "streamed replies are recorded without their text",
        ),
    )


TABLES = (
    LibraryTable(
        distribution="openai", tried_with="2.0 to 3.57", names=_generated_client("openai")
    ),
    LibraryTable(
        distribution="anthropic", tried_with="2.14.0", names=_generated_client("anthropic")
    ),
    LibraryTable(
        distribution="google-genai",
        tried_with="2.34.0",
        names=tuple(
            _instance_field("google.genai.client", path, "requests of a copied client", _NO_TRACE)
            for path in (
                "Client._api_client",
                "Client._aio",
                "Client._models",
                "AsyncClient._api_client",
                "AsyncClient._models",
            )
        ),
    ),
)
