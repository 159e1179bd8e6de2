"""Redis Cluster's hash slots: which slot a key has, and which node has a slot."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Container

__all__ = ["SLOTS", "Address", "Claims", "SlotMap", "slot", "slots_after", "tag_in"]

SLOTS: Final = 16_384

Address: TypeAlias = tuple[str, int]


def slot(key: bytes) -> int:
    """The slot of a key: the CRC16 of its hash tag if it has one, otherwise of all of it."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def slots_after(prefix: bytes) -> Callable[[bytes], int]:
    """The slot of a key by what follows this prefix: as `slot`, for many keys that begin alike."""
    begun = binascii.crc_hqx(prefix, 0)

    def of(rest: bytes) -> int:
        return slot(prefix + rest) if b"{" in rest else binascii.crc_hqx(rest, begun) % SLOTS

    return of if b"{" not in prefix else lambda rest: slot(prefix + rest)


def tag_in(slots: Container[int]) -> str:
    """A short hash tag whose slot is among these. Raises `LookupError` if there is none."""
    for number in range(64 * SLOTS):
        tag = f"{number:x}"
        if slot(tag.encode()) in slots:
            return tag
    raise LookupError("no tag leads to these slots: there are none")


class Claims(NamedTuple):
    """What a node says of itself: the part of its own line of ``CLUSTER NODES`` that does not change by itself.

    ``leaving`` are slots that it owns and that are on their way to another node, key by key: of what is not here any
    more, or never was, the other node knows. Equal texts are equal claims, so ``text`` is compared before it is read.
    """

    text: tuple[bytes, ...]

    @classmethod
    def parse(cls, reply: Any) -> Claims:
        """From a reply to ``CLUSTER NODES``. Raises `ValueError`, `TypeError` or `AttributeError` for what is none."""
        mark = reply.index(b" myself")
        line = reply[reply.rfind(b"\n", 0, mark) + 1 :].partition(b"\n")[0]
        name, _, flags, _, _, _, epoch, _, *slots = line.split()
        int(epoch)
        return cls((name, flags, epoch, *slots))

    @property
    def name(self) -> bytes:
        """The node's name, which it keeps for life."""
        return self.text[0]

    @property
    def epoch(self) -> int:
        """Of its claims: another one whenever a slot came to it that was not its own before."""
        return int(self.text[2])

    @property
    def slots(self) -> frozenset[int]:
        """What it serves; nothing for a replica."""
        if b"slave" in self.text[1]:
            return frozenset()
        return frozenset(number for part in self.text[3:] if part[:1] != b"[" for number in _numbers(part))

    @property
    def leaving(self) -> frozenset[int]:
        """What of that is on its way to another node."""
        moves = (part[1:].partition(b"->-") for part in self.text[3:] if part[:1] == b"[")
        return frozenset(int(number) for number, arrow, _ in moves if arrow)


def _numbers(part: bytes) -> range:
    first, _, last = part.partition(b"-")
    return range(int(first), int(last or first) + 1)


class SlotMap:
    """Who owns which slot, as one node sees it; equal if every slot has the same owner."""

    __slots__ = ("owners",)

    def __init__(self, owners: tuple[Address | None, ...]) -> None:
        self.owners = owners

    @classmethod
    def parse(cls, reply: Any, asked: Address) -> SlotMap:
        """From a reply to ``CLUSTER SLOTS``; a node without a name of its own is at the address that was asked.

        Raises `ValueError`, `TypeError` or `IndexError` for what is no such reply.
        """
        owners: list[Address | None] = [None] * SLOTS
        for first, last, primary, *_ in reply:
            host = primary[0].decode() if primary[0] not in {None, b"", b"?"} else asked[0]
            owners[first : last + 1] = [(host, int(primary[1]))] * (last - first + 1)
        if len(owners) != SLOTS:
            raise ValueError("slots beyond the last")
        return cls(tuple(owners))

    def of(self, address: Address) -> frozenset[int]:
        """The slots of one node."""
        return frozenset(number for number, owner in enumerate(self.owners) if owner == address)

    def with_owner(self, number: int, address: Address) -> SlotMap:
        """The same map but for one slot."""
        return SlotMap((*self.owners[:number], address, *self.owners[number + 1 :]))

    @property
    def addresses(self) -> list[Address]:
        """All owners, in the order of their first slots."""
        return [owner for owner in dict.fromkeys(self.owners) if owner is not None]

    @property
    def complete(self) -> bool:
        """Whether every slot has an owner."""
        return None not in self.owners

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotMap) and self.owners == other.owners

    def __hash__(self) -> int:
        return hash(self.owners)
