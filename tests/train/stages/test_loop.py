"""train/stages/loop.py with SFT rows: the loss, accumulation, stops, early stop, memory advice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.conftest import example_rows

from whyguard.core.errors import DataError, PartialError
from whyguard.core.progress import Progress
from whyguard.core.values import Arm
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import encode_prompt
from whyguard.generation.models import load_model
from whyguard.train.config import SftStage
from whyguard.train.segments import Encoded, arm_segments, encode_row
from whyguard.train.stages.arguments import Place, trl_arguments
from whyguard.train.stages.checkpoints import SEAL
from whyguard.train.stages.loop import Work, is_out_of_memory
from whyguard.train.stages.objective import Moment, Part, SftObjective
from whyguard.train.stages.plan import Spread, plan_step, plan_steps
from whyguard.train.stages.trainers import Subject, Trained, make_trainer, train
from whyguard.train.stages.watch import is_exhausted

torch.set_num_threads(1)


def _rows(tokenizer: Any) -> list[Encoded]:
    template = prompt_template("request-v1")
    return [
        encode_row(tokenizer, encode_prompt(tokenizer, template, row["text"]),
                   arm_segments(Arm.EXPLAINED, row, 1.0))
        for row in example_rows(2)
    ]  # fmt: skip


WHOLE = Spread(9999)


def _trainer(base: Path, folder: Path, spread: Spread = WHOLE, kind: Any = SftObjective,
             dev: Sequence[int] = (), **settings: Any) -> Any:  # fmt: skip
    loaded = load_model(f"path:{base}", device="cpu")
    config = SftStage(**{"warmup": 0.0, "learning_rate": 1e-3, "rows_a_step": 4, **settings})
    rows = _rows(loaded.tokenizer)
    lengths = [len(row.input_ids) for row in rows]
    objective = kind(rows, [f"row-{number}" for number in range(len(rows))])
    steps = plan_steps(range(len(rows)), lengths, config.rows_a_step, spread, config.max_steps)
    work = Work(objective, steps, "key", plan_step(dev, lengths, spread) if dev else None,
                knobs=("set batch_tokens: 2",))  # fmt: skip
    args = trl_arguments(config, Place(folder, use_cpu=True, total_steps=len(steps)))
    return make_trainer(Subject(loaded.model, loaded.tokenizer, config.lora), args, work)


def _train(trainer: Any, patience: int | None = None) -> Trained:
    return train(trainer, "test", patience, Progress.silent())


def _losses(trained: Trained) -> list[float]:
    return [entry["loss"] for entry in trained.history if "loss" in entry]


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_logged_loss_is_the_weighted_loss_a_row_1e4(
    base: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(base)
    loaded = load_model(f"path:{folder}", device="cpu")
    by_hand = []
    for row in _rows(loaded.tokenizer)[:4]:
        logps = loaded.model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        by_hand.append(-sum(row.loss_weights[t] * logps[t - 1, row.input_ids[t]].item()
                            for t in range(1, len(row.input_ids))))  # fmt: skip
    logged = _losses(_train(_trainer(folder, tmp_path, max_steps=1)))
    assert logged[0] == pytest.approx(sum(by_hand) / 4, abs=1e-4)


def test_accumulation_equals_one_large_batch_1e6(tmp_path: Path, llama: Path) -> None:
    large = _train(_trainer(llama, tmp_path / "a", rows_a_step=8))
    small = _train(_trainer(llama, tmp_path / "b", Spread(9999, batch_rows=1), rows_a_step=8))
    assert _losses(small) == pytest.approx(_losses(large), abs=1e-6)
    both = (found.trainer.model.parameters() for found in (large, small))
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_log_holds_metrics_and_tokens(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path)
    found = [entry for entry in _train(trainer).history if "loss" in entry]
    total = sum(trainer.work.objective.tokens(row) for row in range(8))
    assert [entry["num_tokens"] for entry in found][-1] == total
    assert all(entry["token_nll"] > 0 and entry["grad_norm"] > 0 for entry in found)
    seconds = [entry["seconds"] for entry in found]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


class _Spoilt(SftObjective):
    """The loss of row 5 is not a number."""

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        found = super().part(model, batch, moment)
        spoilt = batch.rows == 1 and moment.step == 1 and found.counts[0] == self._tokens_of_5()
        return found._replace(loss=found.loss * float("nan")) if spoilt else found

    def _tokens_of_5(self) -> int:
        return sum(weight > 0 for weight in self.rows[5].loss_weights)


def test_a_loss_that_is_no_number_stops_with_the_rows(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path, Spread(9999, batch_rows=1), _Spoilt)
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    with pytest.raises(DataError, match=r"step 2[\s\S]*rows row-5"):
        _train(trainer)
    weights = list(trainer.model.parameters())
    assert all(weight.isfinite().all() for weight in weights)
    assert any(not torch.equal(old, new) for old, new in zip(before, weights, strict=True))


class _Steep(SftObjective):
    """Finite losses with gradients that are not."""

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        found = super().part(model, batch, moment)
        return found._replace(loss=found.loss * 1.0 + (found.loss - found.loss.detach()).sqrt())


def test_a_gradient_that_is_no_number_stops_with_the_rows(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path, Spread(9999), _Steep)
    with pytest.raises(DataError, match=r"finite gradient[\s\S]*row-0, row-1, row-2, row-3"):
        _train(trainer)
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())


def test_gradients_that_are_never_cut_are_checked_all_the_same(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path, Spread(9999), _Steep, max_grad_norm=0)
    with pytest.raises(DataError, match=r"finite gradient[\s\S]*row-0, row-1, row-2, row-3"):
        _train(trainer)
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())


def test_gradients_that_are_never_cut_stay_exactly_as_they_are(tmp_path: Path, llama: Path) -> None:
    checked = _trainer(llama, tmp_path / "a", max_grad_norm=0)
    stock = _trainer(llama, tmp_path / "b", max_grad_norm=0)
    stock.args.max_grad_norm = 0.0  # transformers then leaves them alone
    assert _losses(_train(checked)) == _losses(_train(stock))
    both = (trainer.model.parameters() for trainer in (checked, stock))
    assert all(torch.equal(one, other) for one, other in zip(*both, strict=True))


def test_a_launcher_told_bf16_leaves_a_training_in_fp32_as_it_is(
    tmp_path: Path, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = _losses(_train(_trainer(llama, tmp_path / "a")))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    trainer = _trainer(llama, tmp_path / "b")
    assert trainer.accelerator.mixed_precision == "no"
    assert _losses(_train(trainer)) == alone
    low = _trainer(llama, tmp_path / "c", precision="bf16")
    assert low.accelerator.mixed_precision == "bf16"
    assert _losses(_train(low)) != alone


def test_a_training_of_one_step_trains(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path, max_steps=1, warmup=0.05)
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    _train(trainer)
    after = trainer.model.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


class _Hungry(SftObjective):
    """Asks for more memory than there is."""

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        torch.empty(1 << 50)
        return super().part(model, batch, moment)


def test_running_out_of_memory_says_which_key(tmp_path: Path, llama: Path) -> None:
    with pytest.raises(PartialError, match=r"passes of up to 4 rows[\s\S]*batch_tokens: 2"):
        _train(_trainer(llama, tmp_path, kind=_Hungry))


def test_other_errors_are_no_lack_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_the_best_dev_step_is_kept_and_training_stops_early(tmp_path: Path, llama: Path) -> None:
    settings: dict[str, Any] = {"rows_a_step": 1, "max_steps": 40, "learning_rate": 1.0,
                                "evaluate_every": 1, "schedule": "constant",
                                "patience": 3}  # fmt: skip
    trainer = _trainer(llama, tmp_path, dev=[4, 5, 6, 7], **settings)
    found = _train(trainer, patience=3)
    losses = [entry["eval_loss"] for entry in found.history if "eval_loss" in entry]
    best = losses.index(min(losses))
    assert (found.best_step, len(losses)) == (best + 1, best + 4)
    again = trainer.evaluate()
    assert again["eval_loss"] == pytest.approx(min(losses), abs=1e-5)
    assert (tmp_path / f"checkpoint-{best + 1}" / SEAL).is_file()


def test_patience_counts_evaluations_since_the_best() -> None:
    history = [{"eval_loss": value} for value in (3.0, 1.0, 2.0, 1.0)]
    assert is_exhausted(history, 2)
    assert not is_exhausted(history, 3)
    assert not is_exhausted(history, None)
    assert not is_exhausted([{"loss": 1.0}], 1)


def test_dev_loss_is_the_mean_a_row_whatever_the_batches_1e5(tmp_path: Path, llama: Path) -> None:
    found = [_trainer(llama, tmp_path / str(rows), Spread(9999, batch_rows=rows), dev=range(8),
                      evaluate_every=9).evaluate()["eval_loss"] for rows in (1, 3, 8)]  # fmt: skip
    assert found == pytest.approx([found[0]] * 3, abs=1e-5)


class _Watching(SftObjective):
    """The token NLL counts evaluations."""

    def part(self, model: Any, batch: Any, moment: Moment) -> Part:
        found = super().part(model, batch, moment)
        return found._replace(sums=(torch.tensor(float(moment.evaluating)),), counts=(1,))


def test_an_objective_is_told_of_evaluations(tmp_path: Path, llama: Path) -> None:
    trainer = _trainer(llama, tmp_path, kind=_Watching, dev=[6, 7], evaluate_every=1)
    history = _train(trainer).history
    assert {entry["eval_token_nll"] for entry in history if "eval_loss" in entry} == {1.0}
    assert {entry["token_nll"] for entry in history if "loss" in entry} == {0.0}
