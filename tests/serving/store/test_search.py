"""Search in what is stored encrypted: the index never misses, the check afterwards never lets too much through."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from data.errors import InputError
from serving.store.database import Database
from serving.store.keyring import Keyring
from serving.store.schema import lead_terms, leads
from serving.store.search import contains, matching, terms

KEYRING = Keyring(bytes(32))
TEXTS = (
    "窗口让我跑了三趟，每次要的材料都不一样。",
    "縣市監局２０㎡門面，推來推去！ABC路灯",
    "联系人***，电话***********，路灯不亮",
    "路边的灯 坏了三个月",
)
WRITTEN = st.text(alphabet="路灯坏了*　 \n\tAbcßＡ縣县㎡2０😀\u200b", max_size=30)


@pytest.fixture
def found(database: Database) -> "Search":
    with database.writing("test") as writing:
        for seq, text in enumerate(TEXTS):
            lead = {
                "seq": seq + 1, "id": str(seq), "source": "hotline", "external_id": None, "channel": "hotline",
                "received_at": datetime.now(UTC), "content": b"", "redacted": text.encode(), "content_digest": "",
            }  # fmt: skip
            writing.connection.execute(insert(leads).values(lead))
            entries = [{"term": term, "lead_seq": seq + 1} for term in terms(database.keyring, text)]
            writing.connection.execute(insert(lead_terms), entries)
    return Search(database)


class Search:
    """Asks the index and verifies what it gives, as the store does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, query: str) -> list[str]:
        statement = select(leads.c.redacted).where(matching(self._database.keyring, query)).order_by(leads.c.seq)
        with self._database.reading() as connection:
            return [cipher.decode() for cipher in connection.execute(statement).scalars()]

    def __call__(self, query: str) -> list[int]:
        return [TEXTS.index(text) for text in self.candidates(query) if contains(text, query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("材料", [0]),
        ("窗口让我跑了三趟", [0]),
        ("路灯", [1, 2]),
        ("三", None),
        ("县市监局", [1]),
        ("20m2门面", [1]),
        ("abc路", [1]),
        ("路灯 不亮", [2]),
        ("不亮 路灯", [2]),
        ("不亮路灯", []),
        ("路灯 坏", []),
        ("坏了 灯", [3]),
        ("灯坏了", []),
        ("灯 坏了", [3]),
        ("没有这个词", []),
        ("' OR 1=1", []),
        ("%%", []),
    ],
)
def test_what_is_found(found: Search, query: str, expected: list[int] | None) -> None:
    if expected is None:
        with pytest.raises(InputError):
            found(query)
    else:
        assert found(query) == expected


def test_pairs_that_stand_apart_are_candidates_but_not_found(found: Search) -> None:
    assert found.candidates("三趟 每次") == [TEXTS[0]]
    assert found.candidates("了三趟，每次") == found.candidates("趟，每次 了三趟") == [TEXTS[0]]
    assert found("次要 都不") == [0]
    assert found("了三趟每次") == []


@pytest.mark.parametrize("query", ["", "路", "***", "* *", "路*灯", " 路 灯 ", "\u200b路\u200b", "，"])
def test_a_query_without_two_neighbouring_characters_is_refused(query: str) -> None:
    with pytest.raises(InputError) as refused:
        matching(KEYRING, query)
    assert refused.value.code == "query_too_short"


def test_nothing_reaches_across_or_into_what_is_hidden() -> None:
    assert terms(KEYRING, "张***李") == frozenset()
    assert terms(KEYRING, "电话***********转") == terms(KEYRING, "电话")
    assert terms(KEYRING, "张＊＊三") == frozenset()
    assert not contains("电话***转", "话转")


def test_entries_are_signed_32_bit_numbers_that_need_the_secret() -> None:
    entries = terms(KEYRING, TEXTS[0] + TEXTS[1])
    assert all(-(2**31) <= entry < 2**31 for entry in entries)
    assert any(entry < 0 for entry in entries) and any(entry > 0 for entry in entries)
    assert not entries & terms(Keyring(b"\x01" * 32), TEXTS[0] + TEXTS[1])


@given(text=WRITTEN, bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_whatever_is_cut_from_a_text_is_found_in_it(text: str, bounds: tuple[int, int]) -> None:
    query = text[min(bounds) : max(bounds)]
    assert contains(text, query)
    assert terms(KEYRING, query) <= terms(KEYRING, text)


@given(text=WRITTEN, query=WRITTEN)
def test_what_passes_the_check_was_in_the_index(text: str, query: str) -> None:
    if contains(text, query):
        assert terms(KEYRING, query) <= terms(KEYRING, text)
