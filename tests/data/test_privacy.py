"""What must be hidden, what must not, and that hiding moves nothing. All persons and numbers are invented."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.personal_numbers import SPOKEN, checksum, luhn
from data.personal_pattern import PersonalKind
from data.privacy import MASK, PATTERNS, PersonalSpan, personal_spans, redact
from data.text import Span, normalise

ID = "11010519491231002X"  # the example of GB 11643
CARD = "6222020000000000" + next(figure for figure in "0123456789" if luhn("6222020000000000" + figure))

# in brackets: what must be hidden
HIDDEN: dict[PersonalKind, list[str]] = {
    PersonalKind.PHONE: [
        "请回电[13812345678]，谢谢。",
        "手机：[１３８１２３４５６７８]",
        "[138 1234 5678]打我",
        "[138-1234-5678]，晚上打",
        "[1 3 8 1 2 3 4 5 6 7 8]",
        "[138—1234—5678]",
        "号码[138.1234.5678]。",
        "加上区号+86 [13812345678]",
        "电话86[13812345678]",
        "打[幺三八幺二三四五六七八]就行",
        "我电话[幺三八 幺二三四 五六七八] 你记一下",
        "我手机[一三八，一二三四，五六七八]",
        "号码是[一三八 呃 一二三四 五六七八]",
        "电话[1三8一二三4五六七8]",
        "微信同号[13812345678]",
        "[13812345678]、[13912345678]都行",
        "打不通就打[13812345678] [13912345678]",
        "零宽[138\u200b1234\u200b5678]也算",
        "留的是[1381234xxxx]",
        "留的是[138****5678]",
        "家里[0731-82345678]",
        "座机（[0731）82345678]",
        "打[010 62345678]找我",
        "[零七三一 八二三四五六七八]是我家",
        "座机[82345678]，白天有人",
        "联系电话：[10000000001]",
        "電話[13812345678]",
        "手机尾号[6266]的就是我",
        "[138 - 1234 - 5678]是我",
        "[1️⃣3️⃣8️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8]️⃣",
        "(+86)[13812345678]",
        "打我家座机[0731-82345678]",
        "投诉人电话[0731-82345678]",
        "[13812 345678]",
        "😀[13812345678]😀",
    ],
    PersonalKind.IDENTITY: [
        f"身份证[{ID}]。",
        f"身份证号码：[{ID.lower()}]",
        f"没有提示也要认出[{ID}]来",
        "[110105 19491231 002X]",
        "[1 1 0 1 0 5 1 9 4 9 1 2 3 1 0 0 2 X]",
        "[幺幺零幺零五 幺九四九 幺二三幺 零零二叉]",
        "打错一位的[110105194912310021]也能认出人",
        "老身份证[110105491231002]",
        "身份证号[000000199802300000]是编的",
        "身份证后四位[零零二叉]",
        "坐席：请报一下您的身份证后四位\n来电人：[零零幺叉]",
        "身份证：[110105********0021]",
        "[110105********0021]查一下",
        "身份证丢了，号是[110105194912310021]",
        "护照号E[12345678]",
        "居住证号[110105194912310021]",
        "１１０１０５".join(["号码[", "１９４９１２３１００２Ｘ]"]),
    ],
    PersonalKind.BANK_CARD: [
        f"打到[{CARD}]上",
        f"卡号[{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:16]} {CARD[16:]}]",
        "折子号[6200000000000008]，一直没到账",
        "银行卡尾号[1234]",
        "卡号[六二二零零零零零零零幺]你记下",
    ],
    PersonalKind.PLATE: [
        "车牌[湘A12345]停在门口",
        "开的[湘A·D12345]",
        "[京A 12345]，白色",
        "牌照是[云零零零捌柒]",
        "车牌[零零捌K九]",
        "挂车[鄂AP185挂]",
        "[湘AD12345]",
        "[粤Z1234港]过关",
        "[湘 A 12345]",
        "车号[12345]",
        "车牌好像是尾号[六零六]",
    ],
    PersonalKind.EMAIL: ["回[zhang.san@example.com]", "邮箱[zs_1@mail.example.cn]，谢谢", "发到[zs @ example.com]"],
    PersonalKind.ACCOUNT: [
        "微信[zhang_san88]",
        "加V：[zhangsan1990]",
        "支付宝账号[zhangsan88]",
        "抖音号：[zs_19900101]",
        "加微信号：[wxid_ab12cd34]",
        "VX[zhangsan1990]",
        "QQ[123456789]",
        "我的QQ号是[１２３４５６７８]",
        "扣扣[一二三四五六七八]",
    ],
    PersonalKind.ADDRESS: [
        "家住青禾小区[3号楼2单元501室]",
        "住金沙花苑[四栋二幺零三]",
        "槐荫里[3栋1203]漏水",
        "月桂里[7-2-602]，谢谢",
        "我住柳条街[十九号幺零二室]",
        "地址：石榴巷[6号]",
        "现住磨盘沟[12号]，电话打不通",
        "家属院 [七栋二单元 三零二]",
        "住韭菜坪村[七组]",
        "[2单元501]的老人",
        "月桂里 [2-602室]",
        "青禾小区[3-501]漏水",
        "青禾小区[A栋1203室]",
        "青禾小区[３号楼２单元５０１室]",
        "青禾小區[3號樓2單元501室]",
        "青禾小区[3号楼2单元]电梯坏了半年",
        "青禾小区[3楼501]",
        "我家住[3楼302]",
        "户籍地址：青禾县青禾镇上河村[3组12号]",
        "家庭住址青禾县河西路[88号]青禾花园[12栋3单元1204室]",
        "我家门牌[十九号]",
    ],
    PersonalKind.NAME: [
        "我叫[王小明]，要反映一件事",
        "你好我叫[骆德柱] 骆驼的骆",
        "我叫[欧阳青禾]。",
        "俺叫[党拴牢]",
        "我的名字是[李青]，",
        "我叫[老邹]，外乡人",
        "我姓[郗] [郗振山] 住罗汉塘",
        "免贵姓[逄]",
        "我是[李青山]，住在这里三十年",
        "我是青禾镇的[厉巧云]，旁边是我嫂子",
        "我是青禾镇上河村村民[谢长根]，反映修路",
        "本人[姚香菊]，女",
        "本人，[邱德厚]，男，五十四岁",
        "联系人：[谈俊]（业委会）",
        "联系人[周青山]，电话在下面",
        "举报人：[阮慕青、谢长根]",
        "实名举报人:[彭青松]2019年3月2日",
        "投诉人：[黄意青]",
        "署名[卜国香]，要求保密",
        "患者[匡玉梅]，住内二科；[匡玉梅]下周还要来",
        "[郁青禾]，女，毕业于师专",
        "以上属实。\n此致\n敬礼\n[谢长根]\n2024年5月1日",
        "此致敬礼！ [谢长根]",
        "我叫[王小明]。他们一见我就喊[王小明]来了。",
        "我叫[王小明]是青禾村的",
        "我叫[黄小明]反映一件事",
        "我叫[高小明]反映一件事",
        "我叫[歐陽青禾]，",
        "我叫[阿依古丽·买买提]住在青禾县",
        "姓 名：[买买提·艾力]",
        "联系人[丛青山]，",
        "本人[王小明]系青禾县城关镇居民",
        "我是[王小明]的父亲",
        "我儿子[王小明]在青禾小学读书",
        "我老公[张青山]被打了",
        "我女儿叫[缪小东] 大小的小",
        "坐席：姓名\n来电人：[丛桂芝] 丛林的丛",
        "热线：怎么称呼\n来电：[李青山]。",
        "请问怎么称呼\n姓[乔] 大乔的乔",
        "[乜建军]，2018年退伍",
        "[姚青山]，汉族，",
        "盼您过问。\n青禾村退休职工 [鄢守正]\n2024年5月1日",
        "盼您过问。\n——[王小明]",
        "盼您过问。\n[王小明]\n2024-05-01 星期三",
    ],
}
KEPT = [
    "青禾县信访局电话0731-82345678没人接。",
    "派出所值班电话：82345678，打不进。",
    "金额13812345678.00元，1381234.5万元。",
    "身份证丢失，补办花了20 30 40元。",
    "身份证办理时间20240501至20240601。",
    "统一社会信用代码91430100MA4L12345X",
    "440101200013320011不是身份证号",
    "110105 1949 1231 0021校验不对",
    "95588、10086、12388、400-820-8820",
    "第十二条第三款、《某法》第123条、青政办〔2024〕12号",
    "列车号12345晚点",
    "我叫来了民警，又叫都叫不应",
    "我叫那个人去，我叫相关部门来，我叫全村人去",
    "我是施工方，项目经理是他。",
    "我是黄码，进不去。",
    "我奶奶戴的是氧气管",
    "我妈许是病了，我爸何去何从，我妈曾说过。",
    "我是徐州人，他是周口人。",
    "反映人：李家村全体村民",
    "举报人：陈家湾村民小组",
    "徐家村，电话打不通。",
    "许昌市，2019年就这样。",
    "我妈郭家村的",
    "我妈施工受伤，我爸许多次去问。",
    "本人曾因此在县里等了三天。",
    "我爸是李局长的司机",
    "问题如上。\n平安",
    "问题如上。\n全体业主\n2024年5月1日",
    "问题如上。\n青禾县公安局",
    "请问怎么称呼\n时间不早了",
    "3号楼的电梯坏了，5栋300多人、8栋805户没水，一幢一二三层也没有。",
    "让我去三楼302找科长，又叫去三楼301办公室。",
    "小区地址：青禾路12号，店铺地址在青禾路14号，项目地址：建设路88号。",
    "居住证3号窗口没人，住在这里12号才通知。",
    "居住证上生日错了，我是二十九号的",
    "我家门口3号坑",
    "园区3-1000元不等",
    "拨打12345没人接，又打12309、110、96111。",
    "全国统一客服400-123-4567。",
    "补偿款13800000000元一直没到，欠了7万块。",
    "共138亿元，预算1381234.56万元。",
    "2024年5月1日至2024-06-30，编号2024-0001。",
    "根据国办发〔2019〕12345号文件第三条第二款。",
    "（2023）云01民初12345号判决",
    "订单号202306121234567890已付款",
    "订单20230612123456",
    "1，3，5，7，9，11，13，15，17，19，21",
    "13 15 17 19 21 23 25 27",
    "三三两两一二三四五，上山打老虎",
    "从二〇一三年八月到二〇二四年",
    "王局长、李志强主任和张所长都说不归他们管。",
    "青禾县市监局、城关派出所、税务所互相推。",
    "被举报人：李大福，系青禾县某局局长。",
    "联系人王主任，市民找他没用。",
    "联系人：李科长",
    "李大福，男，青禾县财政局局长，长期吃拿卡要。",
    "我叫李局长过来，他不来。",
    "我叫他们关门窗了",
    "我叫什么不重要",
    "老板管我叫王总",
    "他把我叫到楼梯间",
    "我是农民，不懂政策。",
    "我是车主，",
    "我是镇上的房东，不是来闹的。",
    "我是党员，也是老师。",
    "我是来办证的，",
    "我是高新区一家小厂的会计，",
    "本人于上周三去窗口，",
    "本人曾多次反映。",
    "本人到场也不行，",
    "申请人高度重视",
    "业主马上要收房，",
    "学生费用谁出，",
    "青禾路3号楼正在施工，扬尘大。",
    "在政务服务中心2号楼305室交的材料",
    "县医院门诊楼3楼302室",
    "三号窗口让我去七号窗口",
    "坐地铁3号线到青禾站",
    "办公地址：枫林二路366号",
    "小区有12栋楼、300户居民，3栋120户没水",
    "第三单元的课文没讲完",
    "微信公众号和微信群都发了通知，微信转账500000元",
    "京A股、沪B股都跌了",
    "用AK47、5G、iPhone15拍的",
    "电话打不通，手机也没人接。",
    "我家楼房三层，住一楼的老人上不来。",
    "7月20号住进来的，5月3号就停水。",
    "路灯坏了三个月没人修，反映多次。",
]


def marked(text: str) -> tuple[str, str]:
    """The text without brackets, and the same with what stood in them hidden."""
    hidden, inside = [], False
    for character in text:
        if character in "[]":
            inside = character == "["
        else:
            hidden.append(MASK if inside and character != "\n" else character)
    return text.replace("[", "").replace("]", ""), "".join(hidden)


@pytest.mark.parametrize(
    ("kind", "example"),
    [(kind, text) for kind, texts in HIDDEN.items() for text in texts],
    ids=lambda value: str(value),
)
def test_personal_data_is_hidden(kind: PersonalKind, example: str) -> None:
    text, expected = marked(example)
    assert redact(text) == expected
    assert kind in {found.kind for found in personal_spans(text)}


@pytest.mark.parametrize("text", KEPT)
def test_what_the_complaint_is_about_stays(text: str) -> None:
    assert personal_spans(text) == []
    assert redact(text) == text


def test_every_pattern_hides_something_above() -> None:
    names = [pattern.name for pattern in PATTERNS]
    assert len(set(names)) == len(names)
    used = set()
    for text in (normalise(marked(example)[0]).text for examples in HIDDEN.values() for example in examples):
        for pattern in PATTERNS:
            matches = pattern.regex.finditer(text.translate(SPOKEN) if pattern.digits else text)
            used |= {pattern.name for match in matches if pattern.check(match)}
    assert used == set(names)


def test_spans_are_of_the_original() -> None:
    assert personal_spans("㎡！！電話１３８１２３４５６７８") == [
        PersonalSpan(kind=PersonalKind.PHONE, span=Span(5, 16))
    ]


def test_an_official_stays_where_the_complainant_goes() -> None:
    text = "我叫谢长根，青禾县财政局李大福局长扣了我的钱，他叫我谢长根别告了。"
    assert redact(text) == "我叫***，青禾县财政局李大福局长扣了我的钱，他叫我***别告了。"


@pytest.mark.parametrize(("figures", "good"), [(ID, True), ("440524188001010014", True), (ID[:-1] + "1", False)])
def test_check_character(figures: str, good: bool) -> None:
    assert checksum(figures) is good


def test_luhn() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")


def test_a_card_that_does_not_add_up_is_another_number() -> None:
    wrong = CARD[:-1] + str((int(CARD[-1]) + 1) % 10)
    assert redact(f"流水{wrong}查不到") == f"流水{wrong}查不到"


def test_line_breaks_stay() -> None:
    assert redact("138\v1234\x855678") == "***\v****\x85****"
    assert redact("此致\r\n敬礼\r\n王小明\r\n") == "此致\r\n敬礼\r\n***\r\n"


PIECES = st.sampled_from(
    [
        "我叫",
        "王小明",
        "13812345678",
        "幺三八",
        ID,
        CARD,
        "住",
        "3号楼",
        "2单元",
        "\n",
        "\r\n",
        " ",
        "，",
        "！",
        "㎡",
        "電話",
        "😀",
        "\u200b",
        "\ud83d",
        "\u2028",
        "\v",
        "一",
        "1",
    ]
)


@given(st.lists(PIECES | st.characters(exclude_categories=[]), max_size=30).map("".join))
def test_hiding_moves_nothing(text: str) -> None:
    redacted = redact(text)
    assert len(redacted) == len(text)
    for before, after in zip(text, redacted, strict=True):
        assert after in {before, MASK}
        assert before not in "\r\n" or after == before


@given(st.lists(PIECES | st.sampled_from(["姓名：", "身份证", "电话", "单元", "室", "*"]), max_size=20).map("".join))
def test_a_second_pass_reveals_nothing(text: str) -> None:
    once = redact(text)
    assert all(after == MASK for before, after in zip(once, redact(once), strict=True) if before == MASK)


@pytest.mark.parametrize("example", [text for texts in HIDDEN.values() for text in texts])
def test_hidden_text_hides_nothing_more(example: str) -> None:
    text, _ = marked(example)
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "幺",
        "1 ",
        "我叫",
        "号楼",
        "1号楼1单元",
        "\n王小 ",
        "住",
        "住一号",
        "我叫王小明",
        "姓名:王小",
        "A@",
        "电话1",
        "3栋",
        "\n王",
        "我是我的",
        "微信a",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("start", ["\n", "\n王小明", "姓名:", "电话", "住"])
@pytest.mark.parametrize("blank", [" ", "\t", "\n", " \n"])
def test_no_blanks_take_long(start: str, blank: str) -> None:
    text = f"{start}{(blank * 20_000)[:20_000]}x"
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 2
