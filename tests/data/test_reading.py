import csv
import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from data.complaint import Channel, Complaint, Speaker
from data.errors import InputError
from data.reading import (
    MAX_CHARACTERS,
    ColumnMap,
    Rejected,
    RejectsFile,
    check_text,
    complaint_from_json,
    count_rows,
    detect_encoding,
    read_complaints,
)

CHINESE = "工单编号,诉求内容,来源\nG1,窗口的人说系统坏了让我明天再来,热线\nG2,路灯坏了三个月没有人修,微信\n"
TRANSCRIPT = "坐席：您好，请讲。\n\n来电人：路灯坏了。\n坐席：好的。\n"


def texts(path: Path, columns: ColumnMap | None = None) -> list[str]:
    return [row.text for row in read_complaints(path, columns or ColumnMap()) if isinstance(row, Complaint)]


def rejected(path: Path, columns: ColumnMap | None = None) -> list[Rejected]:
    return [row for row in read_complaints(path, columns or ColumnMap()) if isinstance(row, Rejected)]


def ids(path: Path) -> list[str]:
    return [row.id for row in read_complaints(path) if isinstance(row, Complaint)]


def refusal(path: Path, columns: ColumnMap | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_complaints(path, columns or ColumnMap())
    return caught.value


def written(path: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def workbook(path: Path, *sheets: list[list[object]], merge: str = "") -> Path:
    book = Workbook()
    for index, rows in enumerate(sheets):
        sheet = book.active if index == 0 else book.create_sheet()
        assert sheet is not None
        for number, row in enumerate(rows, 1):
            for column, value in enumerate(row, 1):
                sheet.cell(number, column, value)
        if merge:
            sheet.merge_cells(merge)
    book.save(path)
    return path


class TestText:
    def test_good_text_comes_back_as_it_is(self) -> None:
        text = "  路灯坏了😀👨‍👩‍👧\r\n"
        assert check_text(text) is text
        assert check_text("字" * MAX_CHARACTERS)

    @pytest.mark.parametrize("text", ["", " \n\t\u3000", "\u200b\ufeff\u2060", "\u3164\u2800", "\ufe0f"])
    def test_nothing_visible_is_empty(self, text: str) -> None:
        with pytest.raises(InputError) as caught:
            check_text(text, "row 3")
        assert (caught.value.code, caught.value.where) == ("text_empty", "row 3")

    def test_too_long_says_how_long_and_the_limit(self) -> None:
        with pytest.raises(InputError, match=r"200,000.*20,000") as caught:
            check_text("字" * 200_000)
        assert caught.value.code == "text_too_long"

    @pytest.mark.parametrize(
        "text", ["路灯\0坏了", "\ufffd\ufffd路灯坏了", "\x01\x02abc", "路\ud83d灯", "\ue000\ue001路"]
    )
    def test_what_is_not_text_is_binary(self, text: str) -> None:
        with pytest.raises(InputError) as caught:
            check_text(text)
        assert caught.value.code == "text_binary"

    def test_a_few_stray_controls_are_forgiven(self) -> None:
        assert check_text("\x0b" + "路灯坏了三个月没有人来修")


class TestJson:
    def test_text(self) -> None:
        complaint = complaint_from_json({"id": 7, "text": "路灯坏了", "channel": "qr"})
        assert (complaint.id, complaint.text, complaint.channel) == ("7", "路灯坏了", Channel.QR)
        assert not complaint.is_transcript

    def test_text_with_marks_is_a_transcript(self) -> None:
        assert complaint_from_json({"text": TRANSCRIPT}, default_id="d").is_transcript

    def test_turns(self) -> None:
        turns = [{"speaker": "客服小李", "text": "请讲"}, {"speaker": "王女士", "text": "路灯坏了"}]
        complaint = complaint_from_json({"turns": turns}, default_id="d")
        assert [u.speaker for u in complaint.utterances] == [Speaker.AGENT, Speaker.CITIZEN]
        assert (complaint.id, complaint.text, complaint.channel) == ("d", "请讲\n路灯坏了", Channel.HOTLINE)

    @pytest.mark.parametrize(
        ("word", "channel"),
        [
            ("热线", "hotline"),
            ("电话", "hotline"),
            ("窗口", "window"),
            ("扫码", "qr"),
            ("二维码", "qr"),
            ("来信", "letter"),
            ("信件", "letter"),
            ("网络", "web"),
            ("来访", "visit"),
            (" WEB ", "web"),
            ("其他", "other"),
        ],
    )
    def test_usual_words_for_channels(self, word: str, channel: str) -> None:
        assert complaint_from_json({"id": "1", "text": "停水", "channel": word}).channel == channel

    @pytest.mark.parametrize(
        ("row", "code", "field"),
        [
            ({"text": "停水", "txt": 1}, "field_unknown", "txt"),
            ({"text": "停水", "misconduct": []}, "field_unknown", "misconduct"),
            ({}, "field_missing", "text"),
            ({"text": None}, "field_missing", "text"),
            ({"text": "停水", "turns": []}, "field_conflict", "turns"),
            ({"text": 5}, "field_type", "text"),
            ({"text": ["停水"]}, "field_type", "text"),
            ({"text": "停水", "id": 1.5}, "field_type", "id"),
            ({"text": "停水", "id": True}, "field_type", "id"),
            ({"text": "停水", "id": "x" * 201}, "id_invalid", "id"),
            ({"text": "停水", "id": "a\nb"}, "id_invalid", "id"),
            ({"text": "停水", "channel": "传真"}, "channel_unknown", "channel"),
            ({"text": "停水", "channel": 3}, "field_type", "channel"),
            ({"text": " "}, "text_empty", "text"),
            ({"turns": "停水"}, "field_type", "turns"),
            ({"turns": []}, "text_empty", "turns"),
            ({"turns": [{"speaker": "市民", "text": ""}]}, "text_empty", "turns"),
            ({"turns": [{"speaker": "市民", "text": "字" * 20_001}]}, "text_too_long", "turns"),
            ({"turns": ["停水"]}, "turn_invalid", "turns[0]"),
            ({"turns": [{"speaker": "市民", "text": "停水"}, {"text": "停水"}]}, "turn_invalid", "turns[1]"),
            ({"turns": [{"speaker": "市民", "text": "停水", "at": 1}]}, "turn_invalid", "turns[0]"),
            ({"turns": [{"speaker": "市民", "text": 5}]}, "turn_invalid", "turns[0]"),
            ({"turns": [{"speaker": " ", "text": "停水"}]}, "turn_invalid", "turns[0]"),
        ],
    )
    def test_refusals_name_the_field(self, row: dict[str, object], code: str, field: str) -> None:
        with pytest.raises(InputError) as caught:
            complaint_from_json(row, "a.jsonl, row 3", "d")
        assert (caught.value.code, caught.value.where) == (code, f"a.jsonl, row 3, field {field}")

    def test_an_id_is_needed_when_there_is_no_default(self) -> None:
        with pytest.raises(InputError) as caught:
            complaint_from_json({"text": "停水", "id": " "})
        assert (caught.value.code, caught.value.where) == ("field_missing", "field id")


class TestEncoding:
    @pytest.mark.parametrize(
        ("codec", "name"),
        [
            ("utf-8", "utf-8"),
            ("utf-8-sig", "utf-8-sig"),
            ("gb18030", "gb18030"),
            ("gbk", "gb18030"),
            ("utf-16", "utf-16"),
            ("utf-32", "utf-32"),
        ],
    )
    def test_encodings_are_detected_and_read(self, tmp_path: Path, codec: str, name: str) -> None:
        path = written(tmp_path / "a.csv", CHINESE, codec)
        assert detect_encoding(path) == name
        assert texts(path) == ["窗口的人说系统坏了让我明天再来", "路灯坏了三个月没有人修"]

    def test_traditional_characters_in_gb18030(self, tmp_path: Path) -> None:
        text = "text\n臺灣縣政府窗口的工作人員態度惡劣，對老人大聲訓斥，還把材料扔在地上。\n"
        assert detect_encoding(written(tmp_path / "a.csv", text, "gb18030")) == "gb18030"

    def test_plain_ascii_is_utf8(self, tmp_path: Path) -> None:
        assert detect_encoding(written(tmp_path / "a.csv", "id,text\n1,hello\n")) == "utf-8"

    @pytest.mark.parametrize(
        "content",
        [
            "臺灣縣政府窗口的工作人員態度惡劣，對老人大聲訓斥。".encode("big5"),
            "Это жалоба на чиновника, который ничего не делает".encode("cp1251"),
            "窗口的人说系统坏了让我明天再来".encode()[:-1],
            "役所の窓口の人がとても失礼でした。書類を受け取ってくれません。".encode("shift-jis"),
        ],
    )
    def test_other_encodings_are_refused(self, tmp_path: Path, content: bytes) -> None:
        error = refusal(written(tmp_path / "a.csv", b"text\n" + content + b"\n"))
        assert (error.code, error.where) == ("encoding_unknown", "a.csv, line 2")
        assert "UTF-8" in error.zh and "GB18030" in error.zh

    @pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
    def test_a_damaged_line_is_rejected_and_the_others_go_on(self, tmp_path: Path, codec: str) -> None:
        lines = [f"路灯坏了三个月没有人修，第{n}次反映".encode(codec) for n in range(20)]
        lines[4] = lines[4][:7] + b"\xff" + lines[4][8:]
        path = written(tmp_path / "a.csv", "诉求内容\n".encode(codec) + b"\n".join(lines))
        assert len(texts(path)) == 19
        (bad,) = rejected(path)
        assert (bad.row, bad.code, bad.where) == (6, "text_undecodable", "a.csv, row 6")

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"PK\x03\x04" + b"\1\2" * 50, "XLSX"),
            (b"\xd0\xcf\x11\xe0" + b"\1\2" * 50, "XLS"),
            (b"%PDF-1.7\n", "PDF"),
            (b"\0\1\2\3" * 100, "二进制"),
        ],
    )
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
    def test_binary_files_are_named_for_what_they_are(
        self, tmp_path: Path, content: bytes, kind: str, suffix: str
    ) -> None:
        error = refusal(written(tmp_path / f"a{suffix}", content))
        assert error.code == "file_binary" and kind in error.zh


