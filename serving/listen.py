"""Starting the HTTP service on an address that is known to be free, and saying where it is."""

import errno
import json
import shlex
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from data.errors import FenzhenError
from serving.limits import server_settings
from serving.local_key import local_key
from serving.logs import configure_logs

BACKLOG = 2048
SAMPLE = "窗口让找县市监局，市监局又说归镇里管，推来推去没人接。"


class AddressError(FenzhenError):
    """The service cannot listen on the address it was given."""

    code = "address_unusable"


def reserve(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises AddressError saying what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressError(f"地址 {host} 不能用：{error.strerror}。") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise AddressError(_refusal(host, port, error)) from error
    return bound


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return f"端口 {port} 已被占用。换一个端口：fenzhen serve --port {other}；或先停掉占用它的程序。"
    if error.errno == errno.EACCES:
        return f"没有权限监听端口 {port}（1024 以下需要管理员权限）。换一个端口：fenzhen serve --port 8600。"
    return f"不能监听 {host}:{port}：{error.strerror}。"


def base_url(bound: socket.socket) -> str:
    """The address as one on this machine would type it."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(bound: socket.socket, key: Path | None) -> str:
    """Address, pages, and a curl line that works as it stands where ``key`` is the file with this machine's own key."""
    url = base_url(bound)
    body = json.dumps({"complaints": [{"id": "1", "text": SAMPLE}]}, ensure_ascii=False)
    token = f"$(cat {shlex.quote(str(key))})" if key else "<密钥>"
    advice = () if key else ("还没有密钥？fenzhen keys create --help",)
    return "\n".join(
        (
            f"分诊服务已启动：{url}",
            f"接口文档：    {url}/docs（先登录；建账号：fenzhen accounts add 姓名 --role admin）",
            "试一条：",
            f"  curl -s {url}/v1/triage -H 'Content-Type: application/json' \\",
            f'    -H "Authorization: Bearer {token}" \\',
            f"    -d '{body}'",
            *advice,
            "按 Ctrl+C 停止。",
        )
    )


class _Server(uvicorn.Server):
    """Greets once the service has started, so that the curl line never comes too early."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, bound: socket.socket) -> None:
        super().__init__(config)
        self._app, self._bound = app, bound

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            runtime = self._app.state.runtime
            own = local_key(runtime.access, runtime.settings.data_dir) if runtime.settings.embedded else None
            print(greeting(self._bound, own), flush=True)


def listen(app: FastAPI, bound: socket.socket) -> None:
    """Serve until interrupted; raises what kept the service from starting."""
    bound.listen(BACKLOG)
    configure_logs(app.state.settings.log_level)
    server = _Server(uvicorn.Config(app, **server_settings(app)), app, bound)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        print("已停止。")
    except SystemExit:
        raise app.state.failure or AddressError("服务没有启动起来，原因见上。") from None
