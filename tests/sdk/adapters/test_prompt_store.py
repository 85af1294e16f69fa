"""A prompt version is its texts; what was altered is refused, and the rest is still listed."""

import pytest

from burnish.adapters.prompt_store import PromptStore
from burnish.errors import RegistryError


def test_the_same_texts_are_the_same_version_and_get_the_newer_report(tmp_path):
    store = PromptStore(tmp_path)
    first = store.put(
        "support", {"system": "Be kind."}, defaults={"system": "Be."}, report={"n": 1}
    )
    again = store.put("support", {"system": "Be kind."}, report={"n": 2})
    other = store.put("support", {"system": "Be brief."})

    assert first == again
    assert first.id != other.id
    assert first.id.startswith("support-prompt@")
    assert store.report(first.id) == {"n": 2}
    assert {one.id for one in store.list("support")} == {first.id, other.id}
    assert store.list("other") == []


@pytest.mark.parametrize(
    ("agent", "texts", "found"),
    [
        ("a/b", {"system": "x"}, "agent name"),
        ("support", {}, "without texts"),
        ("support", {"system": " \n"}, "is empty"),
        ("support", {"system": "\ud800"}, "cannot be stored"),
    ],
    ids=["name", "none", "blank", "surrogate"],
)
def test_what_cannot_be_a_prompt_is_refused(tmp_path, agent, texts, found):
    with pytest.raises(RegistryError, match=found):
        PromptStore(tmp_path).put(agent, texts)
    assert not list(tmp_path.glob("prompts/*"))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"id": 3}', b"\xff"], ids=["no", "bare", "odd", "raw"]
)
def test_a_damaged_version_is_named_and_the_others_stay(tmp_path, content):
    store = PromptStore(tmp_path)
    kept = store.put("support", {"system": "kept"})
    broken = store.put("support", {"system": "broken"})
    (store.folder / broken.id / "prompt.json").write_bytes(content)

    with pytest.raises(RegistryError, match="was altered or damaged"):
        store.get(broken.id)
    assert [one.id for one in store.list()] == [kept.id]


def test_an_altered_text_is_refused(tmp_path):
    store = PromptStore(tmp_path)
    version = store.put("support", {"system": "Be kind."}).id
    path = store.folder / version / "prompt.json"
    path.write_bytes(path.read_bytes().replace(b"kind", b"mean"))
    with pytest.raises(RegistryError, match="do not belong to its name"):
        store.get(version)


@pytest.mark.parametrize("version", ["", "../x", "support-prompt@" + "0" * 12, "support"])
def test_an_unknown_version_is_named(tmp_path, version):
    with pytest.raises(RegistryError, match="no prompt"):
        PromptStore(tmp_path).get(version)
