"""opsdroid with its own Facebook connector, which knows graph.facebook.com alone: through the proxy, with nothing changed."""
import json
import os
import pathlib
import sys
import tempfile

directory = pathlib.Path(tempfile.mkdtemp())
skill = directory / "echo"
skill.mkdir()
(skill / "__init__.py").write_text(
    """
from opsdroid.matchers import match_regex
from opsdroid.skill import Skill


class Echo(Skill):
    @match_regex(r"(?s).*")
    async def echo(self, message):
        await message.respond(message.text)
"""
)
settings = {
    "logging": {"path": None},
    "welcome-message": False,
    "web": {"host": "127.0.0.1", "port": int(os.environ["PORT"])},
    "parsers": {"regex": {"enabled": True}},
    "connectors": {"facebook": {"verify-token": os.environ["VERIFY_TOKEN"], "page-access-token": "a token"}},
    "skills": {"echo": {"path": str(skill), "no-cache": True}},
}
# JSON is YAML.
configuration = directory / "configuration.yaml"
configuration.write_text(json.dumps(settings))
os.environ.setdefault("HOME", str(directory))
os.execv(sys.executable, [sys.executable, "-m", "opsdroid", "start", "-f", str(configuration)])
