"""Render conversations with Mistral's own package: its chat template, and the text of its tokens.

usage: python read_mistral.py CONVERSATIONS.json RESULT.json
"""

import json
import sys
from pathlib import Path

import mistral_common
from mistral_common.integrations.chat_templates.chat_templates import (
    convert_tokenizer_to_chat_template,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

FILE = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"  # Mistral Nemo's


def main(given: Path, result: Path) -> None:
    tokenizer = MistralTokenizer.from_file(str(FILE), mode=ValidationMode.finetuning)
    texts = []
    for conversation in json.loads(given.read_text()):
        request = ChatCompletionRequest.from_openai(**conversation)
        texts.append(tokenizer.encode_chat_completion(request).text)
    template = convert_tokenizer_to_chat_template(FILE)
    result.write_text(json.dumps({"template": template, "texts": texts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
