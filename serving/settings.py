"""How this deployment runs: environment variables with the one prefix ``FENZHEN_``, read once at start."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.errors import FenzhenError
from models.bundle import STARTER

PREFIX = "FENZHEN_"
_EXPECTED = {
    "int_parsing": "应为整数",
    "float_parsing": "应为数字",
    "greater_than": "应大于 {gt}",
    "literal_error": "应为 {expected} 之一",
    "greater_than_equal": "应不小于 {ge}",
    "less_than_equal": "应不大于 {le}",
    "string_too_short": "不能为空",
}


class SettingsError(FenzhenError):
    """An environment variable has a value that cannot be used; names every such variable and what was expected."""

    code = "settings_invalid"


class Settings(BaseSettings):
    """Every setting with its default; ``FENZHEN_PORT`` sets ``port`` and so on. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="监听地址")
    port: int = Field(default=8600, ge=0, le=65535, description="监听端口，0 表示由系统挑选空闲端口")
    data_dir: Path = Field(default_factory=lambda: Path.home() / ".local/share/fenzhen", description="数据目录")
    database_url: str = Field(default="", description="数据库；不设则用数据目录里的 SQLite")
    secret_file: Path | None = Field(default=None, description="密钥文件；不设则用数据目录里的 secret.key，没有就新建")
    bundle: Path = Field(default=STARTER, description="模型包目录")
    policy_dir: Path | None = Field(default=None, description="本单位的规则目录，其中没有的文件取自带的")
    threads: int = Field(default=0, ge=0, description="推理线程数，0 表示每个核心一个")
    max_complaints: int = Field(default=500, ge=1, description="一次请求最多几条投诉")
    max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="请求体最多几个字节")
    header_bytes: int = Field(default=32 * 1024, ge=1024, description="请求头最多几个字节")
    body_seconds: float = Field(default=20, gt=0, description="请求体最多几秒内发完")
    request_seconds: float = Field(default=30, gt=0, description="一条请求的研判最多等几秒")
    queue: int = Field(default=1000, ge=1, description="最多几条投诉排队等待研判，再多则请调用方稍后重试")
    batch_tokens: int = Field(default=4096, ge=128, description="一批研判最多几个词元")
    batch_wait_ms: float = Field(default=2, ge=0, le=1000, description="凑一批最多等几毫秒")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="日志级别")

    @property
    def embedded(self) -> bool:
        """Whether the database is the SQLite file of the data folder."""
        return not self.database_url

    @property
    def database(self) -> str:
        """The URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'fenzhen.sqlite3'}"

    @property
    def secret(self) -> Path:
        """The file with the key that everything stored is encrypted with."""
        return self.secret_file or self.data_dir / "secret.key"


def load_settings() -> Settings:
    """The settings of this process; raises SettingsError listing every variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("环境变量有误：\n" + "\n".join(_fault(dict(fault)) for fault in error.errors())) from error


def _fault(fault: dict[str, object]) -> str:
    location, context = fault["loc"], fault.get("ctx")
    name = str(location[0]) if isinstance(location, tuple) else str(location)
    expected = _EXPECTED.get(str(fault["type"]), str(fault["msg"]))
    limits = context if isinstance(context, dict) else {}
    return f"{PREFIX}{name.upper()}: {expected.format(**limits)}，现为 {fault['input']!r}"
