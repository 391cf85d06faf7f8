"""Patterns of names of complainants and those around them, after clear cues. Names of officials and units stay."""

import re
from collections.abc import Callable

from data.personal_pattern import EDGE, HAN, PersonalKind, PersonalPattern, always
from data.surnames import COMPOUND, DISTINCT, SINGLE

_TITLE = (
    r"(?:副|代|总|老|大)?(?:局长|主任|科长|所长|处长|站长|书记|镇长|乡长|县长|区长|市长|村长|主席|支书|股长|队长|组长|院长|校长|园长|行长|部长|厅长|"
    r"社长|班长|庭长|会长|秘书|检察|法官|律师|警官|民警|经理|老板|老师|师傅|医生|大夫|同志|先生|女士|小姐|阿姨|大爷|工程师|总|局|科|处|所)"
)
# what follows a name of two characters
_SINCE = "是在的我这那他她你们了呢啊吧呀反投举电身住从要去说问打今不想也就被向因手男女跟给把"
_AFTER = rf"(?:{EDGE}|(?=[{_SINCE}系]))"
_GIVEN = rf"(?!{_TITLE})(?![的了着过们么])[{HAN}](?:(?![{_SINCE}])[{HAN}])?"
_DOTTED = rf"[{HAN}]{{2,6}}[·•・](?:(?![{_SINCE}])[{HAN}]){{1,6}}"  # 买买提·艾力
_NAME = rf"(?:{_DOTTED}|(?:{COMPOUND}){_GIVEN}|[{SINGLE}]{_GIVEN})"
_SURE_NAME = rf"(?:{_DOTTED}|(?:{COMPOUND}){_GIVEN}|[{DISTINCT}]{_GIVEN})"
_LONG_NAME = rf"(?:{COMPOUND}|[{DISTINCT}])(?:某|(?:(?![{_SINCE}])[{HAN}]){{2}})"
_KIN = (
    "儿子|女儿|闺女|孩子|丈夫|老公|妻子|老婆|爱人|媳妇|父亲|母亲|爸爸|妈妈|爸|妈|爷爷|奶奶|外公|外婆|孙子|孙女|"
    "哥哥|弟弟|姐姐|妹妹|哥|弟|姐|妹|岳父|岳母|公公|婆婆|嫂子|侄子|侄女|外甥"
)
_DWELLER = "村民|居民|业主|群众|市民|社员|职工|家长|学生|教师|租户|商户|店主|住户"
_PERSON = (
    "举报人|投诉人|反映人|信访人|来访人|来信人|申请人|报案人|报警人|联 ?系 ?人|求助人|诉求人|咨询人|当事人|"
    "申诉人|监护人|控告人|实名|署名|落款|姓 {0,4}名|签名|签字|患者|病人|家属|学生|原告|业主|户主|名字"
)
_DATE = r"[0-9〇零一二三四五六七八九十]{4}[年./-][^\n]{0,12}+"
_END_OF_LETTER = rf"(?=\s*+(?:(?:(?:联系)?电话|手机)?[:： ]?[0-9+ -]{{7,20}}+)?\s*+(?:{_DATE})?\s*+\Z)"
_ACCUSED = r"(?<!被)(?<!被告)(?<!对方)(?<!领导)(?<!干部)"
_NO_NAME = re.compile(  # words that begin like a name
    r"安[全监装置徽好]|高[新速中铁校龄级度]|党[员委组支]|车[主来到位间]|房[东主客子屋管]|商[户家铺场业]|农[民户业村机]|司机|经[理办常过]|"
    r"马[上路达]|时[候间任]|常[客年常住]|包工|单[位亲身]|金额|公[司安办务职]|方[便面案]|家[长里人属]|成[年都立]|平[时常台安]|江[苏西]|"
    r"全[家部体国村县市镇乡社班]|云南|湖[南北]|广[东西州]|水[务利电]|国[家企土]|于[是今昨]|应[该当]|能[够否]|明[明天确白]|年[初底轻]|"
    r"强[烈制]|连[续夜]|解[决释]|温馨|通[知过]|申[请诉]|易地|和[他她我]|关[于系]|干[部群]|都[是不叫]|乐意|劳[动务资]|来[访电信]|费用|"
    r"谢[谢绝]|施[工行]|项目|许[多可久]|周[围边]|周[一二三四五六日末岁]$|余[款额下地生]|张[贴口]|张开$|陈[述旧列]|洪[水灾涝]|程[序度]|"
    r"陆[续地]|储[户蓄备存]|曾[经多在是于到去就因从被]|焦[急点虑]|苗[木圃]|范[围本例]|夏[季令]|胡[说乱同闹]|涂[料改]|柴[油火]|"
    r"孙[子女]$|严[重格禁肃]|顾[客问虑及]|戴着|熊猫|郑重|庞大|舒[服心]|巩固|牟[利取]|肖像|赖[账皮着]|屠[宰夫]|萧条|杜[绝撰]|董事|"
    r"林[地业场权区]|田[地间头]|黄[色码牌标灯线豆瓜昏牛]|黄[金土泥酒]$|唐突|丁[点字]|陶瓷|何[时地必况种]|何人$|欧[元洲]|辜负|"
    r"那[个些边里时么位]|谷[壳物子]|战[友士争]|门[口卫前诊面]|楼[上下道层房盘梯]|初[中期步]|税[务费款收]|[郑徐邓苏滕]州|沈阳|许昌|周口|汪清|贺兰"
)
_PLACE = re.compile(r".(?:.?[村县市镇乡屯寨人]|家[湾沟庄坪坡岭台港河桥口塘坝洼集店营畈冲垭垸圩渡铺岗])$")


