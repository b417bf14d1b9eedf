"""Where the server may fetch from, and which files it reads and keeps.

No packet leaves this machine: names are looked up in a table, connections are not made.
"""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from tests.videollm.web_server import serving
from videollm.errors import RequestError, SourceAccessError, VideoError
from videollm.serve.addresses import AddressRule, is_public
from videollm.serve.media_sources import MediaSources
from videollm.serve.media_store import MediaStore, StoredFile, TooLargeError

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.9.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:c0a8:101::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "ff02::1",
    "2001:db8::1",
    "nonsense",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_on_the_open_internet_is_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"]
)
def test_what_is_on_it_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://0x7f000001/a",
        "http://2130706433/a",
        "http://017700000001/a",
        "http://127.1/a",
        "http://0/a",
        "http://localhost/a",
        "http://LOCALHOST./a",
        "http://[::1]/a",
        "http://[::ffff:127.0.0.1]/a",
        "http://[0:0:0:0:0:ffff:7f00:1]/a",
        "http://\uff11\uff12\uff17.0.0.1/a",
        "http://127\u30020\u30020\u30021/a",
    ],
)
def test_odd_spellings_of_this_machine_are_refused(url: str) -> None:
    # some systems know no such notation and say so
    with pytest.raises((SourceAccessError, OSError)) as refused:
        AddressRule().connect(urlsplit(url), 5.0)
    assert isinstance(refused.value, OSError) or "open internet" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:word@example.org/a", "holds a name or password"),
        ("http://example.org\\@127.0.0.1/a", "no well-formed"),
        ("http://exa mple.org/a", "no well-formed"),
        ("http://example.org/a\r\nHost: b", "no well-formed"),
        ("http:///a", "no well-formed"),
        ("http://[::1/a", "no well-formed"),
        ("http://example.org:99999/a", "no well-formed"),
        ("http://example.org:0/a", "no well-formed"),
        ("gopher://example.org/a", "not fetched"),
        ("file:///etc/passwd", "no well-formed"),
    ],
)
def test_addresses_that_programs_read_differently_are_refused(url: str, told: str) -> None:
    with pytest.raises(SourceAccessError, match=told):
        AddressRule().check(url)


def test_one_private_address_among_public_ones_is_enough() -> None:
    rule = AddressRule(resolve=lambda *_: ["93.184.216.34", "10.0.0.7"])
    with pytest.raises(SourceAccessError, match=r"mixed\.example is not on the open internet"):
        rule.connect(urlsplit("https://mixed.example/a"), 5.0)


def test_a_name_is_looked_up_once_and_its_judged_address_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    dialled: list[tuple[str, int]] = []

    def dial(address: tuple[str, int], timeout: float) -> socket.socket:
        dialled.append(address)
        raise OSError("no packet leaves this machine")

    monkeypatch.setattr(socket, "create_connection", dial)
    rule = AddressRule(resolve=lambda *_: next(answers))
    connection, target = rule.connect(urlsplit("http://rebind.example:8080/a?b=c"), 5.0)
    assert (connection.host, target) == ("rebind.example", "/a?b=c")
    with pytest.raises(OSError, match="no packet"):
        connection.connect()
    assert dialled == [("93.184.216.34", 8080)]
    with pytest.raises(SourceAccessError, match="open internet"):
        rule.connect(urlsplit("http://rebind.example:8080/a"), 5.0)


def test_the_certificate_is_that_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Context:
        def wrap_socket(self, sock: object, server_hostname: str) -> object:
            names.append(server_hostname)
            return sock

    monkeypatch.setattr(socket, "create_connection", lambda *_: object())
    monkeypatch.setattr("ssl.create_default_context", Context)
    rule = AddressRule(resolve=lambda *_: ["93.184.216.34"])
    connection, _ = rule.connect(urlsplit("https://safe.example/a"), 5.0)
    connection.connect()
    assert (names, connection.port) == (["safe.example"], 443)


class Redirecting(AddressRule):
    """Reach a test's server by a public name; every other name has the address of its label."""

    def __init__(self, port: int) -> None:
        super().__init__(resolve=self.look_up)
        self.port = port
        self.asked: list[str] = []

    def look_up(self, host: str, port: int, seconds: float) -> list[str]:
        self.asked.append(host)
        return ["93.184.216.34"] if host == "public.example" else [host.strip("[]")]

    def connect(self, parts: SplitResult, seconds: float) -> tuple[http.client.HTTPConnection, str]:
        _, target = super().connect(parts, seconds)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds), target


@pytest.fixture
def store() -> Iterator[MediaStore]:
    with MediaStore(max_file_bytes=2**20, max_bytes=3 * 2**20) as store:
        yield store


