"""Read ``pb_project.yaml``: which views of the warehouse hold features, by which id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from edgeprofile.reverse_etl.errors import ProjectError
from edgeprofile.reverse_etl.yaml_document import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edgeprofile.reverse_etl.yaml_document import Spot

__all__ = ["Project", "Source", "read_project"]

PROJECT_FILE = "pb_project.yaml"
_SPELLINGS = ("feature_views", "serve_traits_360", "serve_traits")
_EXAMPLE = """list the ids by which features are to be looked up, for example

    entities:
      - name: {entity}
        id_types: [{ids}]
        feature_views:
          using_ids:
            - id: {id}
              name: features_by_{id}"""


class Source(Struct, frozen=True):
    """One feature view to sync.

    ``views`` are the names under which the warehouse may have it, the likeliest first; ``id_column`` is its
    primary key; ``included`` are features that the project names one by one; ``place`` is where it was declared.
    """

    entity: str
    id_type: str
    views: tuple[str, ...]
    id_column: str
    place: str
    included: tuple[str, ...] = ()
    is_default: bool = False

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.entity} by {self.id_type}"


class Project(Struct, frozen=True):
    """What a Profiles project says about its feature views.

    ``connection`` is its name in Profiles' ``siteconfig.yaml``; ``notices`` tell what is there and not synced.
    """

    file: str
    connection: str | None
    sources: tuple[Source, ...]
    notices: tuple[str, ...] = ()


def read_project(folder: Path, *, default_view: bool = False, may_be_empty: bool = False) -> Project:
    """Read the project in ``folder`` (or the ``pb_project.yaml`` itself).

    With ``default_view`` each entity's default view (by main id) is a source as well. Raises ``ProjectError``
    naming file, line and key, also where there is no source at all unless it ``may_be_empty``.
    """
    path = folder / PROJECT_FILE if folder.is_dir() else folder
    root = load(path)
    members = root.mapping()
    sources: list[Source] = []
    empty: list[ProjectError] = []
    for entity in _entities(root):
        sources += _sources(entity, empty, default_view=default_view)
    if not sources and not may_be_empty:
        raise empty[0]
    _refuse_doubles(root, sources)
    notices = (*(f"not synced: {str(error).splitlines()[0]}" for error in empty), *_notices(path.parent, members))
    connection = members["connection"].text() if "connection" in members else None
    return Project(str(path), connection, tuple(sources), notices)


def _entities(root: Spot) -> list[Spot]:
    entities = root.mapping().get("entities")
    if entities is None or not (listed := entities.sequence()):
        raise root.error("has no `entities`: a Profiles project names at least one entity, with its id types")
    return listed


def _sources(entity: Spot, empty: list[ProjectError], *, default_view: bool) -> Iterator[Source]:
    """The entity's sources; where it has none that is listed, ``empty`` is told how to list them."""
    members = entity.mapping()
    if "name" not in members:
        raise entity.error("has no `name`")
    name = members["name"].text()
    id_types = tuple(spot.text() for spot in members["id_types"].sequence()) if "id_types" in members else ()
    main_id = members["id_column_name"].text() if "id_column_name" in members else f"{name}_main_id"
    spelling = next((key for key in _SPELLINGS if key in members), None)
    if spelling is None:
        empty.append(entity.error(f"has no `feature_views`, so there is nothing to sync: {_example(name, id_types)}"))
        return
    block = members[spelling]
    included = _included(block) if spelling == "feature_views" else ()
    default = _default(block, name, main_id, included)
    if default_view:
        yield default
    entries = _using_ids(block)
    if not entries:
        example = _example(name, id_types)
        empty.append(block.error(f"names no ids in `using_ids`, so there is nothing to sync: {example}"))
    for entry in entries:
        yield _source(entry, name, id_types, default, included)


def _example(entity: str, id_types: tuple[str, ...]) -> str:
    first = next((one for one in id_types if one != "main_id"), "email")
    return _EXAMPLE.format(entity=entity, ids=", ".join(id_types or (first,)), id=first)


