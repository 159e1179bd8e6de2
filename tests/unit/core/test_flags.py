import pytest

from edgeprofile.core.flags import missing, with_missing


@pytest.mark.parametrize("flags", ["KA", "AK", "AKE", "KEAn", "AKEm", "Kg$lshzxetd", "KEg$lshzxetdn"])
def test_enough(flags):
    assert missing(flags) == ""
    assert with_missing(flags) == flags


@pytest.mark.parametrize(
    ("flags", "lacking"),
    [
        ("", "KA"),
        ("K", "A"),
        ("A", "K"),
        ("EA", "K"),
        ("Kghxe", "A"),
        ("Kg$lshzxet", "A"),  # without `d`, modules' keys such as JSON documents change in silence
        ("Eg$lshzxetd", "K"),
        ("ghx", "KA"),
    ],
)
def test_what_is_lacking(flags, lacking):
    assert missing(flags) == lacking
    assert with_missing(flags) == flags + lacking


def test_lower_case_letters_are_others():
    assert missing("ka") == "KA"
