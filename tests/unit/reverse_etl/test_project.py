"""`pb_project.yaml` in all its spellings, and what is said about what is wrong with it."""

from pathlib import Path
from textwrap import dedent

import pytest

from edgeprofile.demo.warehouse import PROJECT
from edgeprofile.reverse_etl.errors import ProjectError
from edgeprofile.reverse_etl.project import Project, read_project


@pytest.fixture
def read(tmp_path: Path):
    def write_and_read(text: str, **options) -> Project:
        (tmp_path / "pb_project.yaml").write_text(dedent(text))
        return read_project(tmp_path, **options)

    return write_and_read


def refusal(read, text: str) -> str:
    with pytest.raises(ProjectError) as caught:
        read(text)
    return str(caught.value)


class TestSpellings:
    def test_feature_views(self, read):
        (source,) = read("""
            entities:
              - name: user
                id_types: [main_id, email]
                feature_views:
                  using_ids:
                    - id: email
                      name: features_by_email
        """).sources
        assert (source.entity, source.id_type, source.id_column) == ("user", "email", "email")
        assert source.views == ("features_by_email", "user_features_by_email")
        assert source.name == "user by email"

    def test_a_nameless_view_has_the_new_name_first_then_the_legacy_one(self, read):
        (source,) = read("""
            entities: [{name: user, feature_views: {using_ids: [{id: email}]}}]
        """).sources
        assert source.views == ("user_feature_view_using_email", "email_user_default_entity_serve_360")

    def test_a_null_name_is_no_name(self, read):
        (source,) = read("entities: [{name: user, feature_views: {using_ids: [{id: email, name: }]}}]").sources
        assert source.views[0] == "user_feature_view_using_email"

    @pytest.mark.parametrize(
        "block",
        [
            "serve_traits: [{id_served: email, name: by_email}]",
            "serve_traits_360: {using_ids: [{id: email, name: by_email}]}",
            "feature_views: {using_ids: [{id: email, name: by_email}]}",
        ],
    )
    def test_older_spellings_mean_the_same(self, read, block):
        (source,) = read(f"entities: [{{name: user, {block}}}]").sources
        assert (source.id_type, source.views[0]) == ("email", "by_email")

    def test_the_newest_spelling_wins(self, read):
        (source,) = read("""
            entities:
              - name: user
                serve_traits: [{id_served: email, name: old}]
                feature_views: {using_ids: [{id: email, name: new}]}
        """).sources
        assert source.views[0] == "new"

    def test_merged_mappings_are_read(self, read):
        project = read("""
            views: &views
              feature_views: {using_ids: [{id: email}]}
              name: nobody
            others: &others
              id_types: [email]
              name: nobody else
            entities:
              - <<: *views
                name: user
              - name: account
                <<: [*views, *others]
              - <<: [*others, *views]
        """)
        assert [one.name for one in project.sources] == ["user by email", "account by email", "nobody else by email"]

    def test_each_id_of_each_entity_is_a_source(self, read):
        project = read("""
            entities:
              - name: user
                feature_views: {using_ids: [{id: email}, {id: anonymous_id}]}
              - name: account
                feature_views: {using_ids: [{id: domain}]}
        """)
        assert [one.name for one in project.sources] == ["user by email", "user by anonymous_id", "account by domain"]

    def test_the_project_file_itself_may_be_named(self, tmp_path):
        file = tmp_path / "other.yaml"
        file.write_text("entities: [{name: user, feature_views: {using_ids: [{id: email}]}}]")
        assert read_project(file).file == str(file)

    def test_the_connection_is_read(self, read):
        text = "entities: [{name: user, feature_views: {using_ids: [{id: email}]}}]"
        assert read(f"connection: prod\n{text}").connection == "prod"
        assert read(text).connection is None

    def test_the_demo_project_is_one(self):
        assert [one.id_type for one in read_project(PROJECT).sources] == ["email", "anonymous_id", "user_id"]
        assert read_project(PROJECT).notices == ()


class TestDefaultView:
    TEXT = """
        entities:
          - name: user
            id_column_name: rudder_id
            feature_views:
              name: all_features
              using_ids: [{id: email}]
    """

    def test_it_is_left_out_unless_asked_for(self, read):
        assert [one.id_type for one in read(self.TEXT).sources] == ["email"]

    def test_its_name_and_id_column_can_be_given(self, read):
        default = read(self.TEXT, default_view=True).sources[0]
        assert (default.views, default.id_column, default.id_type) == (("all_features",), "rudder_id", "rudder_id")
        assert default.is_default

    def test_its_usual_name_and_id_column(self, read):
        text = "entities: [{name: user, feature_views: {using_ids: [{id: email}]}}]"
        default = read(text, default_view=True).sources[0]
        assert (default.views, default.id_column) == (("user_feature_view",), "user_main_id")

    @pytest.mark.parametrize("spelling", ["main_id", "user_main_id"])
    def test_the_main_id_among_the_ids_stands_for_it(self, read, spelling):
        text = f"entities: [{{name: user, id_types: [main_id], feature_views: {{using_ids: [{{id: {spelling}}}]}}}}]"
        (source,) = read(text).sources
        assert source.is_default
        assert source.views == ("user_feature_view",)


