"""Patterns of personal numbers, written, spaced or spoken: phones, identity numbers, bank cards, plates, accounts.

Without a cue word in front a number must hold by itself: a date of birth, a check character, a Luhn sum.
"""

import re
from collections.abc import Callable
from datetime import date

from data.personal_pattern import PersonalKind, PersonalPattern, always

SPOKEN = {
    ord(character): figure
    for figure, characters in {
        "0": "零〇○",
        "1": "幺妖一壹",
        "2": "二贰两",
        "3": "三叁",
        "4": "四肆",
        "5": "五伍",
        "6": "六陆",
        "7": "七柒",
        "8": "八捌",
        "9": "九玖",
        "X": "叉",
    }.items()
    for character in characters
}
_GAP = r"[ \t\-\u2010-\u2015·._\ufe0f\u20e3]{0,3}"  # the last two make keycaps of figures
_NOT_MONEY = rf"(?!(?:\.[0-9]{{1,2}})?{_GAP}[多余]?(?:元|块|万|亿|美元|美金|人民币|千克|公斤|吨|平方|亩|股|票))"
_START, _END = r"(?<![0-9¥$])", rf"(?![0-9]){_NOT_MONEY}"
_PROVINCE = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CARS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = "A-HJ-NP-Za-hj-np-z"
_PUBLIC_LINE = re.compile(
    r"(?:局|所|委|厅|中心|政府|热线|窗口|监督|举报|投诉|咨询|值班|客服|服务)(?:的|公布的|公开的)?"
    r"(?:办公|值班|咨询|监督|服务|投诉|举报|窗口|联系|对外)?(?:电话|座机|号码|热线)?[是为打]?[:： (]{0,3}$"
)
_MOBILE = rf"1{_GAP}[3-9](?:{_GAP}[0-9]){{9}}"