def _using_ids(block: Spot) -> list[Spot]:
    """The entries of either shape: ``{using_ids: [...]}`` or, as in ``serve_traits``, the bare list."""
    if not block.is_mapping and not block.is_null:
        return block.sequence()
    using = block.mapping().get("using_ids")
    return using.sequence() if using else []


def _default(block: Spot, entity: str, main_id: str, included: tuple[str, ...]) -> Source:
    members = block.mapping() if block.is_mapping else {}
    name = members["name"].text() if "name" in members else f"{entity}_feature_view"
    place = f"{block.file}:{block.line}"
    return Source(entity, main_id, (name,), main_id, place, included, is_default=True)


def _source(entry: Spot, entity: str, id_types: tuple[str, ...], default: Source, included: tuple[str, ...]) -> Source:
    members = entry.mapping()
    spot = members.get("id") or members.get("id_served")
    if spot is None:
        raise entry.error("has no `id`: name the id type by which this view is looked up")
    id_type = spot.text()
    if id_type in {"main_id", default.id_column}:
        return default
    if id_types and id_type not in id_types:
        raise spot.error(f"{id_type!r} is no id type of entity {entity!r}; its id types: {', '.join(id_types)}")
    views = _view_names(members.get("name"), entity, id_type)
    return Source(entity, id_type, views, id_type, f"{entry.file}:{entry.line}", included)


def _view_names(name: Spot | None, entity: str, id_type: str) -> tuple[str, ...]:
    if name is not None and not name.is_null:
        return name.text(), f"{entity}_{name.text()}"
    return f"{entity}_feature_view_using_{id_type}", f"{id_type}_{entity}_default_entity_serve_360"


def _included(block: Spot) -> tuple[str, ...]:
    """Features named one by one; ``["*"]`` stands for all and names none."""
    features = block.mapping().get("features")
    if features is None:
        return ()
    named: list[str] = []
    for rule in features.sequence():
        members = rule.mapping()
        if "from" not in members:
            raise rule.error("has no `from`: name the model that the features come from")
        chosen = [spot.text() for spot in _list(members, "include")]
        excluded = {spot.text() for spot in _list(members, "exclude")}
        named.extend(one for one in chosen if one != "*" and one not in excluded)
    return tuple(dict.fromkeys(named))


def _list(members: dict[str, Spot], key: str) -> list[Spot]:
    return members[key].sequence() if key in members else []


def _refuse_doubles(root: Spot, sources: Iterable[Source]) -> None:
    seen: dict[tuple[str, str, str], Source] = {}
    for source in sources:
        identity = (source.entity, source.id_type, source.views[0].casefold())
        if identity in seen:
            raise root.error(f"{source.place} declares the same view again as {seen[identity].place}: remove one")
        seen[identity] = source


def _notices(folder: Path, members: dict[str, Spot]) -> Iterator[str]:
    """Cohorts may have feature views of their own, declared in the model files."""
    folders = [spot.text() for spot in _list(members, "model_folders")] or ["models"]
    files = sorted(file for one in folders for file in (folder / one).glob("**/*.y*ml"))
    for file in files:
        shown = str(file.relative_to(folder))
        try:
            yield from _cohort_notices(load(file, shown))
        except ProjectError as error:
            yield f"cohorts were not looked for: {error}"


def _cohort_notices(root: Spot) -> Iterator[str]:
    models = root.mapping().get("models")
    for model in models.sequence() if models else []:
        members = model.mapping()
        spec = members["model_spec"].mapping() if "model_spec" in members else {}
        kind = members["model_type"].text() if "model_type" in members else ""
        if "feature_views" in spec and kind in {"entity_cohort", ""}:
            spot = spec["feature_views"]
            name = members["name"].text() if "name" in members else "without a name"
            yield (
                f"{spot.file}:{spot.line}: not supported: the feature views of cohort {name!r} "
                "are not synced; list its ids under the entity's `feature_views`"
            )
