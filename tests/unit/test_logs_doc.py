"""docs/logs.md lists the fields of a request's line that there are, and no others."""

import re

from serve_app.http.request_log import FIELDS
from serve_app.log_config import LogConfig
from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")


def test_every_field_has_its_row_and_every_row_its_field() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == list(FIELDS.items())


def test_every_key_of_the_configuration_is_explained_with_its_default() -> None:
    example = PAGE.partition("```yaml\nlog:\n")[2].partition("```")[0]
    explained = dict(re.findall(r"^  (\w+): (\w+)", example, re.MULTILINE))
    defaults = {name: field.default for name, field in LogConfig.model_fields.items()}
    assert explained == {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in defaults.items()
    }
