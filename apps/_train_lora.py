"""``plait train lora`` and ``plait train export``: from a data set to a model that plans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from plait.apps._output import INTERRUPTED, OK, Output, execute
from plait.apps._progress import is_animated, transfer_progress, waiting
from plait.apps._setup import open_runner
from plait.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import torch

    from plait.apps.evaluation._types import Item
    from plait.training import EncodedGroup, Trainer, TrainingOptions, TrainingStep

_BASE = "smollm2-135m"
_SAID_EVERY = 20  # steps, where no bar can be drawn
_SMOOTHED = 0.9
_CUDA_WITH_BF16 = (8, 0)  # Ampere
_BEST = "adapter.gguf"


@dataclass(frozen=True, slots=True)
class _Job:
    data: Path
    folder: Path
    base: str
    base_path: Path
    options: TrainingOptions
    device: str
    precision: torch.dtype
    evaluate_every: int
    n_evaluated: int
    start: Path | None
    tool_weight: float


def lora(
    data: Annotated[Path, typer.Argument(help="A data set that plait train synth wrote.")],
    folder: Annotated[Path, typer.Argument(help="Where checkpoints, the log and the adapter go.")],
    base: Annotated[
        str, typer.Option(help="What to train on: a model of the catalog, or a GGUF file.")
    ] = _BASE,
    rank: Annotated[int, typer.Option(help="Of the adapter: its size grows with it.", min=1)] = 16,
    epochs: Annotated[
        float | None, typer.Option(help="How often each request is seen; once if not given.", min=0.001)
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="Finish after so many hours of steps; in the place of --epochs.", min=0.001),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="At its highest.", min=0.0)] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of the first weights and the order.")] = 0,
    tool_weight: Annotated[
        float, typer.Option(help="How much the tokens of tools' names count, where others count 1.", min=0.0)
    ] = 4.0,
    start: Annotated[
        Path | None,
        typer.Option(help="What to begin with: the folder of another training, or an exported adapter."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, mps, cuda; auto is the fastest there is.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="bf16 or fp32; auto is bf16 where the hardware multiplies in it.")
    ] = "auto",
    evaluate_every: Annotated[
        int, typer.Option(help="Steps between evaluations with the real engine; 0: only at the end.", min=0)
    ] = 100,
    evaluate: Annotated[
        int, typer.Option(help="Requests of the validation part in an evaluation; 0: none.", min=0)
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train an adapter on a data set; a training that was stopped goes on."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        if epochs is not None and hours is not None:
            raise ConfigurationError("--epochs and --hours both say when to end; give one of them")
        _need_torch()
        from plait.models import find_model
        from plait.training import TrainingOptions

        with transfer_progress(output.console, base) as progress:
            found = find_model(base, progress=progress)
        if found.adapter is not None:
            raise ConfigurationError(f"{base} has an adapter already; train on the base that it is for")
        options = TrainingOptions(
            rank=rank,
            alpha=2.0 * rank,
            learning_rate=learning_rate,
            n_epochs=epochs or 1.0,
            hours=hours,
            seed=seed,
        )
        job = _Job(
            data,
            folder,
            base,
            found.path.resolve(),
            options,
            _device(device),
            _precision(precision, _device(device)),
            evaluate_every,
            evaluate,
            start,
            tool_weight,
        )
        try:
            report = _train(job, output)
        except KeyboardInterrupt:
            output.interrupted(account="Interrupted; the same command goes on from the last checkpoint.")
            return INTERRUPTED
        if as_json:
            output.document(report)
        else:
            output.text(
                f"{folder / _BEST}: {_percent(report['success'])} of {report['evaluated']} plans right, "
                f"step {report['step']} of {report['steps']}, loss {report['loss']:.3f}"
            )
        return OK

    execute(work, output)


def export(
    folder: Annotated[Path, typer.Argument(help="The folder of a training.")],
    file: Annotated[Path, typer.Argument(help="The GGUF file to write.")],
    name: Annotated[str | None, typer.Option(help="What the adapter is called; the file's name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write the last checkpoint as an adapter that the local engine applies."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        _need_torch()
        from plait.training import export_training

        with waiting(output.console, "writing the adapter"):
            step = export_training(folder, file, name=name or file.stem)
        if as_json:
            output.document({"file": str(file), "step": step, "bytes": file.stat().st_size})
        else:
            output.text(f"{file}: the adapter after step {step}, {file.stat().st_size / 1e6:.1f} MB")
        return OK

    execute(work, output)


def _need_torch() -> None:
    try:
        import gguf  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from error


def _device(name: str) -> str:
    import torch

    there = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name, False):
        choices = ", ".join(device for device, is_there in there.items() if is_there)
        raise ConfigurationError(f"--device {name} is not here; choose auto, or one of: {choices}")
    return name


def _has_amx() -> bool:
    """Whether the CPU multiplies matrices in bf16; older PyTorch cannot tell, and then it is as if not."""
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


def _precision(name: str, device: str) -> torch.dtype:
    import torch

    choices = {"bf16": torch.bfloat16, "fp32": torch.float32}
    if name == "auto":
        has_units = {
            "cuda": lambda: torch.cuda.get_device_capability() >= _CUDA_WITH_BF16,
            "cpu": _has_amx,
        }
        return choices["bf16" if device in has_units and has_units[device]() else "fp32"]
    if name not in choices:
        raise ConfigurationError(f"--precision {name} is unknown; choose auto, bf16 or fp32")
    return choices[name]


def _train(job: _Job, output: Output) -> dict[str, object]:
    """Train to the end; the adapter with the most right plans is kept, the last one where none are tried."""
    from plait.training import Trainer, TrainingRecord, export_adapter

    groups = _encoded(job, output)
    TrainingRecord(job.base, str(job.base_path), job.options.rank, job.options.alpha).write(job.folder)
    trainer = Trainer(
        job.base_path,
        groups,
        job.folder,
        job.options,
        device=job.device,
        precision=job.precision,
        start=job.start,
    )
    judge = _Judge(job, output)
    candidate = job.folder / "candidate.gguf"
    loss = float("nan")

    def try_out(step: int) -> None:
        export_adapter(
            trainer.network, job.base_path, candidate, name=job.folder.name, base_name=_base_name(job)
        )
        judge.judge(step, candidate, job.folder / _BEST)

    with _bar(trainer, output) as show:
        for step in trainer.run():
            loss = step.loss if loss != loss else _SMOOTHED * loss + (1 - _SMOOTHED) * step.loss
            show(step, loss)
            is_due = job.evaluate_every and step.step % job.evaluate_every == 0
            if is_due and step.step < trainer.n_steps:
                try_out(step.step)
    if judge.last != trainer.step:
        try_out(trainer.step)
    candidate.unlink(missing_ok=True)
    return {
        "adapter": str(job.folder / _BEST),
        "step": judge.best_step,
        "steps": trainer.n_steps,
        "success": judge.best,
        "evaluated": judge.n_items,
        "loss": loss,
        "options": asdict(job.options),
    }


def _base_name(job: _Job) -> str:
    return Path(job.base).name


def _encoded(job: _Job, output: Output) -> list[EncodedGroup]:
    from plait.models import LlamaModel
    from plait.training import PlanEncoder, read_groups

    with waiting(output.console, "reading the data set"), open_runner() as runner:
        model = LlamaModel(job.base_path, prefix_cache=False, drafts=False, context_length=512)
        try:
            encoder = PlanEncoder(model, tool_weight=job.tool_weight)
            groups = [encoder.group(group) for group in read_groups(job.data / "train.jsonl")]
        finally:
            runner.run(model.aclose())
    if not groups:
        raise ConfigurationError(f"{job.data / 'train.jsonl'} has no requests; make a data set of some")
    return groups


class _Judge:
    """Tries adapters out with the real engine, on requests that are not trained on, and keeps the best."""

    def __init__(self, job: _Job, output: Output) -> None:
        self._job = job
        self._output = output
        self._file = job.folder / "evaluations.jsonl"
        self.best: float | None = None
        self.best_step = 0
        self.last = 0
        self.n_items = 0
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                self._note(found["step"], found["success"], found["requests"])

    def judge(self, step: int, candidate: Path, best: Path) -> None:
        """Measure the adapter ``candidate``; it becomes ``best`` if it is no worse than any before."""
        success, n_items = self._measure(candidate)
        if self.best is None or (success or 0.0) >= self.best:
            candidate.replace(best)
        self._note(step, success, n_items)
        with self._file.open("a", encoding="utf-8") as file:
            line = {"step": step, "success": success, "requests": n_items}
            file.write(json.dumps(line) + "\n")
        if success is not None:
            self._output.note(f"step {step}: {_percent(success)} of {n_items} plans right")

    def _note(self, step: int, success: float | None, n_items: int) -> None:
        self.last, self.n_items = step, n_items
        if self.best is None or (success or 0.0) >= self.best:
            self.best, self.best_step = success, step

    def _measure(self, adapter: Path) -> tuple[float | None, int]:
        from plait.apps.evaluation._synthetic import DataSetBenchmark
        from plait.apps.evaluation._trial import Trial, try_items
        from plait.apps.evaluation._types import ItemRecord
        from plait.models import LlamaModel
        from plait.training import TRIED, TriedRequest, write_tried

        file = self._job.data / "validation.jsonl"
        if self._job.n_evaluated == 0 or not file.exists():
            return None, 0
        benchmark = DataSetBenchmark(file)
        items = _spread(benchmark.items(), self._job.n_evaluated)
        records: list[ItemRecord] = []
        with open_runner() as runner:
            model = LlamaModel(
                self._job.base_path,
                adapter=adapter,
                merge=False,  # each candidate is tried but once
                prefix_cache=False,
                context_length=4096,
                drafts=False,
            )
            try:
                runner.run(try_items(Trial(benchmark, model, "tuned"), items, records.append))
            finally:
                runner.run(model.aclose())
        tried = [TriedRequest(benchmark.skeleton(record.id), record.correct) for record in records]
        write_tried(self._job.folder / TRIED, tried)
        return sum(record.correct for record in records) / max(1, len(records)), len(records)


def _spread(items: Sequence[Item], n: int) -> list[Item]:
    """At most ``n`` items from all over the list."""
    step = max(1.0, len(items) / n)
    return [items[int(i * step)] for i in range(min(n, len(items)))]


@contextmanager
def _bar(trainer: Trainer, output: Output) -> Iterator[Callable[[TrainingStep, float], None]]:
    """Loss, tokens a second and time left; a line now and then where no bar can be drawn."""
    animated = is_animated(output.console)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:.0f} tokens/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=output.console,
        disable=not animated,
    )
    with bar:
        task = bar.add_task("", total=trainer.n_steps, completed=trainer.step, loss=0.0, speed=0.0)

        def show(step: TrainingStep, loss: float) -> None:
            speed = step.n_tokens / step.seconds
            bar.update(task, total=step.n_steps, completed=step.step, loss=loss, speed=speed)
            if not animated and (step.step % _SAID_EVERY == 0 or step.step == step.n_steps):
                output.note(f"step {step.step} of {step.n_steps}: loss {loss:.3f}, {speed:.0f} tokens/s")

        yield show


def _percent(share: object) -> str:
    return f"{share:.1%}" if isinstance(share, float) else "none"
