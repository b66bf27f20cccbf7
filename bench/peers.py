"""The calls of bench/calls.py through other libraries; run by their own interpreters.

`PYTHON bench/peers.py NAME BASE_URL CALLS CONCURRENCY` prints one line of JSON: seconds by the
clock and of the processor (child processes included, imports not), and the answers that came back.
Imports nothing of whyguard: the libraries share no venv with it.
"""

# mypy: ignore-errors

import json
import os
import resource
import sys
import tempfile
import time

PREAMBLE = "You are a guard that explains its verdicts. " * 40


def distilabel(base_url: str, calls: int, concurrency: int):  # noqa: ANN201
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    rows = [{"instruction": f"placeholder request {n}", "system_prompt": PREAMBLE}
            for n in range(calls)]  # fmt: skip
    with Pipeline(name="peer") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=concurrency)
        llm = OpenAILLM(model="made-up", base_url=base_url, api_key="none",
                        generation_kwargs={"max_new_tokens": 64})  # fmt: skip
        load >> TextGeneration(llm=llm, input_batch_size=concurrency)

    def run() -> int:
        done = pipeline.run(use_cache=False)
        return sum(text is not None for text in done["default"]["train"]["generation"])

    return run


def data_designer(base_url: str, calls: int, concurrency: int):  # noqa: ANN201
    import data_designer.config as dd
    from data_designer.interface import DataDesigner

    provider = dd.ModelProvider(name="peer", endpoint=base_url, provider_type="openai",
                                api_key="none")  # fmt: skip
    limits = dd.ChatCompletionInferenceParams(max_tokens=64, temperature=0.0,
                                              max_parallel_requests=concurrency)  # fmt: skip
    model = dd.ModelConfig(alias="peer", model="made-up", provider="peer",
                           inference_parameters=limits, skip_health_check=True)  # fmt: skip
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.add_column(dd.SamplerColumnConfig(name="key", sampler_type=dd.SamplerType.UUID,
                                              params=dd.UUIDSamplerParams()))  # fmt: skip
    prompt = "placeholder request {{ key }}"
    builder.add_column(dd.LLMTextColumnConfig(name="text", prompt=prompt, system_prompt=PREAMBLE,
                                              model_alias="peer"))  # fmt: skip
    designer = DataDesigner(artifact_path=tempfile.mkdtemp(), model_providers=[provider])
    return lambda: len(designer.create(builder, num_records=calls).load_dataset())


class _Words:
    def encode(self, text: str, **_: object) -> list[str]:
        return text.split()


def bespokelabs_curator(base_url: str, calls: int, concurrency: int):  # noqa: ANN201
    import tiktoken

    # Its token counts would need a download; splitting at blanks costs less than they do.
    tiktoken.encoding_for_model = tiktoken.get_encoding = lambda name: _Words()
    from bespokelabs import curator
    from datasets import Dataset

    class Peer(curator.LLM):
        def prompt(self, row: dict[str, str]) -> list[dict[str, str]]:
            return [{"role": "system", "content": PREAMBLE},
                    {"role": "user", "content": row["text"]}]  # fmt: skip

        def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
            return {"answer": response}

    params = {"base_url": base_url, "max_concurrent_requests": concurrency, "api_key": "none",
              "max_requests_per_minute": 10**6, "max_tokens_per_minute": 10**9}  # fmt: skip
    peer = Peer(model_name="made-up", backend="openai", backend_params=params,
                generation_params={"max_tokens": 64, "temperature": 0.0})  # fmt: skip
    rows = Dataset.from_list([{"text": f"placeholder request {n}"} for n in range(calls)])
    return lambda: len(peer(rows, working_dir=tempfile.mkdtemp()).dataset)


PEERS = {"distilabel": distilabel, "data-designer": data_designer,
         "bespokelabs-curator": bespokelabs_curator}  # fmt: skip


def cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total


def main() -> None:
    name, base_url, calls, concurrency = sys.argv[1:]
    os.environ |= {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "TELEMETRY_ENABLED": "0",
                   "NEMO_TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_RICH_DISPLAY": "1",
                   "CURATOR_CACHE_DIR": tempfile.mkdtemp()}  # fmt: skip
    run = PEERS[name](base_url, int(calls), int(concurrency))
    before, started = cpu_seconds(), time.perf_counter()
    answers = run()
    facts = {"wall": time.perf_counter() - started, "cpu": cpu_seconds() - before,
             "answers": answers}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
