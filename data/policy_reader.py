"""Reading one policy file at a time, with every fault placed in file and line."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from data.errors import Fault
from data.policy_schema import Strict

SHIPPED = Path(__file__).parent / "policy"
EXPECTED = {
    "missing": "缺少这一项",
    "extra_forbidden": "不认识的字段",
    "string_type": "应是文字（数字、是非等请加引号）",
    "string_pattern_mismatch": "写法不对，应符合 {pattern}",
    "literal_error": "应是 {expected} 之一",
    "too_short": "至少要有 {min_length} 项",
    "int_type": "应是整数",
    "int_parsing": "应是整数",
    "float_type": "应是数字",
    "float_parsing": "应是数字",
    "bool_type": "应是 true 或 false",
    "bool_parsing": "应是 true 或 false",
    "greater_than": "应大于 {gt}",
    "less_than": "应小于 {lt}",
    "tuple_type": "应是列表",
    "dict_type": "应是一组“键: 值”",
    "model_type": "应是一组“键: 值”",
    "model_attributes_type": "应是一组“键: 值”",
}
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times faster where libyaml is built in


class Source:
    """One YAML file: its data and, for any path inside it, the line."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        text = path.read_text(encoding="utf-8")
        loader = _YamlLoader(text)
        self._root = loader.get_single_node()
        self.data = loader.construct_document(self._root) if self._root else None

    def line(self, location: Sequence[Any]) -> int | None:
        node, line = self._root, 1
        for key in location:
            child = self._child(node, key)
            if child is None:
                break
            node, line = child
        return line

    @staticmethod
    def _child(node: Any, key: Any) -> tuple[Any, int] | None:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            return (pair[1], pair[0].start_mark.line + 1) if pair else None
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            return node.value[key], node.value[key].start_mark.line + 1
        return None

    def fault(self, what: str, *location: Any) -> Fault:
        return Fault(file=self.name, line=self.line(location), what=what)


M = TypeVar("M", bound=Strict)


class PolicyReader:
    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.faults: list[Fault] = []

    def path(self, name: str) -> Path:
        own = self.folder / name if self.folder else None
        return own if own and own.exists() else SHIPPED / name

    def read(self, path: Path, name: str, model: type[M]) -> tuple[M, Source] | None:
        try:
            source = Source(path, name)
            return model.model_validate(source.data), source
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            self.faults.append(Fault(file=name, line=line, what=f"不是有效的 YAML：{error.problem}"))
        except yaml.YAMLError as error:
            self.faults.append(Fault(file=name, line=None, what=f"不是有效的 YAML：{error}"))
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(Fault(file=name, line=None, what=f"读不了（应为 UTF-8 编码的文本）：{error}"))
        except ValidationError as error:
            for item in error.errors():
                where = ".".join(str(part) for part in item["loc"])
                said = EXPECTED.get(item["type"], item["msg"]).format_map(item.get("ctx", {}))
                self.faults.append(source.fault(f"{where}：{said}", *item["loc"]))
        return None

    def known(self, source: Source, value: str, ids: Iterable[str], what: str, *location: Any) -> None:
        if value not in set(ids):
            self.faults.append(source.fault(f"{what}“{value}”不存在", *location))

    def unique(self, source: Source, seen: set[str], value: str, what: str, *location: Any) -> None:
        if value in seen:
            self.faults.append(source.fault(f"{what}“{value}”重复出现", *location))
        seen.add(value)