@pytest.mark.parametrize("target", ["127.0.0.1", "169.254.169.254", "[::1]", "10.0.0.1"])
def test_a_redirect_to_a_private_address_is_refused(
    store: MediaStore, tmp_path: Path, target: str
) -> None:
    with serving(tmp_path) as server:
        rule = Redirecting(server.server_port)
        sources = MediaSources(store=store, rule=rule)
        with pytest.raises(VideoError, match="open internet"):
            sources.find(f"http://public.example/to/http://{target}/latest/meta-data")
    assert rule.asked == ["public.example", target.strip("[]")]
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://public.example/x"])
def test_a_redirect_to_no_web_address_is_refused(
    store: MediaStore, tmp_path: Path, target: str
) -> None:
    with serving(tmp_path) as server:
        sources = MediaSources(store=store, rule=Redirecting(server.server_port))
        with pytest.raises(VideoError, match="no web address"):
            sources.find(f"http://public.example/to/{target}")


def test_a_download_is_kept_and_one_that_is_too_large_is_not(
    store: MediaStore, clip_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(clip_path.read_bytes())
    (tmp_path / "large.mp4").write_bytes(b"x" * (2**20 + 1))
    with serving(tmp_path) as server:
        sources = MediaSources(store=store, rule=Redirecting(server.server_port))
        file = sources.find("http://public.example/plain/a.mp4")
        assert file.path.read_bytes() == clip_path.read_bytes()
        num_asked = len(server.asked)
        assert sources.find("http://public.example/plain/a.mp4") is file
        assert len(server.asked) == num_asked
        for kind in ("plain", "live"):
            with pytest.raises((TooLargeError, VideoError)):
                sources.find(f"http://public.example/{kind}/large.mp4")
    assert len(list(store.folder.iterdir())) == 1


@pytest.mark.parametrize(
    "address",
    [
        "{media}/../secret.mp4",
        "{media}/..%2fsecret.mp4",
        "{media}/link.mp4",
        "{media}/folder/../../secret.mp4",
        "file://{media}/%2e%2e/secret.mp4",
        "file://elsewhere{media}/a.mp4",
        "file:///etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "{media}",
        "{media}/nothing.mp4",
        "{media}/a.mp4\0.txt",
        "{media}/" + "x" * 5000,
        "{media}-other/a.mp4",
    ],
)
def test_only_files_under_an_allowed_folder_are_read(
    store: MediaStore, tmp_path: Path, clip_path: Path, address: str
) -> None:
    media = tmp_path / "media"
    (media / "folder").mkdir(parents=True)
    (tmp_path / "media-other").mkdir()
    for path in ("media/a.mp4", "secret.mp4", "media-other/a.mp4"):
        (tmp_path / path).write_bytes(clip_path.read_bytes())
    (media / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    sources = MediaSources(store=store, rule=AddressRule(), folders=[media])
    assert sources.find(f"{media}/a.mp4").path == media / "a.mp4"
    assert sources.find(f"file://{media}/folder/../a.mp4").path == media / "a.mp4"
    with pytest.raises(SourceAccessError, match="is not in a folder that may be read"):
        sources.find(address.format(media=media))
    with pytest.raises(SourceAccessError, match="is not in a folder that may be read"):
        MediaSources(store=store, rule=AddressRule()).find(f"{media}/a.mp4")


def test_the_store_stays_within_its_size_and_forgets(clip_path: Path) -> None:
    now = [0.0]
    with MediaStore(
        max_file_bytes=100, max_bytes=250, keep_seconds=10, clock=lambda: now[0]
    ) as store:

        def keep(key: str, num_bytes: int, *, is_upload: bool = False) -> StoredFile:
            path = store.new_path("x")
            path.write_bytes(b"x" * num_bytes)
            return store.add(StoredFile(key, path, num_bytes, is_upload=is_upload))

        with pytest.raises(TooLargeError, match="the file has"):
            keep("large", 101)
        first, second = keep("a", 100), keep("b", 100)
        now[0] = 1.0
        assert store.find("a") is first
        keep("c", 100)  # the one that was used the longest ago makes room
        assert store.find("b") is None
        assert not second.path.exists()
        with store.hold([first]):
            now[0] = 100.0
            assert store.find("c") is None
            assert store.find("a") is first
            store.delete(first)
            assert first.path.exists()
        assert not first.path.exists()
        for key in "def":
            if key != "f":
                keep(key, 100, is_upload=True)
        with pytest.raises(TooLargeError, match="delete files, or try again later"):
            keep("f", 100, is_upload=True)
        assert [file.key for file in store.uploads()] == ["d", "e"]
    assert not store.folder.exists()


def test_a_data_url_in_percent_signs_is_read(store: MediaStore) -> None:
    sources = MediaSources(store=store, rule=AddressRule())
    assert sources.find("data:video/mp4,%00%01a").path.read_bytes() == b"\0\1a"
    with pytest.raises(RequestError, match="has no comma"):
        sources.find("data:video/mp4;base64")
    with pytest.raises(TooLargeError, match="the file has"):
        sources.find("data:," + "a" * (2**20 + 1))