def _is_name(match: re.Match[str]) -> bool:
    return not _NO_NAME.match(match["hide"]) and not _PLACE.match(match["hide"])


def _is_no_official(match: re.Match[str]) -> bool:
    """Not 张三局长, and not a man whose office follows: 王某，男，某局局长."""
    following = match.string[match.end("hide") :][:24]
    return _is_name(match) and not re.match(_TITLE, following) and not re.search(rf"[^我]{_TITLE}", following[:14])


def _is_no_title(match: re.Match[str]) -> bool:
    return _is_name(match) and not re.match(_TITLE, match.string[match.end("hide") :][:4])


def _name(
    name: str, source: str, check: Callable[[re.Match[str]], bool] = _is_no_title, *, everywhere: bool = False
) -> PersonalPattern:
    return PersonalPattern(name=name, kind=PersonalKind.NAME, source=source, check=check, everywhere=everywhere)


NAMES = (
    _name(
        "my_name_is",
        r"(?<![把管问将给帮替让被别])[我俺额本](?:人|的名字|本名|大名|名字)?(?:名叫|叫做|叫|名字是|名字叫)"
        rf"[ :：,，]{{0,2}}(?P<hide>{_SURE_NAME}|{_NAME}(?={_AFTER}))",
        everywhere=True,
    ),
    _name("i_am_called", rf"(?<![把管问将给帮替让被别])[我俺额]叫(?P<hide>[老小阿][{HAN}]{{1,2}}){EDGE}"),
    _name("my_surname_is", rf"(?:[我俺额]|免贵|敝|[\n:：] ?)姓(?P<hide>{COMPOUND}|[{SINGLE}])(?![名氏什何])", always),
    _name(
        "surname_then_name",
        rf"姓(?P<surname>{COMPOUND}|[{SINGLE}])[ ,，]{{1,2}}(?:[^ ,，\n]{{0,4}}[ ,，]{{1,2}})?"
        r"(?![^ ,，\n]{1,6}(?:的|那个)(?P=surname))"  # 骆驼的骆
        rf"(?P<hide>(?P=surname)[{HAN}](?:(?![{_SINCE}])[{HAN}])?)",
        everywhere=True,
    ),
    _name("i_am", rf"我(?:就)?是(?P<hide>{_SURE_NAME})(?:{EDGE}|(?=的(?:{_KIN})))"),
    _name(
        "i_am_of",
        rf"我(?:就)?是[^,，。!！?？;；\s]{{1,14}}(?:的|{_DWELLER})(?P<hide>{_SURE_NAME}){EDGE}",
    ),
    _name(
        "asked_for",
        r"(?:姓名|称呼|贵姓|名字)[^\n]{0,6}\n(?:\[[0-9:]{1,8}\] ?)?(?:[^\n:：]{1,12}[:：] ?)?"
        rf"(?P<hide>{_SURE_NAME}){EDGE}",
        everywhere=True,
    ),
    _name(
        "kin",
        rf"(?:[我俺额咱]|本人)家?的?[大小二老亲]?(?:{_KIN})(?:的名字)?(?:名叫|叫做|叫|是|(?={_LONG_NAME}))"
        rf"(?P<hide>{_SURE_NAME}){_AFTER}",
        everywhere=True,
    ),
    _name("this_person", rf"本人(?:姓名|系|是)?(?P<hide>{_SURE_NAME})(?:{EDGE}|(?=[系是住]))", everywhere=True),
    _name("this_person_set_off", rf"本人[,，、:： ]{{1,2}}(?P<hide>{_NAME}){EDGE}", everywhere=True),
    _name(
        "role_set_off",
        rf"{_ACCUSED}(?:{_PERSON})(?:姓名|名字)?[:：]\s{{0,2}}(?P<hide>{_NAME}(?:[、,，]{_SURE_NAME}{EDGE})*)",
        everywhere=True,
    ),
    _name("role", rf"{_ACCUSED}(?:{_PERSON})(?: {{0,2}}|[是为叫])(?P<hide>{_SURE_NAME}){EDGE}", everywhere=True),
    _name(
        "name_and_sex",
        rf"(?:^|(?<=[\n。:： ]))(?P<hide>{_NAME})[,，、 ]{{1,2}}[男女](?=[,，、。;； ]|性)",
        _is_no_official,
        everywhere=True,
    ),
    _name(
        "name_and_particulars",
        rf"(?:^|(?<=\n))(?P<hide>{_SURE_NAME})[,，] ?"
        rf"(?:[0-9]{{2}}岁|[0-9]{{4}}年|[{HAN}]{{1,3}}族|现住|家住|身份证|电话|手机)",
        _is_no_official,
        everywhere=True,
    ),
    _name(
        "after_salute",
        rf"(?:敬礼|敬上|谨呈)[!！。,， \n]{{0,6}}(?P<hide>{_SURE_NAME})(?={EDGE}|[0-9])",
        everywhere=True,
    ),
    _name("signature", rf"\n[ \t]*+(?:此致|[—-]{{1,4}})? {{0,4}}(?P<hide>{_NAME}){_END_OF_LETTER}", everywhere=True),
    _name(
        "signature_of",
        rf"\n[^\n:：,，。]{{0,16}}(?:{_DWELLER})[ \t]{{0,4}}(?P<hide>{_SURE_NAME}){_END_OF_LETTER}",
        everywhere=True,
    ),
)
