import re

import pytest

from serve_app.http import docs_page
from tests.unit.http_fixtures import site

LINK = re.compile(r'(?:src|href)="(docs/[^"]+)"')


async def test_the_page_is_html_that_may_run_no_foreign_script() -> None:
    async with site(running=False) as running:
        answer = await running.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "<script>" not in answer.text


async def test_everything_that_the_page_asks_for_is_here() -> None:
    async with site(running=False) as running:
        page = await running.http.get("/docs")
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
        names = LINK.findall(page.text)
        assert {f"/{name}" for name in names} == docs_page.PATHS - {"/docs"}
        for name in names:
            assert (await running.http.get(f"/{name}")).status_code == 200


@pytest.mark.parametrize(
    ("name", "media_type", "beginning"),
    [
        ("swagger-ui-bundle.js", "text/javascript", "/*! For license information"),
        ("swagger-ui.css", "text/css", ".swagger-ui"),
        ("page.js", "text/javascript", "SwaggerUIBundle"),
        ("page.css", "text/css", "body"),
    ],
)
async def test_its_files_come_with_their_types(name: str, media_type: str, beginning: str) -> None:
    async with site(running=False) as running:
        answer = await running.http.get(f"/docs/{name}")
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith(beginning)


@pytest.mark.parametrize("name", ["redoc.standalone.js", "../__init__.py", "..%2F__init__.py", ""])
async def test_there_are_no_others(name: str) -> None:
    async with site(running=False) as running:
        answer = await running.http.get(f"/docs/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
