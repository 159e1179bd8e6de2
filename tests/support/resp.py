"""The client's side of a Redis conversation, cut into whole commands."""

from typing import NamedTuple

_END = b"\r\n"


class Frame(NamedTuple):
    """One command and its bytes on the wire; no arguments where the bytes are no RESP command."""

    arguments: tuple[bytes, ...]
    raw: bytes

    @property
    def name(self) -> bytes:
        """The command's name in upper case, b"" where there is none."""
        return self.arguments[0].upper() if self.arguments else b""


class CommandReader:
    """Collects bytes until a command is whole. Bytes that are no RESP make it give up: they pass as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lost = False

    def feed(self, data: bytes) -> list[Frame]:
        """The commands that became whole with this data."""
        if self._lost:
            return [Frame((), data)]
        self._buffer += data
        frames = []
        while self._buffer and (frame := self._next()) is not None:
            del self._buffer[: len(frame.raw)]
            frames.append(frame)
        return frames

    def rest(self) -> bytes:
        """The beginning of a command that is not whole, given away: for the end of the stream."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _next(self) -> Frame | None:
        try:
            return self._array() if self._buffer[0] == ord("*") else self._inline()
        except ValueError:
            self._lost = True
            return Frame((), bytes(self._buffer))

    def _array(self) -> Frame | None:
        count, position = self._number(0)
        arguments: list[bytes] = []
        while len(arguments) < count and position:
            size, start = self._number(position)
            end = start + size
            if not start or len(self._buffer) < end + 2:
                return None
            arguments.append(bytes(self._buffer[start:end]))
            position = end + 2
        return Frame(tuple(arguments), bytes(self._buffer[:position])) if position else None

    def _inline(self) -> Frame | None:
        end = self._buffer.find(_END)
        line = self._buffer[: end if end >= 0 else None]
        if not line.isascii() or not line[:1].isalpha():
            raise ValueError(line)
        return Frame(tuple(bytes(line).split()), bytes(self._buffer[: end + 2])) if end >= 0 else None

    def _number(self, position: int) -> tuple[int, int]:
        """The number after the type byte at a position, and where the next thing begins: 0 when its line is not whole."""
        end = self._buffer.find(_END, position)
        if end < 0:
            return 0, 0
        if self._buffer[position] not in b"*$":
            raise ValueError(self._buffer[position:end])
        return int(self._buffer[position + 1 : end]), end + 2
