"""``fenzhen wheelhouse``: for machines without internet."""

from pathlib import Path
from typing import Annotated

from serving.commands.groups import argument, say


def wheelhouse(out: Annotated[Path, argument("放到哪个目录，应为新的或空的。")]) -> None:
    """下载离线安装所需的全部文件：拷到不能上网的机器上，运行其中的 install.sh 即可。

    适用于操作系统、处理器、Python 小版本都与本机相同的机器。
    """
    from serving.wheelhouse import make_wheelhouse

    say("正在下载和打包，约一两分钟……")
    wheels = make_wheelhouse(out)
    size = sum(wheel.stat().st_size for wheel in wheels) / 1_000_000
    print(f"{out}：{len(wheels)} 个安装包，共 {size:.0f} MB")
    print(f"拷到目标机器后运行：sh {out.name}/install.sh /opt/fenzhen")
