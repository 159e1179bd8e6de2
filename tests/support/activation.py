"""What tests of the Activation API ask, and of whom."""

from typing import Any

from tests.support.sidecar import token

EVERYTHING = "ep_everything"
SCOPED = "ep_scoped"
DELETING = "ep_deleting"
TOKENS = (
    token(EVERYTHING),
    token(SCOPED, ("2Dest", "2Gone")),
    token(DELETING, permissions=("delete",)),
)
UNAUTHORIZED = {"error": "Unauthorized request. Please check your access token"}
NO_DESTINATION = {"error": "Invalid Destination. Please verify you are passing the right destination ID"}
ADA = {"type": "email", "value": "ada@example.com"}


def email(name: str) -> dict[str, str]:
    """An id of type `email`."""
    return {"type": "email", "value": name}


def asking(destination: object = "2Dest", identity: object = ADA, entity: object = "user", **more: object) -> Any:
    """A request's body; what is `...` is left out."""
    asked = {"entity": entity, "destinationId": destination, "id": identity, **more}
    return {name: value for name, value in asked.items() if value is not ...}
