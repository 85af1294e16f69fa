"""TRL's own trainers accept our formats and learn exactly the content of the rows."""

import importlib.util
from pathlib import Path

import pytest

import burnish
from burnish import settings
from burnish_exporters import build_dataset

AUDIT = Path(__file__).parents[2] / "benchmarks" / "export" / "audit.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("trl"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # TRL asks transformers by old names
]


@pytest.fixture(scope="module")
def stack():
    """TRL, the bundled model and its tokenizer."""
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from burnish_trainer.starter import weights_path

    tokenizer = AutoTokenizer.from_pretrained(weights_path())
    return trl, AutoModelForCausalLM.from_pretrained(weights_path()), tokenizer


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The audit fixture: the twelve rows of successes, and the failures beside them."""
    spec = importlib.util.spec_from_file_location("audit_fixture", AUDIT)
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    burnish.configure(home=tmp_path_factory.mktemp("audit"))
    try:
        audit.capture_runs()
        return build_dataset(
            burnish.Workspace(), agent=audit.AGENT, verify=["outcome"], recipe={"contrast": True}
        )
    finally:
        settings.reset()


@pytest.fixture
def trainer(stack, tmp_path):
    """Makes one of TRL's trainers, such as "SFT", for one step over a dataset."""
    trl, model, tokenizer = stack
    options = {
        "output_dir": str(tmp_path / "out"),
        "report_to": [],
        "use_cpu": True,
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
    }

    def make(kind, data):
        return getattr(trl, f"{kind}Trainer")(
            model=model,
            args=getattr(trl, f"{kind}Config")(**options),
            train_dataset=data,
            processing_class=tokenizer,
        )

    return make


@pytest.fixture
def decode(stack):
    """Tokens as the text that the bundled model's tokenizer reads in them."""
    return stack[2].decode


def test_sft_learns_each_conversation_whole(audited, trainer, decode):
    """In memory: twelve rows, each with its five calls once and its answer."""
    made = trainer("SFT", audited.to("trl-sft"))

    texts = [decode(row["input_ids"]) for row in made.train_dataset]

    assert len(texts) == 12
    assert [text.count("<tool_call>{") for text in texts] == [5] * 12
    assert all("EUR." in text and '"limit": 1' in text and "null" not in text for text in texts)
    assert "firm-mail" not in "".join(texts)


def test_sft_trains_on_a_stream(audited, trainer):
    made = trainer("SFT", audited.stream("trl-prompt-completion"))

    assert made.train().global_step == 1


def test_prompt_and_completion_are_cut_where_the_rows_say(audited, trainer, decode):
    """Six replies of each of twelve rows; what TRL masks in is the reply alone."""
    data = audited.to("trl-prompt-completion")
    made = trainer("SFT", data)

    assert len(made.train_dataset) == len(data) == 72
    for given, row in zip(data, made.train_dataset, strict=True):
        learned = decode([token for token in row["labels"] if token != -100])
        (reply,) = given["completion"]
        assert learned.startswith(reply["content"])
        calls = [call["function"]["name"] for call in reply.get("tool_calls") or ()]
        assert [name for name in ("search", "price") if f'"name": "{name}"' in learned] == calls


@pytest.fixture
def contrasted(make_run):
    """Three tasks, each with a right and a wrong order looked up."""
    runs = [
        make_run(10 * task + bad, calls=3, success=not bad, task_id=f"t{task}", request=f"Where is {task}?")
        for task in range(3) for bad in (0, 1)
    ]  # fmt: skip
    return build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})


@pytest.mark.parametrize("name", ["trl-dpo", "trl-dpo-step"])
def test_dpo_compares_the_two_sides_behind_the_same_prompt(contrasted, trainer, decode, name):
    data = contrasted.to(name)
    made = trainer("DPO", data)

    for given, row in zip(data, made.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            call = given[side][0]["tool_calls"][0]["function"]
            text = decode(row[f"{side}_ids"])
            assert str(call["arguments"]["order"]) in text
        assert "Where is" in decode(row["prompt_ids"])
    assert made.train().global_step == 1


def test_kto_takes_runs_unpaired(contrasted, trainer):
    data = contrasted.to("trl-kto")
    made = trainer("KTO", data)

    assert sorted(row["label"] for row in made.train_dataset) == [False] * 3 + [True] * 3
    assert made.train().global_step == 1


TEMPLATES = {
    "qwen3": "trl-sft-strings",
    "qwen3_instruct_2507": "trl-sft-strings",
    "deepseekv3": "trl-sft-strings",
    "qwen2_5": "trl-sft",
    "qwen3_6": "trl-sft",
    "llama3_1": "trl-sft",
    "gptoss": "trl-sft",
    "glm4moe": "trl-sft",
    "nemotron_3_nano": "trl-sft",
}
FORGETFUL = {"llama3_1", "gptoss", "deepseekv3"}  # they leave out text beside a call


@pytest.mark.parametrize(("template", "name"), TEMPLATES.items())
def test_chat_templates_of_nine_families_render_every_turn(stack, make_run, template, name):
    """Two calls with a thought each, their results, the answer; arguments as values, not as quoted text."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.data_utils import apply_chat_template, is_conversational

    trl, _, _ = stack
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, "x")), bos_token="<s>", eos_token="</s>"
    )  # fmt: skip
    folder = Path(trl.__file__).parent / "chat_templates"
    tokenizer.chat_template = (folder / f"{template}.jinja").read_text()
    version = build_dataset([make_run(4711, calls=3)], agent="support", verify=["outcome"])
    (row,) = version.to(name)

    text = apply_chat_template(row, tokenizer)["text"]

    assert is_conversational(row)
    said = ("Where is order 4711?", "city 0", "city 1", "Order 4711 is in town.", "4712")
    assert [text.count(part) for part in said] == [1] * len(said)
    assert '\\"order' not in text
    assert "null" not in text
    assert text.count("Let me see.") == 2 or template in FORGETFUL
