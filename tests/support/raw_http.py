"""Raw HTTP that no library would send: requests of the Activation API, broken in ways that are known to break servers.

A `Case` is what goes over one connection: good requests, one `Odd` piece, and good requests again. Each good request
asks for a number of its own, so that an answer that belongs to another request shows.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = 64
"""Numbers that there are profiles of, from 0."""

After = Literal["answered", "refused", "anything"]
"""What the odd piece comes to: one answer of any kind and on with the connection, a 4xx and its end, or whatever."""


@dataclass(frozen=True)
class Odd:
    """Something odd: its bytes, what it comes to, and the number that it must be answered with, if it is good."""

    kind: str
    wire: bytes
    after: After
    number: int | None = None


@dataclass(frozen=True)
class Case:
    """The numbers asked for before and after the odd piece; `cuts` are places where the bytes are sent apart."""

    before: tuple[int, ...]
    odd: Odd
    behind: tuple[int, ...]
    wire: bytes
    cuts: tuple[int, ...]


class Maker:
    """Makes cases; one seed makes the same ones again."""

    def __init__(self, seed: int, token: str, deleting: str) -> None:
        self.random = Random(seed)
        self.tokens = {"POST": token, "DELETE": deleting}
        self.kinds: tuple[Callable[[], Odd], ...] = (
            self._chunked,
            self._plain,
            self._truncated,
            self._flipped,
            self._two_lengths,
            self._length_and_chunks,
            self._bad_length,
            self._bad_chunks,
            self._odd_body,
            self._long_head,
            self._bare_lines,
            self._noise,
            self._elsewhere,
            self._odd_target,
        )

    def case(self) -> Case:
        odd = self.random.choice(self.kinds)()
        before = tuple(self._number() for _ in range(self.random.randrange(3)))
        behind = tuple(self._number() for _ in range(self.random.randrange(1, 3)))
        good = [self.good(number) for number in (*before, *behind)]
        wire = b"".join([*good[: len(before)], odd.wire, *good[len(before) :]])
        cuts = tuple(sorted(self.random.sample(range(len(wire)), min(self.random.randrange(3), len(wire)))))
        return Case(before, odd, behind, wire, cuts)

    def good(self, number: int) -> bytes:
        body = self._body(number)
        return self._head(f"Content-Length: {len(body)}") + body

    def _number(self) -> int:
        return self.random.randrange(NUMBERS)

    def _body(self, number: int | str) -> bytes:
        return (f'{{"entity":"user","destinationId":"2Dest","id":{{"type":"number","value":"{number}"}}}}').encode()

    def _head(self, *lines: str, end: str = "\r\n", request: str = "") -> bytes:
        """A head; without a ``request`` of its own (a method and a target) it asks for one profile."""
        request = request or self.random.choice(("POST /v1/activation", "POST /v2/activation"))
        secret = self.tokens.get(request.partition(" ")[0], self.tokens["POST"])
        given = (f"{request} HTTP/1.1", "Host: sidecar", f"Authorization: Bearer {secret}", *lines, "", "")
        return end.join(given).encode("latin-1")

    def _plain(self) -> Odd:
        number = self._number()
        return Odd("plain", self.good(number), "answered", number)

    def _chunks(self, body: bytes) -> list[bytes]:
        chunks = []
        while body:
            size = self.random.randrange(1, len(body) + 1)
            extension = self.random.choice((b"", b";x=y"))
            chunks.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
            body = body[size:]
        return [*chunks, b"0\r\n\r\n"]

    def _chunked(self) -> Odd:
        number = self._number()
        wire = self._head("Transfer-Encoding: chunked") + b"".join(self._chunks(self._body(number)))
        return Odd("chunked", wire, "answered", number)

    def _truncated(self) -> Odd:
        wire = self.good(self._number())
        return Odd("truncated", wire[: self.random.randrange(len(wire))], "anything")

    def _flipped(self) -> Odd:
        wire = bytearray(self.good(self._number()))
        for _ in range(self.random.randrange(1, 4)):
            place = self.random.randrange(len(wire))
            match self.random.randrange(3):
                case 0:
                    wire[place] = self.random.randrange(256)
                case 1:
                    wire.insert(place, self.random.choice(b"\x00\r\n \t:,%\xff\x80"))
                case _:
                    del wire[place]
        return Odd("flipped", bytes(wire), "anything")

    def _two_lengths(self) -> Odd:
        body = self._body(self._number())
        other = len(body) + self.random.choice((-7, -1, 1, 50))
        lines = [f"Content-Length: {len(body)}", f"Content-Length: {other}"]
        self.random.shuffle(lines)
        return Odd("two lengths", self._head(*lines) + body, "refused")

    def _length_and_chunks(self) -> Odd:
        body = self._body(self._number())
        lines = [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"]
        self.random.shuffle(lines)
        return Odd("length and chunks", self._head(*lines) + b"".join(self._chunks(body)), "refused")

    def _bad_length(self) -> Odd:
        length = self.random.choice(("-1", "+5", "0x10", "1e2", "5 5", "5,5", "", "\uff19", "9" * 40, "ten"))
        encoded = self._head("Content-Length: @").replace(b"@", length.encode())
        return Odd("bad length", encoded + self._body(0), "anything" if length == "9" * 40 else "refused")

    def _bad_chunks(self) -> Odd:
        broken = self.random.choice(
            (b"zz\r\n", b"-1\r\n", b"5\r\nabc", b"\r\n", b"ffffffffffffffffff\r\n", b"5\nabcde\n")
        )
        return Odd("bad chunks", self._head("Transfer-Encoding: chunked") + broken, "anything")

    def _odd_body(self) -> Odd:
        body = self.random.choice(
            (
                b"",
                b"\x00",
                b'{"entity":"\xff\xfe"}',
                b"[" * 30_000,
                b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":' + b"9" * 20_000 + b"}}",
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":1e999999999}}',
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":"\\ud800"}}',
                b'{"entity":"\\u0000","destinationId":"2Dest","id":{"type":"\\u0000","value":"\\u0000"}}',
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":"v"},"models":[[]]}',
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":"v"},"defaults":{"m":1e400}}',
                b'{"entity":"user","destinationId":"2Dest","id":{"type":"n","value":"v"},"defaults":'
                + b'{"a":' * 900
                + b"{}"
                + b"}" * 901,
                b" " * 70_000,
                self.random.randbytes(self.random.randrange(200)),
            )
        )
        after: After = "anything" if len(body) > 64 << 10 else "answered"  # which keeps the connection if it is read
        return Odd("odd body", self._head(f"Content-Length: {len(body)}") + body, after)

    def _elsewhere(self) -> Odd:
        """An odd body for the requests that take many ids, which name none that a good request asks for."""
        request = self.random.choice(("POST /v2/activation/batch", "DELETE /v2/activation"))
        ids = self.random.choice(
            (
                b"[]",
                b"[" * 30_000,
                b"[" * 900 + b"]" * 900,
                b'[null,5,"x",{},{"type":"n"},{"type":"n","value":[]}]',
                b'[{"type":"n","value":"\xff"}]',
                b'[{"type":"n","value":"\\udfff"},{"type":"n","value":"v"}]',
                b'[{"type":"\\u0000","value":"\\u0000"}]',
                b'[{"type":"n","value":' + b"9" * 20_000 + b"}]",
                b'[{"type":"n","value":-1e999},{"type":"n","value":1.}]',
                b'{"type":"n","value":"v"}',
                b"[" + b",".join(b'{"type":"n","value":%d}' % number for number in range(1_100)) + b"]",
            )
        )
        name = b"ids" if request.startswith("POST") else b"id"
        body = b'{"entity":"user","destinationId":"2Dest","%b":%b}' % (name, ids)
        return Odd("elsewhere", self._head(f"Content-Length: {len(body)}", request=request) + body, "answered")

    def _odd_target(self) -> Odd:
        method = self.random.choice(("GET", "OPTIONS", "PUT", "PATCH"))
        part = self.random.choice(
            ("v", "", "%", "%0", "%00", "%ff", "%zz", "%2F", "%25", "..", "a%0d%0a", "?", "//", "+")
        )
        query = self.random.choice(
            ("", "?", "?traits", "?traits=%ff", "?bundle=", "?destinationId=%00", "?models=&=&&")
        )
        path = self.random.choice(
            (f"/v2/profiles/user/n/{part}", f"/v2/profiles/{part}/n/v", "/openapi.json", f"/{part}")
        )
        return Odd("odd target", self._head(request=f"{method} {path}{query}"), "answered")

    def _long_head(self) -> Odd:
        line = self.random.choice(
            (f"X: {'x' * 20_000}", f"{'x' * 20_000}: x", "\r\n".join(f"X{n}: 1" for n in range(200)))
        )
        return Odd("long head", self._head("Content-Length: 0", line), "refused")

    def _bare_lines(self) -> Odd:
        body = self._body(self._number())
        end = self.random.choice(("\n", "\r", "\n\r", "\r\r\n"))
        return Odd("bare lines", self._head(f"Content-Length: {len(body)}", end=end) + body, "anything")

    def _noise(self) -> Odd:
        return Odd("noise", self.random.randbytes(self.random.randrange(1, 300)), "anything")
