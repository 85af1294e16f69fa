"""Send a request whose body is too large, beyond its refusal."""

from __future__ import annotations

import socket
import time

from burnish.http_guard import LARGEST_BODY


def answer_to_oversized(port: int, path: str) -> bytes:
    """Return the answer to a POST on loopback that announces one byte too much and sends 20 MB of it."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {LARGEST_BODY + 1}\r\n\r\n".encode())
        for _ in range(20):
            connection.sendall(b" " * 1_000_000)
            time.sleep(0.01)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    return answer
