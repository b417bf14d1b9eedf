"""Published layouts: recognised by content, classes in order, files where releases put them."""

import json
from pathlib import Path

import pytest

from tests.train.test_video_lists import pairs, read, touch, write
from videollm.errors import DataError
from videollm.train.video_lists import missing

KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,-3B32lodo2M,59,69,train,0
"air drumming",_dbcJuKJQNs,140,150,train,0
"tying knot (not on a tie)",aaaaaaaaaaa,0,10,validate,1
"air drumming",bbbbbbbbbbb,2.0,12.0,validate,0
"""


def record(identity: str, template: str | None) -> dict[str, str]:
    return {"id": identity, "label": "pushing a cup"} | ({"template": template} if template else {})


def coin_record(label: str, number: int, subset: str) -> dict[str, object]:
    times = {"duration": 90.5, "start": 12.5, "end": 80}
    return {"class": label, "recipe_type": number, "subset": subset, "annotation": [], **times}


def sources(path: Path, base: Path, **options: object) -> list[str]:
    entries = read(path, **options).entries
    return [str(Path(str(entry.source)).relative_to(base)) for entry in entries]


def test_kinetics_finds_files_below_class_and_split(tmp_path: Path) -> None:
    path = write(tmp_path, KINETICS)
    media = touch(
        tmp_path / "media",
        "-3B32lodo2M_000059_000069.mp4",
        "air drumming/_dbcJuKJQNs_000140_000150.mkv",
        "val/aaaaaaaaaaa_000000_000010.mp4",
        "val/air drumming/bbbbbbbbbbb_000002_000012.mp4",
    )
    files = sorted(str(file.relative_to(media)) for file in media.rglob("*.m*"))
    assert sorted(sources(path, media, media_folder=media)) == files
    videos = read(path, media_folder=media)
    assert videos.classes == ("abseiling", "air drumming", "tying knot (not on a tie)")
    assert [entry.label for entry in videos.entries] == [0, 1, 2, 1]
    assert {entry.start_seconds for entry in videos.entries} == {None}
    assert videos.entries[1].name == f"{path}:3"
    assert [entry.label for entry in read(path, subset="val", layout="kinetics").entries] == [1, 0]
    absent = read(path).entries
    assert missing(absent) == list(absent)
    assert absent[0].source == tmp_path / "-3B32lodo2M_000059_000069.mp4"


def test_kinetics_without_labels_is_for_pretraining(tmp_path: Path) -> None:
    path = write(tmp_path, "youtube_id,time_start,time_end,split\n-3B32lodo2M,59,69,test\n")
    assert sources(path, tmp_path, labelled=False) == ["-3B32lodo2M_000059_000069.mp4"]
    with pytest.raises(DataError, match=r"list\.csv:2: no label"):
        read(path)


def test_bad_kinetics_lists_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, KINETICS + "x,ccccccccccc,3\n")
    with pytest.raises(DataError, match=r"list\.csv:6: no line of a Kinetics list"):
        read(path)
    path = write(tmp_path, KINETICS)
    with pytest.raises(DataError, match="no video of 'test'; it has 'train', 'validate': give one"):
        read(path, subset="test")
    with pytest.raises(DataError, match="subset is 'dev'; give train, val, test, or leave it out"):
        read(path, subset="dev")


def test_ssv2_takes_the_template_and_the_order_of_its_labels(tmp_path: Path) -> None:
    records = [
        record("78687", "Pushing [something] off of [something]"),
        record("9", "Approaching [something] with your camera"),
    ]
    path = write(tmp_path, json.dumps(records), "something-something-v2-train.json")
    media = touch(tmp_path / "media", "78687.webm", "9.mp4")
    assert sources(path, media, media_folder=media) == ["78687.webm", "9.mp4"]
    assert read(path).classes == (
        "Approaching something with your camera",
        "Pushing something off of something",
    )
    names = ["Pushing something off of something", "Approaching something with your camera"]
    labels = {name: str(number) for number, name in enumerate(names)}
    write(tmp_path, json.dumps(labels), "labels.json")
    videos = read(path)
    assert videos.classes == tuple(names)
    assert [entry.label for entry in videos.entries] == [0, 1]
    assert videos.entries[1].source == tmp_path / "9.webm"
    with pytest.raises(DataError, match="subset is 'train'; .* this is ssv2"):
        read(path, subset="train")


def test_ssv2_test_list_has_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path, '[{"id": "1420"}, {"id": 7}]', "test.json")
    assert sources(path, tmp_path, labelled=False) == ["1420.webm", "7.webm"]
    with pytest.raises(DataError, match=r"test\.json\[0\]: no label"):
        read(path)
    path = write(tmp_path, '[{"id": "1420"}, {"template": "x"}]', "test.json")
    with pytest.raises(DataError, match=r'test\.json\[1\]: no "id"'):
        read(path, labelled=False)


def test_ucf101_counts_from_one_and_tests_by_folder(tmp_path: Path) -> None:
    write(tmp_path, "1 Archery\r\n2 BalanceBeam\r\n3 Biking\r\n", "classInd.txt")
    lines = ["Biking/v_Biking_g08_c01.avi", "Archery/v_Archery_g08_c02.avi"]
    train = write(tmp_path, f"{lines[0]} 3\r\n{lines[1]} 1\r\n", "trainlist01.txt")
    test = write(tmp_path, "\r\n".join(lines), "testlist01.txt")
    for path in (train, test):
        videos = read(path)
        assert videos.classes == ("Archery", "BalanceBeam", "Biking")
        assert [entry.label for entry in videos.entries] == [2, 0]
        assert sources(path, tmp_path) == lines
    write(tmp_path, f"{lines[0]} 2\n", "trainlist01.txt")
    with pytest.raises(DataError, match=r":1: the folder is Biking but class 2 of .* is Balance"):
        read(train)
    write(tmp_path, "Biking/other.avi 3\n", "trainlist01.txt")
    with pytest.raises(DataError, match=r":1: no line of UCF101; write Class/v_Class_g01_c01\.avi"):
        read(train, layout="ucf101")


def test_ucf101_without_its_classes_is_asked_for(tmp_path: Path) -> None:
    lines = "Biking/v_Biking_g08_c01.avi 3\nArchery/v_Archery_g08_c02.avi 1\n"
    path = write(tmp_path, lines, "trainlist01.txt")
    with pytest.raises(DataError, match="fits the layouts ucf101 and list; say which: layout"):
        read(path)
    assert read(path, layout="ucf101").classes == ("Archery", "Biking")
    assert [entry.label for entry in read(path, layout="list").entries] == [3, 1]
    assert read(path, labelled=False).entries[0].label is None


def test_breakfast_reads_activity_and_person_from_the_name(tmp_path: Path) -> None:
    names = [
        f"P{person:02d}_cam01_P{person:02d}_{activity}.avi"
        for person in (3, 15, 16, 46, 47, 54)
        for activity in ("tea", "friedegg")
    ]
    stereo = ["P54_stereo_P54_milk_ch0.avi", "P54_stereo_P54_milk_ch1.avi"]
    flat = touch(tmp_path / "flat", *names, *stereo)
    tree = touch(tmp_path / "tree", *(name.replace("_", "/", 2) for name in names + stereo))
    for folder, layout in ((flat, "auto"), (tree, "breakfast")):
        videos = read(folder, layout=layout)
        assert videos.classes[2:5] == ("tea", "pancake", "friedegg")
        assert len(videos.classes) == 10
        assert len(videos.entries) == 13
        assert all(name in file for file, name in pairs(videos))
        assert not any("ch1" in file for file, _ in pairs(videos))
    counts = {"test": 5, "train": 8, "test:s1": 4, "train:s1": 9, "test:s2": 2, "test:s4": 7}
    assert read(tree, layout="breakfast", subset="test:p47") == read(
        tree, layout="breakfast", subset="test"
    )
    for subset, count in counts.items():
        assert len(read(tree, layout="breakfast", subset=subset).entries) == count
    tested = {file for file, _ in pairs(read(flat, subset="test"))}
    assert tested == {name for name in names if name.startswith(("P47", "P54"))} | {stereo[0]}


def test_breakfast_folders_fit_two_layouts(tmp_path: Path) -> None:
    folder = touch(tmp_path, "P03/cam01/P03_tea.avi", "P04/cam01/P04_milk.avi")
    with pytest.raises(DataError, match="fits the layouts folders and breakfast; say which"):
        read(folder)
    assert read(folder, layout="folders").classes == ("P03", "P04")
    assert len(read(folder, labelled=False).entries) == 2


def test_bad_breakfast_folders_are_named(tmp_path: Path) -> None:
    folder = touch(tmp_path, "P03/cam01/P03_tea.avi", "P03/cam01/P03_toast.avi")
    with pytest.raises(DataError, match=r"P03_toast\.avi: no class is called 'toast'"):
        read(folder, layout="breakfast")
    with pytest.raises(DataError, match="no video of 'test:s3'; it has"):
        read(folder, layout="breakfast", subset="test:s3")
    for subset in ("val", "test:s5"):
        with pytest.raises(DataError, match=f"subset is '{subset}'; Breakfast has train and test"):
            read(folder, layout="breakfast", subset=subset)
    touch(folder, "odd.avi")
    with pytest.raises(DataError, match=r"odd\.avi: no name of Breakfast"):
        read(folder, layout="breakfast")


def test_coin_orders_classes_by_number_and_takes_the_part(tmp_path: Path) -> None:
    database = {
        "id-a": coin_record("PutOnQuiltCover", 2, "training"),
        "id-b": coin_record("ArcWeld", 1, "testing"),
        "id-c": coin_record("ChangeCarTire", 0, "training"),
    }
    path = write(tmp_path, json.dumps({"database": database}), "COIN.json")
    media = touch(tmp_path / "media", "id-a.mkv", "1/id-b.mp4")
    files = ["id-a.mkv", "1/id-b.mp4", "id-c.mp4"]
    assert sources(path, media, media_folder=media) == files
    videos = read(path)
    assert videos.classes == ("ChangeCarTire", "ArcWeld", "PutOnQuiltCover")
    assert [entry.label for entry in videos.entries] == [2, 1, 0]
    assert (videos.entries[0].start_seconds, videos.entries[0].end_seconds) == (12.5, 80.0)
    train = read(path, subset="train")
    assert train.classes == videos.classes
    assert train.entries == (videos.entries[0], videos.entries[2])
    assert sources(path, media, media_folder=media, subset="test", labelled=False) == files[1:2]
    with pytest.raises(DataError, match="no video of 'val'; it has 'testing', 'training'"):
        read(path, subset="val")
    del database["id-b"]["start"]
    with pytest.raises(DataError, match=r"COIN\.json\[id-b\]: needs class, subset, start and end"):
        read(write(tmp_path, json.dumps({"database": database}), "COIN.json"))


@pytest.mark.parametrize(("part", "count"), [("train", 9537), ("test", 3783)])
def test_real_ucf101_lists(shared: Path, part: str, count: int) -> None:
    videos = read(shared / "annotations" / "ucf101_splits" / f"{part}list01.txt")
    assert len(videos.entries) == count
    assert len(videos.classes) == len({entry.label for entry in videos.entries}) == 101
    assert videos.classes[0] == "ApplyEyeMakeup"
