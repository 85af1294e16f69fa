"""Fine-tune with TRL on an ordinary `messages` dataset; each distinct token of a batch is computed once."""

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig

from burnish.serving.contract.base_models import resolve_model
from burnish_trainer import TreeSFTTrainer

INSTRUCTION = "You answer questions about orders. Look the order up before you answer. " * 4


def conversation(number: int) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": INSTRUCTION},
        {"role": "user", "content": f"Where is order {number}?"},
        {"role": "assistant", "content": f"Order {number} leaves today."},
    ]


options = {"use_cpu": True, "bf16": False, "report_to": [], "save_strategy": "no"}
trainer = TreeSFTTrainer(
    model=str(resolve_model("starter")),
    args=SFTConfig("out", max_steps=4, assistant_only_loss=True, max_length=None, **options),
    train_dataset=Dataset.from_list([{"messages": conversation(n)} for n in range(32)]),
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
trainer.train()
print(
    f"{trainer.execution.ratio:.1f} tokens of rows for each distinct one: {trainer.execution.kind}"
)
