#!/bin/sh
# Installs the service from the folder in which this script lies, without any network.
# Usage: sh install.sh [folder of the environment, /opt/fenzhen if not given]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
target=${1:-/opt/fenzhen}

fail() {
  printf '错误：%s\n' "$*" >&2
  exit 2
}

read -r version system processor <"$here/TARGET"
[ "$(uname -s) $(uname -m)" = "$system $processor" ] ||
  fail "这些安装包用于 $system $processor，本机是 $(uname -s) $(uname -m)。"

python=''
for name in "python$version" python3 python; do
  if "$name" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1; then
    python=$name
    break
  fi
done
[ -n "$python" ] || fail "找不到 Python $version，请先安装（Debian、Ubuntu：python$version 和 python$version-venv）。"

(cd "$here" && sha256sum --quiet --check SHA256SUMS) || fail "文件不完整或被改动，请重新拷贝。"

[ -x "$target/bin/python" ] || "$python" -m venv "$target" || fail "不能建立 $target（需要 python$version-venv）。"

offline() {
  "$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-index \
    --find-links "$here/wheels" "$@" || fail "安装没有完成（原因见上）。"
}
offline --upgrade 'fenzhen[postgres]'
offline --force-reinstall --no-deps fenzhen

installed=$("$target/bin/fenzhen" version) || fail "装好的程序不能运行（原因见上）。"
printf '已安装：%s\n' "$(printf '%s\n' "$installed" | head -n 1)"
printf '启动：%s/bin/fenzhen serve；作为系统服务运行见 operations.md\n' "$target"
