from concurrent import futures

import pytest

from simsearch import whole_files


def write(path, content, **options):
    with whole_files.writing(path, **options) as file:
        file.write(content[:1])
        file.write(content[1:])


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("syncs", [True, False])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, error, syncs):
    path = tmp_path / "a.json"
    write(path, b"old", syncs=syncs)
    with pytest.raises(error):
        with whole_files.writing(path, syncs=syncs) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
            raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_draft_is_hidden_and_the_folder_must_be_there(tmp_path):
    with whole_files.writing(str(tmp_path / "a")):
        [draft] = tmp_path.iterdir()
        assert draft.name.startswith(".")
    write(tmp_path / ("a" * 255), b"")  # As long as a name may be.
    (tmp_path / "file").touch()
    for folder, error in (("file", NotADirectoryError), ("gone", FileNotFoundError)):
        with pytest.raises(error):
            write(tmp_path / folder / "a", b"")


def test_threads_write_the_same_file(tmp_path):
    contents = [bytes([i]) * 10_000 for i in range(40)]
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write(tmp_path / "a", content, syncs=False), contents))
    assert (tmp_path / "a").read_bytes() in contents and len(list(tmp_path.iterdir())) == 1