def luhn(figures: str) -> bool:
    """Whether the check digit of a bank card holds."""
    doubled = [int(figure) * (1 + at % 2) for at, figure in enumerate(reversed(figures))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def checksum(figures: str) -> bool:
    """Whether the check character of an identity number of 18 characters holds."""
    total = sum(weight * int(figure) for weight, figure in zip(_WEIGHTS, figures, strict=False))
    return "10X98765432"[total % 11] == figures[17]


def _groups(match: re.Match[str]) -> list[str]:
    hidden: str = match["hide"] if "hide" in match.re.groupindex else match[0]
    return re.findall("[0-9Xx]+", hidden)


def _dictated(match: re.Match[str]) -> bool:
    """Whether figures stand together as in one number: in a few groups, or each by itself and nothing after it."""
    lengths = [len(group) for group in _groups(match)]
    if len(lengths) > 5 and max(lengths) == 1:
        return not re.match(rf"{_GAP}[0-9]", match.string[match.end() :][:4])
    return len(lengths) <= 5 and min(lengths) >= 2


def _born(figures: str) -> bool:
    """Whether province and date of birth of an identity number of 15 or 18 characters are possible."""
    born = figures[6:14] if len(figures) == 18 else "19" + figures[6:12]
    try:
        day = date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return False
    return _PROVINCE.match(figures) is not None and 1880 <= day.year <= 2100


def _is_identity(match: re.Match[str]) -> bool:
    """A mistyped number still tells whose it is: in one piece, place and date of birth are enough."""
    groups = _groups(match)
    figures = "".join(groups).upper()
    return _born(figures) and (len(groups) == 1 or (len(figures) == 18 and checksum(figures)))


def _is_card(match: re.Match[str]) -> bool:
    groups = _groups(match)
    return all(len(group) >= 4 for group in groups[:-1]) and luhn("".join(groups))


def _is_said_identity(match: re.Match[str]) -> bool:
    """Not a day, and not several small numbers in a row: 20240501, 20 30 40."""
    lengths = [len(group) for group in _groups(match)]
    day = len(lengths) == 1 and re.fullmatch(r"20[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])", match["hide"])
    return not day and (len(lengths) == 1 or max(lengths) == 1 or sum(lengths) >= 15)


def _is_private_line(match: re.Match[str]) -> bool:
    """Whether a landline is not said to be that of a unit or a public service."""
    start = match.start("hide") if "hide" in match.re.groupindex else match.start()
    return _dictated(match) and not _PUBLIC_LINE.search(match.string[max(0, start - 16) : start])


def _has_figure(match: re.Match[str]) -> bool:
    return any(map(str.isdigit, match[0]))


def _number(
    name: str, kind: PersonalKind, source: str, check: Callable[[re.Match[str]], bool] = always
) -> PersonalPattern:
    return PersonalPattern(name=name, kind=kind, source=source, digits=True, check=check)


def _ending(name: str, kind: PersonalKind, cue: str) -> PersonalPattern:
    """The last figures alone of a number that ``cue`` names."""
    words = r"[^0-9。\n]{0,8}[后末尾][0-9几]?[位号]?[^0-9。]{0,10}"
    return _number(name, kind, rf"(?:{cue}){words}(?P<hide>[0-9]{{2,5}}[0-9Xx])(?![0-9年月日元块])")


NUMBERS = (
    _number("mobile", PersonalKind.PHONE, rf"{_START}(?:\+?(?:00)?86{_GAP})?(?P<hide>{_MOBILE}){_END}", _dictated),
    _number(
        "mobile_in_groups",  # read out with pauses
        PersonalKind.PHONE,
        rf"{_START}1[3-9][0-9][,，、 ]{{1,2}}(?:呃|嗯|啊|那个|然后|再)?[ ,，、]{{0,2}}[0-9]{{4}}[,，、 ]{{1,2}}"
        rf"(?:呃|嗯|啊|那个|然后|再)?[ ,，、]{{0,2}}[0-9]{{4}}{_END}",
    ),
    _number("mobile_masked", PersonalKind.PHONE, rf"{_START}1[3-9][0-9]{{1,5}}[*xX×某]{{2,8}}[0-9]{{0,4}}{_END}"),
    _number(
        "landline",
        PersonalKind.PHONE,
        rf"{_START}0(?:10|2[0-9]|[3-9][0-9]{{2}}){_GAP}\)?{_GAP}[2-8](?:{_GAP}[0-9]){{6,7}}{_END}",
        _is_private_line,
    ),
    _number(
        "landline_after_cue",
        PersonalKind.PHONE,
        rf"(?:电话|座机|固话|宅电|tel|Tel|TEL)[^0-9\n。;；]{{0,6}}(?P<hide>[2-8](?:{_GAP}[0-9]){{6,7}}){_END}",
        _is_private_line,
    ),
    _number(
        "phone_after_cue",
        PersonalKind.PHONE,
        rf"(?:电话|手机|联系方式|联系我|打我|拨打|致电|微信)[^0-9\n。;；]{{0,10}}(?P<hide>[0-9](?:{_GAP}[0-9]){{10}}){_END}",
    ),
    _ending("phone_ending", PersonalKind.PHONE, "手机|电话"),
    _ending("identity_ending", PersonalKind.IDENTITY, "身份证|证件"),
    _ending("card_ending", PersonalKind.BANK_CARD, "银行卡|储蓄卡|信用卡|存折|卡号|这张卡"),
    _ending("plate_ending", PersonalKind.PLATE, "车牌|牌照"),
    _number(
        "identity",
        PersonalKind.IDENTITY,
        rf"(?<![0-9A-Za-z])[1-9](?:{_GAP}[0-9]){{16}}{_GAP}[0-9Xx](?![0-9A-Za-z])",
        _is_identity,
    ),
    _number(
        "identity_15",
        PersonalKind.IDENTITY,
        rf"(?<![0-9A-Za-z])[1-9][0-9]{{14}}(?![0-9A-Za-z]){_NOT_MONEY}",
        _is_identity,
    ),
    _number(
        "identity_after_cue",
        PersonalKind.IDENTITY,
        rf"(?:身份证|居住证号|证件号|护照|通行证|公民身份号码|身份号|ID)[^0-9\n。;；]{{0,10}}"
        rf"(?P<hide>[0-9](?:{_GAP}[0-9]){{5,16}}(?:{_GAP}[0-9Xx])?)(?![0-9]){_NOT_MONEY}",
        _is_said_identity,
    ),
    _number(
        "identity_masked",
        PersonalKind.IDENTITY,
        r"(?<![0-9A-Za-z])[1-9][0-9]{2,9}[*xX×某]{4,14}[0-9]{0,4}[0-9Xx]?(?![0-9A-Za-z])",
        lambda match: len(match[0]) in (15, 18),
    ),
    _number(
        "bank_card",
        PersonalKind.BANK_CARD,
        rf"(?<![0-9A-Za-z¥$.])(?=(?:4|5|62|60|9558|3[457])[0-9])[0-9](?:{_GAP}[0-9]){{15,18}}{_END}",
        _is_card,
    ),
    _number(
        "card_after_cue",
        PersonalKind.BANK_CARD,
        rf"(?:卡号|[账帐]号|银行卡|储蓄卡|信用卡|存折|折子号)[^0-9\n。;；]{{0,8}}(?P<hide>[0-9](?:{_GAP}[0-9]){{6,21}}){_END}",
    ),
    _number(
        "plate",
        PersonalKind.PLATE,
        rf"[{_CARS}]{_GAP}[{_PLATE}]{_GAP}(?:[{_PLATE}0-9]{_GAP}){{4,5}}(?:[{_PLATE}0-9]|[挂学警港澳])(?![A-Za-z0-9])",
        _has_figure,
    ),
    _number(
        "plate_after_cue",
        PersonalKind.PLATE,
        rf"(?:车牌|牌照|(?<!列)车号|号牌)号?[^0-9A-Za-z。;；\n{_CARS}]{{0,6}}"
        rf"(?P<hide>(?:[{_CARS}]{_GAP}[A-Za-z]?{_GAP})?[A-Za-z0-9](?:{_GAP}[A-Za-z0-9]){{3,6}})(?![A-Za-z0-9])",
        _has_figure,
    ),
    PersonalPattern(
        name="email",
        kind=PersonalKind.EMAIL,
        source=r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63} ?@ ?[A-Za-z0-9-]{1,63}(?: ?\. ?[A-Za-z]{2,24}){1,3}",
    ),
    PersonalPattern(
        name="wechat",
        kind=PersonalKind.ACCOUNT,
        source=(
            r"(?i:微信|薇信|威信|weixin|wechat|VX|WX|V信|加V|支付宝|抖音|快手|微博)"
            r"(?:号码|号|同号|[账帐]号)?[是为叫:： ]{0,3}"
            r"(?P<hide>[A-Za-z][-_A-Za-z0-9]{5,19})(?![A-Za-z0-9])"
        ),
    ),
    _number(
        "qq",
        PersonalKind.ACCOUNT,
        r"(?:[Qq][Qq]|扣扣|企鹅|微信号)群?(?:号码|号)?[是为叫:： ]{0,3}"
        rf"(?P<hide>[1-9](?:{_GAP}[0-9]){{4,11}}){_END}",
    ),
)
