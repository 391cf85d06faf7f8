"""What an experiment is: one TOML file read into one frozen dataclass, saved with the bundle."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.heads import Loss, Pooling
from models.tokens import Windowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that decides what `training.fit` produces, apart from the data.

    ``pooling`` and ``loss`` are those of `models.heads`; ``teacher`` is the folder of a run to learn from as well.
    """

    base: str
    layers: int = 6
    window: int = 384
    overlap: int = 64
    epochs: float = 3
    batch: int = 16
    learning_rate: float = 2e-4
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    evidence_weight: float = 1.0
    masking: float = 0.1
    longest: int = 192
    noise: float = 0.0
    seed: int = 20
    pooling: str = Pooling.PEAK.value
    loss: str = Loss.WEIGHTED.value
    teacher: str = ""

    def __post_init__(self) -> None:
        Pooling(self.pooling)  # raises ValueError naming what is not among the choices
        Loss(self.loss)

    @classmethod
    def from_toml(cls, path: Path, **changes: Any) -> "Experiment":
        return cls(**{**tomllib.loads(path.read_text(encoding="utf-8")), **changes})

    @property
    def windowing(self) -> Windowing:
        return Windowing(length=self.window, overlap=self.overlap)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
