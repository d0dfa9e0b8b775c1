"""The HTTP surface: files, headers, refusals."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.web.security import LARGEST_BODY, host_name
from app.web.server import build_app
from tests.app.web.double import DoubleService

HERE = "http://127.0.0.1:7860"


@pytest.fixture
def client(service: DoubleService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    with TestClient(build_app(service, upload_folder=tmp_path), base_url=HERE) as client:
        yield client


def test_page_image(client: TestClient) -> None:
    answer = client.get("/page/documents/lease/pages/1.png?width=300")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"].startswith("private")
    assert answer.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert client.get("/page/documents/lease/pages/9.png").status_code == 404
    assert client.get("/page/documents/notes/pages/1.png").status_code == 404
    assert client.get("/page/documents/lease/pages/1.png?width=9").status_code == 422
    assert client.get("/page/documents/lease/pages/1.png?width=99999").status_code == 422


def test_original_is_a_download_of_no_known_type(client: TestClient, service: DoubleService) -> None:
    service.library["lease"] = replace(service.library["lease"], name='a"<b>\n.html')
    answer = client.get("/page/documents/lease/original")
    assert answer.content == b"original bytes"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "\n" not in answer.headers["content-disposition"]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/page/documents/nothing/original").status_code == 404


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "engine_ready": True, "worker_alive": True}


def test_page_has_a_strict_policy_and_every_script_its_nonce(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce
    assert "http" not in policy
    assert "script-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert "frame-ancestors 'none'" in policy
    tags = re.findall(r"<script[^>]*>", answer.text)
    assert tags
    assert all(f'nonce="{nonce.group(1)}"' in tag for tag in tags)
    assert client.get("/").headers["content-security-policy"] != policy


@pytest.mark.parametrize("path", ["/", "/healthz", "/page/documents/lease/original", "/nothing-here"])
def test_headers_are_on_everything(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == ("same-origin" if path == "/" else "no-referrer")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", ""])
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860"])
def test_loopback_is_served(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_writes_from_other_sites_are_refused(client: TestClient) -> None:
    def post(**headers: str) -> int:
        return client.post("/gradio_api/queue/join", json={}, headers=headers).status_code

    assert post(origin="http://evil.example") == 403
    assert post(origin="http://127.0.0.1:9999") == 403
    assert post(**{"sec-fetch-site": "cross-site"}) == 403
    assert post(origin=HERE, **{"sec-fetch-site": "same-origin"}) != 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1/x",
        "/gradio_api/file=HTTPS:/x",
        "/gradio_api/proxy=https://hf.space/x",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file/etc/hostname",
        "/gradio_api/dev/reload",
        "/monitoring",
        "/gradio_api/deep_link",
    ],
)
def test_routes_that_reach_out_are_closed(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_large_bodies_are_refused_before_they_are_read(service: DoubleService, tmp_path: Path) -> None:
    app = build_app(service, upload_folder=tmp_path, largest_file=1000)
    with TestClient(app, base_url=HERE) as client:
        for size, status in ((900, 200), (1100, 413)):
            sent = client.post("/gradio_api/upload", files={"files": ("a.txt", b"x" * size)})
            assert sent.status_code == status
        for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/sign-in", "/nothing"):
            announced = {"content-length": str(LARGEST_BODY + 1)}
            assert client.post(path, content=b"{}", headers=announced).status_code == 413
            assert client.post(path, content=iter([b"{}"])).status_code == 413  # of unknown size
        assert client.post("/gradio_api/queue/join", json={}).status_code == 422


def test_gradio_sends_no_analytics(
    service: DoubleService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED")  # the page itself says so
    with TestClient(build_app(service, upload_folder=tmp_path), base_url=HERE) as client:
        assert client.get("/config").json()["analytics_enabled"] is False


def test_page_names_no_outside_resource(client: TestClient) -> None:
    text = client.get("/").text
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:)?//[^"]*"', text)
    assert loaded == []
    first = re.search(r"<script[^>]*>", text)
    assert first is not None
    assert first.group().endswith('src="/page/asking.js">')  # before Gradio asks anything
    for script in ("/page/asking.js", "/page/attest.js"):
        assert client.get(script).status_code == 200
    assert client.get("/favicon.ico").headers["content-type"].startswith("image/svg")


def test_uploads_lie_in_a_private_folder_that_goes_away(service: DoubleService, tmp_path: Path) -> None:
    with TestClient(build_app(service, upload_folder=tmp_path), base_url=HERE):
        (folder,) = tmp_path.glob("attest-uploads-*")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_host_names() -> None:
    assert [host_name("[::1]:80"), host_name("a:1"), host_name("a"), host_name("")] == ["[::1]", "a", "a", ""]


def test_what_the_page_loads_is_packed_once_and_kept_for_good(client: TestClient) -> None:
    found = re.search(r'src="\./(assets/index-[^"]+\.js)"', client.get("/").text)
    assert found
    packed = client.get(found[1])
    assert packed.headers["content-type"].startswith("text/javascript")
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["x-content-type-options"] == "nosniff"
    plain = client.get(found[1], headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content
    assert len(plain.content) == int(plain.headers["content-length"]) > int(packed.headers["content-length"])
    for wrong in ("assets/none.js", "assets/../index.html", "assets/%2e%2e/index.html"):
        assert client.get(wrong).status_code in (403, 404)


def test_a_tab_that_outlived_its_server_goes_on(client: TestClient) -> None:
    """The new server never sent its list of collections to this session."""
    events = client.get("/config").json()["dependencies"]
    (tick,) = [each["id"] for each in events if each["targets"][0][1] == "tick"]
    body = {"data": ["Contracts", "17", None, None], "fn_index": tick, "session_hash": "of-another-time"}
    answer = client.post("/gradio_api/run/predict", json=body)
    assert answer.status_code == 200, answer.text
    assert "Office lease, Harbour Row.pdf" in answer.text