class TestFeatures:
    def test_features_named_one_by_one_are_remembered(self, read):
        (source,) = read("""
            entities:
              - name: user
                feature_views:
                  using_ids: [{id: email}]
                  features:
                    - {from: models/vars, include: ["*"]}
                    - {from: models/cart, include: [churn, spend, churn], exclude: [spend]}
        """).sources
        assert source.included == ("churn",)

    def test_a_rule_without_from_is_refused(self, read):
        message = refusal(
            read, "entities: [{name: user, feature_views: {using_ids: [{id: email}], features: [{include: [a]}]}}]"
        )
        assert "entities[0].feature_views.features[0]: has no `from`" in message


class TestRefusals:
    """Each names file, line and key, and says what to do."""

    def test_no_feature_views_says_to_list_the_ids(self, read):
        message = refusal(
            read,
            """
            entities:
              - name: user
                id_types: [main_id, email]
        """,
        )
        assert "pb_project.yaml:3: entities[0]: has no `feature_views`" in message
        assert "- id: email" in message
        assert "id_types: [main_id, email]" in message

    def test_no_ids_says_to_list_them(self, read):
        assert "names no ids in `using_ids`" in refusal(read, "entities: [{name: user, feature_views: {using_ids: }}]")
        assert "names no ids in `using_ids`" in refusal(read, "entities: [{name: user, feature_views: }]")

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            ("{name: account}", "has no `feature_views`, so there is nothing to sync"),
            ("{name: account, feature_views: {using_ids: }}", "names no ids in `using_ids`"),
        ],
    )
    def test_an_entity_without_is_only_noted_where_another_has_some(self, read, other, told):
        project = read(f"entities: [{other}, {{name: user, feature_views: {{using_ids: [{{id: email}}]}}}}]")
        assert [one.name for one in project.sources] == ["user by email"]
        (notice,) = project.notices
        assert told in notice
        assert "pb_project.yaml:1: entities[0]" in notice
        assert "\n" not in notice

    @pytest.mark.parametrize("text", ["name: x", "entities: []", "entities: "])
    def test_no_entities(self, read, text):
        assert "has no `entities`" in refusal(read, text)

    @pytest.mark.parametrize(
        ("text", "where", "what"),
        [
            ("entities: user", "1: entities:", "must be a list, not a single value"),
            ("entities:\n  - user", "2: entities[0]:", "must be a mapping, not a single value"),
            ("entities:\n  - name: [user]", "2: entities[0].name:", "must be a name, not a list"),
            ("entities:\n  - name: ''", "2: entities[0].name:", "must not be empty"),
            ("entities:\n  - id_types: [a]", "2: entities[0]:", "has no `name`"),
            (
                "entities:\n- name: u\n  feature_views:\n    using_ids:\n    - name: x",
                "5: entities[0].feature_views.using_ids[0]:",
                "has no `id`",
            ),
            (
                "entities:\n- name: u\n  id_types: [email]\n  feature_views:\n    using_ids:\n    - id: emial",
                "6: entities[0].feature_views.using_ids[0].id:",
                "'emial' is no id type of entity 'u'; its id types: email",
            ),
        ],
    )
    def test_wrong_shapes(self, read, text, where, what):
        message = refusal(read, text)
        assert f"pb_project.yaml:{where}" in message
        assert what in message

    def test_a_view_declared_twice(self, read):
        text = "entities: [{name: u, feature_views: {using_ids: [{id: email, name: a}, {id: email, name: A}]}}]"
        assert "declares the same view again" in refusal(read, text)

    def test_no_yaml(self, read):
        message = refusal(read, "entities:\n  - name: 'user")
        assert "is not YAML" in message
        assert "pb_project.yaml:" in message

    def test_an_empty_file(self, read):
        assert "is empty" in refusal(read, "")

    def test_no_file(self, tmp_path):
        with pytest.raises(ProjectError, match=r"pb_project\.yaml: cannot be read: No such file"):
            read_project(tmp_path)

    def test_no_utf8(self, tmp_path):
        (tmp_path / "pb_project.yaml").write_bytes(b"name: \xff")
        with pytest.raises(ProjectError, match="is not UTF-8"):
            read_project(tmp_path)

    def test_the_error_carries_the_line(self, read):
        with pytest.raises(ProjectError) as caught:
            read("\n\nentities: user")
        assert (caught.value.line, caught.value.option) == (3, "entities")


class TestCohorts:
    @pytest.fixture
    def folder(self, tmp_path):
        text = "entities: [{name: user, feature_views: {using_ids: [{id: email}]}}]"
        (tmp_path / "pb_project.yaml").write_text(text)
        (tmp_path / "models").mkdir()
        return tmp_path

    def test_their_feature_views_are_said_not_to_be_supported(self, folder):
        (folder / "models" / "profiles.yaml").write_text(
            dedent("""
            models:
              - name: known_users
                model_type: entity_cohort
                model_spec:
                  extends: user/all
                  feature_views:
                    using_ids: [{id: email}]
              - name: stitcher
                model_type: id_stitcher
                model_spec: {}
            """)
        )
        (notice,) = read_project(folder).notices
        assert notice.startswith("models/profiles.yaml:8: not supported: the feature views of cohort 'known_users'")

    def test_one_without_model_type_and_name_is_told_too(self, folder):
        (folder / "models" / "profiles.yaml").write_text(
            "models: [{model_spec: {feature_views: {using_ids: [{id: email}]}}}]"
        )
        (notice,) = read_project(folder).notices
        assert "the feature views of cohort 'without a name'" in notice

    def test_a_model_file_that_cannot_be_read_is_only_noted(self, folder):
        (folder / "models" / "broken.yaml").write_text("models: [")
        (notice,) = read_project(folder).notices
        assert notice.startswith("cohorts were not looked for: models/broken.yaml")
