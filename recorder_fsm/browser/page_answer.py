"""What the site answered for the call page, and whether that is its last word.

The last word is what Mattermost or its plugin says in a form of its own. All else may heal: a proxy's page, an empty
body, and the server's plain `404 page not found`, which also stands for a plugin that is off for some seconds (contract
6.13).
"""

from __future__ import annotations

import json

import attrs

from recorder_fsm.plain_text import plain

SENTENCES = {
    401: "Mattermost does not accept the recorder's token for the call page.",
    403: "Mattermost refused the recorder the call page.",
    404: "Mattermost has no call page: the Calls plugin is missing, disabled or too old.",
    501: "Mattermost has no call page: its plugins are disabled.",
}
REFUSED = "page_refused"
CODES = {401: "page_401", 403: "page_403", 404: "page_404", 501: "page_501"}
"""The codes of the errors for statuses that have a sentence; `REFUSED` is that of any other."""
LED_AWAY = "The address that the recorder has for Mattermost leads to another site."
HEALING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses with which also Mattermost itself only says that it cannot do it now."""
PLUGIN_REFUSES = "Forbidden"
"""What the plugin says to a request without the recorder's header (contract 3.1), as plain text."""
PLUGIN_IS_OFF = "404 page not found"
SHOWN_CHARS = 120


@attrs.frozen
class Answer:
    """An answer: `status` is 0 where there was none; `kind` and the begin of `text` are an error's.

    `elsewhere`: another address to which the request was redirected: of the site, its path, and there the answer came
    from; of another site, its origin, and there nobody was asked.
    """

    status: int
    kind: str = ""
    text: str = ""
    elsewhere: str = ""

    @property
    def good(self) -> bool:
        return self.status < 400 and not self.elsewhere

    @property
    def foreign(self) -> bool:
        """Whether another site should have answered."""
        return "://" in self.elsewhere

    @property
    def final(self) -> bool:
        """Whether Mattermost or the plugin itself says that this recorder gets no page."""
        if self.good or self.elsewhere or self.status in HEALING:
            return False
        if self.status == 403 and self.kind == "text/plain":
            return self.text.strip() == PLUGIN_REFUSES
        return self.kind == "application/json" and self._is_of_mattermost()

    def describe(self) -> str:
        """Return what was answered, in words for a cause."""
        if self.foreign:
            return (
                f"the call page leads to {self.elsewhere}, which is not the address in SITE_URL, and is not followed: "
                "the token would go along. SITE_URL must be the address at which Mattermost itself answers"
            )
        if self.elsewhere:
            return f"the call page was redirected to {self.elsewhere}, where the answer was HTTP {self.status}"
        words = f"the server answered HTTP {self.status} for the call page"
        if self.status == 404 and self.text.strip() == PLUGIN_IS_OFF:
            return f"{words}: the Calls plugin is off"
        if self.final:
            return f"{words}: {self._shown}" if self._shown else words
        if self.status in SENTENCES:
            return f"{words}, not in Mattermost's own words: {self._shown or 'without any'}"
        return words

    @property
    def _shown(self) -> str:
        return plain(" ".join(self.text.split()), SHOWN_CHARS)

    def _is_of_mattermost(self) -> bool:
        try:
            said = json.loads(self.text)
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("status_code") == self.status
