"""Cameras: servers that send what real ones do, over the network of this machine."""

import io
import itertools
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

_PACKET = 188
"""Bytes of a packet of an MPEG transport stream."""
_CLOCK = 90_000


def as_jpeg(image: Image.Image | np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(data, "JPEG", quality=92)
    return data.getvalue()


@contextmanager
def http_camera(
    jpegs: Callable[[], Iterable[bytes]], rate: float = 25.0
) -> Iterator[tuple[str, list[str]]]:
    """Send JPEGs to whoever asks, as most network cameras do over HTTP.

    Args:
        jpegs: What each connection gets, from its beginning; then it is closed.
        rate: Pictures a second.

    Yields:
        The address, and what was asked for so far.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            try:
                for jpeg in jpegs():
                    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
                    time.sleep(1 / rate)
            except OSError:  # whoever watched has gone
                pass

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/video", asked


@contextmanager
def rtsp_camera(stream: Path) -> Iterator[str]:
    """Send an MPEG transport stream over and over, through RTSP's own connection.

    Every packet of RTP (RFC 3550) holds seven of the stream's (RFC 2250), and goes between the
    answers of RTSP (RFC 7826, interleaved).
    """
    data = stream.read_bytes()
    payloads = [data[at : at + 7 * _PACKET] for at in range(0, len(data), 7 * _PACKET)]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                while request := self._read():
                    self._answer(*request)
            except OSError:
                pass

        def _read(self) -> tuple[str, dict[str, str]] | None:
            method = self.rfile.readline().decode().split(" ")[0]
            fields = iter(lambda: self.rfile.readline().decode().strip(), "")
            named = dict(field.split(": ", 1) for field in fields)
            return (method, named) if method else None

        def _answer(self, method: str, fields: dict[str, str]) -> None:
            more, body = {}, ""
            if method == "OPTIONS":
                more["Public"] = "DESCRIBE, SETUP, PLAY, TEARDOWN"
            elif method == "DESCRIBE":
                more["Content-Type"] = "application/sdp"
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                body += "m=video 0 RTP/AVP 33\r\na=control:track\r\n"
            elif method == "SETUP":
                more |= {"Session": "1", "Transport": fields["Transport"]}
            more |= {"CSeq": fields["CSeq"], "Content-Length": str(len(body))}
            head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            self.wfile.write(f"RTSP/1.0 200 OK\r\n{head}\r\n{body}".encode())
            if method == "PLAY":
                self._play()

        def _play(self) -> None:
            began = time.monotonic()
            for number, payload in enumerate(itertools.cycle(payloads)):
                stamp = int((time.monotonic() - began) * _CLOCK) & 0xFFFFFFFF
                rtp = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, stamp, 7) + payload
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
                time.sleep(0.002)

    with _serve(_Threading(("127.0.0.1", 0), Handler)) as port:
        yield f"rtsp://127.0.0.1:{port}/stream"


@contextmanager
def silent_camera() -> Iterator[str]:
    """Take connections, and never say anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/video"


def unused_port() -> int:
    """Give a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class _Threading(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def _serve(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
