"""The file of the profiles in use: what is wrong with it is said at the start, and stops nobody."""

import asyncio
from pathlib import Path

from edgeprofile_sidecar.warm_file import WarmFile


def test_a_folder_that_is_not_there_is_said_at_the_start_and_not_at_the_end(tmp_path, caplog):
    file = WarmFile(tmp_path / "nowhere" / "hot.json", clients=None, most=1)
    asyncio.run(file.read())
    assert file.done.is_set()
    assert caplog.messages == [f"the start is cold: sidecar.warmFile: nothing can be written to {tmp_path}/nowhere"]


def test_a_file_that_is_not_there_yet_is_not_worth_a_word(tmp_path: Path, caplog):
    asyncio.run(WarmFile(tmp_path / "hot.json", clients=None, most=1).read())
    assert caplog.messages == []
