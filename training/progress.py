"""The progress bar of training."""

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState


class RichProgress(TrainerCallback):
    """A progress bar with loss and time left."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("fit"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )  # fmt: skip

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.task = self.bar.add_task("fit", total=state.max_steps, completed=state.global_step, loss="")
        self.bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        kept = {k: round(v, 4) for k, v in (logs or {}).items() if k == "loss" or k.startswith("eval_")}
        self.bar.update(self.task, loss=f"loss {logs['loss']:.3f}" if logs and "loss" in logs else "")
        self.bar.console.print(f"step {state.global_step}: {kept}")

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.bar.stop()
