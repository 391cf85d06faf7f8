"""Starting the HTTP service on an address that is known to be free, and saying where it is."""

import errno
import json
import socket

import uvicorn
from fastapi import FastAPI

from data.errors import FenzhenError

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


def greeting(bound: socket.socket) -> str:
    """Address, documentation page, and a curl line that works as it stands."""
    url = base_url(bound)
    body = json.dumps({"complaints": [{"id": "1", "text": SAMPLE}]}, ensure_ascii=False)
    return "\n".join(
        (
            f"分诊服务已启动：{url}",
            f"接口文档：    {url}/docs",
            "试一条：",
            f"  curl -s {url}/v1/triage -H 'Content-Type: application/json' -d '{body}'",
            "按 Ctrl+C 停止。",
        )
    )


def listen(app: FastAPI, bound: socket.socket) -> None:
    """Serve until interrupted. Listens before it greets, so that the curl line never comes too early."""
    bound.listen(BACKLOG)
    print(greeting(bound), flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False))
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        print("已停止。")