class TestCsv:
    def test_number_text_and_channel(self, tmp_path: Path) -> None:
        first, second = read_complaints(written(tmp_path / "a.csv", CHINESE))
        assert isinstance(first, Complaint) and isinstance(second, Complaint)
        assert (first.id, first.channel, second.channel) == ("G1", Channel.HOTLINE, Channel.WEB)

    @pytest.mark.parametrize(
        "heading",
        [
            "诉求内容",
            "投诉内容",
            "工单内容",
            "通话内容",
            "留言详情",
            "正文",
            "text",
            "Text ",
            "*诉求内容（必填）：",
            "诉求内容描述",
            "ＴＥＸＴ",
        ],
    )
    def test_usual_headings(self, tmp_path: Path, heading: str) -> None:
        assert texts(written(tmp_path / "a.csv", f"序号,{heading},处理内容\n1,停水了,已办\n")) == ["停水了"]

    def test_the_more_telling_heading_goes_first(self, tmp_path: Path) -> None:
        assert texts(written(tmp_path / "a.csv", "内容,诉求内容\n答复如下,停水了\n")) == ["停水了"]

    def test_headings_can_be_said(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "甲,乙,丙,诉求内容\nn1,停水了,窗口,别的\n")
        (row,) = read_complaints(path, ColumnMap(text="乙", id="甲", channel="丙"))
        assert isinstance(row, Complaint)
        assert (row.id, row.text, row.channel) == ("n1", "停水了", Channel.WINDOW)

    def test_a_header_that_matches_nothing_lists_found_and_known(self, tmp_path: Path) -> None:
        error = refusal(written(tmp_path / "a.csv", "姓名,年龄\n张三,5\n"))
        assert (error.code, error.where) == ("header_unmatched", "a.csv")
        assert all(word in error.zh for word in ("姓名、年龄", "诉求内容", "text", "指定"))

    @pytest.mark.parametrize("columns", [ColumnMap(text="没有"), ColumnMap(id="没有"), ColumnMap(channel="没有")])
    def test_a_said_heading_must_be_there(self, tmp_path: Path, columns: ColumnMap) -> None:
        error = refusal(written(tmp_path / "a.csv", CHINESE), columns)
        assert error.code == "column_missing"
        assert "“没有”" in error.zh and "工单编号、诉求内容、来源" in error.zh

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_delimiters_are_found(self, tmp_path: Path, delimiter: str) -> None:
        lines = [["编号", "诉求内容", "备注"], ["1", "停水，停电；", "无"]]
        path = written(tmp_path / "a.csv", "\r\n".join(delimiter.join(line) for line in lines))
        assert (texts(path), ids(path)) == (["停水，停电；"], ["1"])

    def test_quoted_line_breaks_and_quotes(self, tmp_path: Path) -> None:
        text = '他说"不行",\n让我\r\n回去'
        path = tmp_path / "a.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([["诉求内容", "编号"], [text, "a"], ["停水了", ""]])
        assert (texts(path), ids(path)) == ([text, "停水了"], ["a", "a-3"])

    def test_titles_above_the_header_and_empty_rows(self, tmp_path: Path) -> None:
        path = written(
            tmp_path / "a.csv", "2024年诉求内容汇总表,,\n,,\n编号,诉求内容,备注\n1,停水了,\n,,\n\n2,停电了,\n"
        )
        assert (texts(path), ids(path)) == (["停水了", "停电了"], ["1", "2"])

    def test_one_column_needs_no_quotes(self, tmp_path: Path) -> None:
        assert texts(written(tmp_path / "a.csv", "text\n停水,停电;三天\n你好\n")) == ["停水,停电;三天", "你好"]

    def test_broken_rows_are_rejected_with_the_reason(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "编号,诉求内容,备注\n1,停水,停电,三天,了\n2\n3,,无\n4,停水了,无\n")
        assert texts(path) == ["停水了"]
        wide, short, empty = rejected(path)
        assert (wide.row, wide.code, wide.raw) == (2, "row_broken", "1,停水,停电,三天,了")
        assert "5 列" in wide.zh and "3 列" in wide.zh
        assert (short.row, short.code) == (3, "row_broken") and "第 2 列" in short.zh
        assert (empty.row, empty.code, empty.field, empty.where) == (4, "text_empty", "诉求内容", "a.csv, row 4")

    @pytest.mark.parametrize(
        "bad", ['2,"停电了', '2,"停电了,无', '"2,停电了,无'], ids=["text", "text and more", "number"]
    )
    @pytest.mark.parametrize("rest", [["3,停气了,无", "4,停网了,无"], ['3,"停气了",无', "4,停网了,无"]])
    def test_a_stray_quote_does_not_swallow_the_next_rows(self, tmp_path: Path, bad: str, rest: list[str]) -> None:
        lines = ["编号,诉求内容,备注", "1,停水了,无", bad, *rest]
        path = written(tmp_path / "a.csv", "\n".join(lines) + "\n")
        assert texts(path) == ["停水了", "停气了", "停网了"]
        (row,) = rejected(path)
        assert (row.row, row.code, row.raw) == (3, "row_broken", bad) and "双引号" in row.zh

    def test_two_stray_quotes(self, tmp_path: Path) -> None:
        rows = ["1,停水了", '2,"停电了', "3,停气了", '4,"停网了', "5,停暖了"]
        path = written(tmp_path / "a.csv", "\n".join(["编号,诉求内容", *rows]))
        assert texts(path) == ["停水了", "停气了", "停暖了"]
        assert [row.row for row in rejected(path)] == [3, 5]

    def test_200000_characters_in_a_cell(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", '编号,诉求内容\n1,停水了\n2,"' + "长\n" * 100_000 + '"\n3,停电了\n')
        assert texts(path) == ["停水了", "停电了"]
        (row,) = rejected(path)
        assert (row.row, row.code) == (3, "text_too_long")
        assert "200,000" in row.zh and len(row.raw) < 2_100

    def test_binary_in_a_row(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "编号,诉求内容\n1,停水\0了\n" + "2,停电了很久没有人管\n" * 20)
        assert len(texts(path)) == 20
        assert [(row.row, row.code) for row in rejected(path)] == [(2, "text_binary")]

    def test_an_unknown_channel_counts_only_in_a_said_column(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", "诉求内容,来源\n停水了,省平台转办\n")
        (row,) = read_complaints(path)
        assert isinstance(row, Complaint) and row.channel is Channel.OTHER
        (bad,) = rejected(path, ColumnMap(channel="来源"))
        assert (bad.code, bad.field) == ("channel_unknown", "来源")

    def test_numbers_that_a_spreadsheet_protected(self, tmp_path: Path) -> None:
        assert ids(written(tmp_path / "a.csv", '编号,诉求内容\n"=""007""",停水了\n\t008,停电了\n')) == ["007", "008"]


class TestWorkbook:
    def test_titles_merged_cells_and_empty_rows(self, tmp_path: Path) -> None:
        rows: list[list[object]] = [
            ["2024年诉求内容汇总表"],
            [],
            ["工单编号", "诉求内容", "来源"],
            [20240305001, "停水了", "热线"],
            [],
            [None, "停电了", None],
            [3.0, None, "热线"],
            [datetime(2024, 3, 5), "停气了", None],
        ]
        path = workbook(tmp_path / "表.xlsx", rows, merge="A1:C1")
        assert texts(path) == ["停水了", "停电了", "停气了"]
        assert ids(path) == ["20240305001", "表-6", "2024-03-05 00:00:00"]
        (row,) = rejected(path)
        assert (row.row, row.code, row.field, row.raw) == (7, "text_empty", "诉求内容", "3\t\t热线")

    def test_the_first_sheet_with_a_header_counts(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "a.xlsx", [["说明"], ["本表"]], [["正文"], ["停水了"]], [["正文"], ["停电了"]])
        assert texts(path) == ["停水了"]

    def test_line_breaks_of_cells_are_cleaned(self, tmp_path: Path) -> None:
        assert texts(workbook(tmp_path / "a.xlsx", [["正文"], ["停水_x000D_\n了"]])) == ["停水\n了"]

    def test_no_header_in_any_sheet(self, tmp_path: Path) -> None:
        error = refusal(workbook(tmp_path / "a.xlsx", [["姓名", "年龄"]], [["甲"]]))
        assert error.code == "header_unmatched" and "姓名、年龄" in error.zh

    def test_the_header_must_stand_in_the_first_ten_rows(self, tmp_path: Path) -> None:
        title: list[object] = ["标题"]
        rows: list[list[object]] = [*[title] * 9, ["正文"], ["停水了"]]
        assert texts(workbook(tmp_path / "a.xlsx", rows)) == ["停水了"]
        assert refusal(workbook(tmp_path / "b.xlsx", [["标题"], *rows])).code == "header_unmatched"

    def test_a_cut_off_file_and_a_wrong_name(self, tmp_path: Path) -> None:
        whole = workbook(tmp_path / "a.xlsx", [["正文"], ["停水了"]]).read_bytes()
        assert refusal(written(tmp_path / "b.xlsx", whole[: len(whole) // 2])).code == "file_unreadable"
        assert refusal(written(tmp_path / "c.xlsx", CHINESE)).code == "file_unreadable"

    def test_a_workbook_that_unpacks_too_large(self, tmp_path: Path) -> None:
        content = bytearray(workbook(tmp_path / "a.xlsx", [["正文"], ["停水了"]]).read_bytes())
        size = content.index(b"PK\x01\x02") + 24
        content[size : size + 4] = (2**31).to_bytes(4, "little")
        error = refusal(written(tmp_path / "b.xlsx", bytes(content)))
        assert error.code == "file_too_large" and "2.0 GiB" in error.zh


class TestJsonLines:
    def test_rows_of_both_forms_with_labels(self, tmp_path: Path) -> None:
        turns = [{"speaker": "坐席", "text": "请讲"}, {"speaker": "市民", "text": "停水"}]
        rows = [{"id": "a", "text": "停水了", "misconduct": [], "sure": True}, {"turns": turns}]
        path = written(tmp_path / "a.jsonl", "\ufeff" + "\n\n".join(json.dumps(row) for row in rows))
        first, second = read_complaints(path)
        assert isinstance(first, Complaint) and isinstance(second, Complaint)
        assert (first.id, second.id, second.is_transcript) == ("a", "a-3", True)

    def test_usual_headings_as_fields(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", '{"工单编号": "G1", "诉求内容": "停水了", "区县": "甲"}\n')
        assert (texts(path), ids(path)) == (["停水了"], ["G1"])

    def test_said_fields(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", '{"甲": "停水了", "text": "别的"}\n{"text": "别的"}\n')
        assert texts(path, ColumnMap(text="甲")) == ["停水了"]
        assert [row.code for row in rejected(path, ColumnMap(text="甲"))] == ["column_missing"]

    def test_broken_lines_are_rejected_and_the_others_go_on(self, tmp_path: Path) -> None:
        lines = [
            '{"text": "停水了"}',
            '{"text": "停电',
            "5",
            '{"text": "停电了", "foo": 1}',
            "[" * 100_000,
            '{"id": ' + "9" * 5_000 + ', "text": "停气了"}',
            '{"foo": "停气了"}',
            '{"text": "停网\\ud83d了"}',
            '{"text": "停暖了"}',
        ]
        path = written(tmp_path / "a.jsonl", "\n".join(lines))
        assert texts(path) == ["停水了", "停暖了"]
        found = [(row.row, row.code, row.field) for row in rejected(path)]
        assert found == [
            (2, "json_invalid", ""),
            (3, "json_invalid", ""),
            (4, "field_unknown", "foo"),
            (5, "json_invalid", ""),
            (6, "json_invalid", ""),
            (7, "field_unknown", "foo"),
            (8, "text_binary", "text"),
        ]

    def test_an_array_is_refused_as_a_whole(self, tmp_path: Path) -> None:
        assert refusal(written(tmp_path / "a.jsonl", '[{"text": "停水了"}]')).code == "json_array"


class TestParquet:
    def test_rows(self, tmp_path: Path) -> None:
        table = pa.table({"工单编号": [1, 2, None], "诉求内容": ["停水了", None, "停电了"], "其他": [1, 2, 3]})
        pq.write_table(table, tmp_path / "a.parquet")
        path = tmp_path / "a.parquet"
        assert (texts(path), ids(path)) == (["停水了", "停电了"], ["1", "a-3"])
        assert [(row.row, row.code, row.field) for row in rejected(path)] == [(2, "text_empty", "诉求内容")]
        assert count_rows(path) == 3

    def test_turns(self, tmp_path: Path) -> None:
        turns = [[{"speaker": "坐席", "text": "请讲"}, {"speaker": "市民", "text": "停水"}]]
        pq.write_table(pa.table({"id": ["a"], "turns": turns}), tmp_path / "a.parquet")
        (row,) = read_complaints(tmp_path / "a.parquet")
        assert isinstance(row, Complaint) and row.is_transcript

    def test_no_heading_and_no_parquet(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
        assert refusal(tmp_path / "a.parquet").code == "header_unmatched"
        assert refusal(written(tmp_path / "b.parquet", CHINESE)).code == "file_unreadable"


class TestPlainText:
    def test_lines(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.txt", "\n停水了\r\n停电了\n\n", "gb18030")
        assert (texts(path), ids(path)) == (["停水了", "停电了"], ["a-2", "a-3"])

    def test_paragraphs(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.txt", "停水了\n三天了\n \n\n停电了\n")
        assert (texts(path), ids(path)) == (["停水了\n三天了", "停电了"], ["a-1", "a-5"])

    def test_a_transcript_is_one_complaint(self, tmp_path: Path) -> None:
        (row,) = read_complaints(written(tmp_path / "a.txt", TRANSCRIPT))
        assert isinstance(row, Complaint) and row.is_transcript and row.text == TRANSCRIPT.strip()

    def test_a_transcript_that_is_too_long(self, tmp_path: Path) -> None:
        (row,) = rejected(written(tmp_path / "a.txt", TRANSCRIPT * 1_000))
        assert (row.code, row.row) == ("text_too_long", 1)

    def test_good_lines_go_on(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.txt", "停水了\n" + "长" * 200_000 + "\n\u200b\n停电了\n")
        assert texts(path) == ["停水了", "停电了"]
        assert [row.code for row in rejected(path)] == ["text_too_long", "text_empty"]


class TestFiles:
    @pytest.mark.parametrize("suffix", [".xls", ".et"])
    def test_old_workbooks_are_sent_to_xlsx(self, tmp_path: Path, suffix: str) -> None:
        error = refusal(written(tmp_path / f"a{suffix}", b"x"))
        assert error.code == "file_suffix" and "另存为 .xlsx" in error.zh

    @pytest.mark.parametrize("name", ["a.json", "a.docx", "a.exe", "a"])
    def test_unknown_suffixes_say_what_can_be_read(self, tmp_path: Path, name: str) -> None:
        error = refusal(written(tmp_path / name, b"x"))
        assert error.code == "file_suffix" and ".csv" in error.zh and ".parquet" in error.zh

    def test_the_suffix_may_be_in_capitals(self, tmp_path: Path) -> None:
        assert texts(written(tmp_path / "A.CSV", "text\n停水了\n")) == ["停水了"]

    def test_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").mkdir()
        assert refusal(tmp_path / "a.csv").code == refusal(tmp_path / "d.csv").code == "file_missing"

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.csv", ""), ("a.csv", "text\n\n"), ("a.jsonl", "\n \n"), ("a.txt", " \n\n"), ("a.xlsx", "")],
    )
    def test_empty_files(self, tmp_path: Path, name: str, content: str) -> None:
        assert refusal(written(tmp_path / name, content)).code == "file_empty"

    @pytest.mark.parametrize(
        ("name", "content", "rows"),
        [
            ("a.csv", "text\na\nb", 2),
            ("a.csv", "text\na\nb\n", 2),
            ("a.csv", "", 0),
            ("a.jsonl", "{}\n{}", 2),
            ("a.txt", "a\nb\n", None),
            ("a.xlsx", "", None),
        ],
    )
    def test_counting(self, tmp_path: Path, name: str, content: str, rows: int | None) -> None:
        assert count_rows(written(tmp_path / name, content)) == rows

    @pytest.mark.parametrize(
        ("name", "line"),
        [("a.jsonl", '{"text": "%s"}'), ("a.csv", "%s"), ("a.txt", "%s")],
    )
    def test_rows_come_before_the_file_is_read_to_its_end(self, tmp_path: Path, name: str, line: str) -> None:
        lines = [line % ("路灯坏了没有人来修" * 40)] * 3_000
        path = written(tmp_path / name, "\n".join(["正文", *lines] if name == "a.csv" else lines), "gb18030")
        rows = read_complaints(path)
        next(rows)
        path.write_bytes(b"")
        assert sum(1 for _ in rows) < 1_000


class TestRejectsFile:
    ROW = Rejected(where="a.csv, row 2", row=2, field="正文", code="text_empty", zh="没有内容。", raw="\udcff,")

    def test_rows_are_json_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.jsonl"
        with RejectsFile(path) as rejects:
            rejects.add(self.ROW)
            rejects.add(self.ROW)
        assert rejects.count == 2
        first, _ = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        assert (first["where"], first["row"], first["field"]) == ("a.csv, row 2", 2, "正文")
        assert (first["code"], first["reason"]) == ("text_empty", "没有内容。")

    def test_no_rejects_no_file_not_even_an_old_one(self, tmp_path: Path) -> None:
        path = written(tmp_path / "rejects.jsonl", "{}\n")
        with RejectsFile(path) as rejects:
            pass
        assert rejects.count == 0 and not path.exists()

    def test_appending_keeps_the_old_rows(self, tmp_path: Path) -> None:
        path = written(tmp_path / "rejects.jsonl", "{}\n")
        with RejectsFile(path, append=True) as rejects:
            rejects.add(self.ROW)
        assert len(path.read_text(encoding="utf-8").splitlines()) == 2
