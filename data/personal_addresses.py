"""Patterns of home addresses below the community: house, unit, room. Streets, villages and communities stay."""

import re

from data.personal_pattern import PersonalKind, PersonalPattern

_DIGITS = "0-9零〇一二三四五六七八九十百幺两"
_NUMBER = r"(?:[0-9]{1,5}|[A-Za-z][0-9]{0,3}|[零〇一二三四五六七八九十百幺两]{1,6})"
_GAP = r"[ ,，、\-—]{0,2}"
_BLOCK = rf"{_NUMBER}(?:号楼|号院|栋|幢|座|#楼?)"
_BUILDING = rf"(?:{_BLOCK}|{_NUMBER}楼)"
_COMMUNITY = "区苑园城庭府湾里阁轩庄院寓"
_UNIT = rf"(?<![第年月]){_NUMBER}单元"
_FLOOR = rf"{_NUMBER}(?:楼|层)"
_ROOM = (
    r"(?:[0-9]{3,4}|[零〇一二三四五六七八九幺两]{3,4})(?:号房|室|号|房)?"
    r"(?![0-9年人户家元平米万多余个套度份层楼页办教窗会诊病])"
)
_DOOR = rf"(?:{_NUMBER}(?:号房|室|房|号)|{_ROOM})"
_HOUSE = rf"{_NUMBER}(?:号楼|号院|号房|单元|栋|幢|室(?![一二两]厅)|号(?![线窗才起至])|组|队|#)"
_CUE = re.compile(
    r"家庭住址|家庭地址|住址|(?<![位司店铺场厂目区校构业程])(?<!办公|注册|施工|经营)地址|户籍(?:地|在|是|所在地)|户口在|家在|"
    r"我家(?=住|门牌)|租住|居住(?!证)|住在|"
    r"(?<![入居常])住(?![院宿建户房宅持所改])"
)
_REACH = 36  # characters between a cue and the house that it is about
_PAUSE = re.compile(r"[\n\t,，。;；!！?？]")
_OFFICE = re.compile(
    r"(?:局|中心|大厅|大楼|政府|委|厅|医院|法院|检察院|办事处|学校|中学|小学|大学|派出所|税务所|服务站|部|公司|厂)的?"
    r"(?:办公楼|业务楼|门诊楼|住院楼|教学楼|综合楼)?$"
)


def _is_home(match: re.Match[str]) -> bool:
    """Rooms of offices, hospitals and schools are nobody's home."""
    return not _OFFICE.search(match.string[max(0, match.start() - 12) : match.start()])


def _is_said_to_be_home(match: re.Match[str]) -> bool:
    """Whether words for living somewhere stand before, with one pause for breath between at most."""
    before = match.string[max(0, match.start() - _REACH) : match.start()]
    ends = [cue.end() for cue in _CUE.finditer(before)]
    if not ends:
        return False
    between = before[ends[-1] :].lstrip("在于是为:： ")
    return not _PAUSE.search(between) and between.count(" ") <= 1 and _is_home(match)


ADDRESSES = (
    PersonalPattern(
        name="unit_and_room",
        kind=PersonalKind.ADDRESS,
        source=(
            rf"{_BUILDING}{_GAP}{_UNIT}(?:{_GAP}{_FLOOR})?(?:{_GAP}{_DOOR})?|{_UNIT}(?:{_GAP}{_FLOOR})?{_GAP}{_DOOR}"
        ),
        check=_is_home,
    ),
    PersonalPattern(
        name="building_and_room",
        kind=PersonalKind.ADDRESS,
        source=rf"(?:{_BLOCK}|(?<=[{_COMMUNITY}]){_NUMBER}楼){_GAP}(?:{_FLOOR}{_GAP})?{_ROOM}",
        check=_is_home,
    ),
    PersonalPattern(
        name="dashed_room",
        kind=PersonalKind.ADDRESS,
        source=(
            rf"(?<=[{_COMMUNITY}栋楼])(?P<hide>(?:[0-9]{{1,3}}[-—#])?[0-9]{{1,2}}[-—][0-9]{{3,4}}(?:号房|室|号|房)?)"
            r"(?![-—0-9年元万人户个])|(?<![-0-9])[0-9]{1,3}(?:[-—#][0-9]{1,3})?[-—][0-9]{3,4}室"
        ),
        check=_is_home,
    ),
    PersonalPattern(
        name="house_after_cue",
        kind=PersonalKind.ADDRESS,
        source=rf"(?<![月{_DIGITS}])(?:{_HOUSE}|{_FLOOR}{_GAP}{_ROOM})(?:{_GAP}(?:{_HOUSE}|{_FLOOR}|{_ROOM}))*",
        check=_is_said_to_be_home,
    ),
)
