"""Every error that the recorder raises on purpose.

    RecorderError               code, sentence, detail
    +-- SettingsError           the environment does not describe a job
    +-- DirectoryError          the job's directory cannot be used
    +-- ProgramError            a program is missing, did not start, or ended
    |   +-- DisplayError        Xvfb
    |   +-- AudioError          PulseAudio
    |   +-- BrowserError        Chromium or its driver
    |   +-- CaptureError        ffmpeg
    +-- CallError               the call page did not join
    |   +-- CallLost            it left by itself
    +-- RecordingError          the file cannot be finished or is not fit to publish
    +-- DeadlineError           a step took longer than it may
    +-- MattermostError         the server
        +-- ServerUnavailable   network, 5xx, 429, a busy session, whatever was not said by the server: may heal
        |   +-- SettingInTheWay until an administrator changes a setting
        +-- AccessRefused       the plugin's or the server's own 401, 403: will not heal by itself
        +-- RequestRejected     any other refusal of its own: will not heal by itself
        +-- JobOver             the plugin no longer runs this job

`code` is stable and short, for logs, reports and metrics. `sentence` is shown to people in the call: short, plain, no
secrets, no program output. `detail` is for the log and the report: what the program or the server said. Both pass
`plain_text`, whatever they are made of.
"""

from __future__ import annotations

from collections.abc import Sequence

from recorder_fsm.plain_text import plain

UNREACHABLE = "server_unreachable"
"""Code of a `ServerUnavailable`: the request never reached the server, so it cannot have had an effect."""
UNREADABLE = "reply_unreadable"
"""Code of a `ServerUnavailable`: somebody answered with a success in a form that the route does not have."""
PLUGIN_OFF = "plugin_off"
"""Code of a `ServerUnavailable`: the server answers on the routes of a Calls plugin that does not run."""


SENTENCE_CHARS = 300
DETAIL_CHARS = 2000
NAMED_VARIABLES = 6


class RecorderError(Exception):
    """An expected failure, with a stable code, a sentence for people and a detail for engineers."""

    code = "internal"
    sentence = "The recorder failed."

    def __init__(self, sentence: str = "", *, detail: str = "", code: str = "") -> None:
        self.sentence = plain(sentence, SENTENCE_CHARS) or self.sentence
        self.detail = plain(detail, DETAIL_CHARS)
        self.code = code or self.code
        super().__init__(f"{self.sentence} ({self.detail})" if self.detail else self.sentence)


class SettingsError(RecorderError):
    """`variables` are the environment variables at fault, `problems` says of each what is wrong.

    The text is `detail` alone: it begins as the original's.
    """

    code = "settings"
    sentence = "The recording job is not configured correctly."

    def __init__(self, sentence: str = "", *, detail: str = "", code: str = "", variable: str = "") -> None:
        super().__init__(sentence, detail=detail, code=code)
        self.variables: tuple[str, ...] = (variable,) if variable else ()
        self.problems: tuple[str, ...] = (self.detail or self.sentence,)

    @property
    def variable(self) -> str:
        """The variable that was refused first, "" where none is at fault."""
        return next(iter(self.variables), "")

    @classmethod
    def together(cls, errors: Sequence[SettingsError]) -> SettingsError:
        """Return one error for all that is wrong: whoever mends the first setting should not have to guess the next."""
        if len(errors) == 1:
            return errors[0]
        variables = tuple(name for error in errors for name in error.variables)
        shown = ", ".join(variables[:NAMED_VARIABLES])
        more = f" and {len(variables) - NAMED_VARIABLES} more" if len(variables) > NAMED_VARIABLES else ""
        problems = tuple(problem for error in errors for problem in error.problems)
        whole = cls(f"The recorder's settings {shown}{more} are not valid.", detail="; ".join(problems))
        whole.variables, whole.problems = variables, problems
        return whole

    def __str__(self) -> str:
        return self.detail or self.sentence


class DirectoryError(RecorderError):
    code = "directory"
    sentence = "The recorder cannot write to its data directory."


class ProgramError(RecorderError):
    code = "program"
    sentence = "A program that the recorder needs did not run."


class DisplayError(ProgramError):
    code = "display"
    sentence = "The virtual display failed."


class AudioError(ProgramError):
    code = "audio"
    sentence = "The sound server failed."


class BrowserError(ProgramError):
    code = "browser"
    sentence = "The recorder's browser failed."


class CaptureError(ProgramError):
    code = "capture"
    sentence = "The screen capture failed."


class CallError(RecorderError):
    code = "call"
    sentence = "The recorder could not join the call."


class CallLost(CallError):
    """The call was lost after it was joined. `quiet_s`: for how long nothing had come from it, 0 where not known."""

    code = "call_lost"
    sentence = "The recorder lost the call."

    def __init__(self, *, detail: str, quiet_s: float) -> None:
        super().__init__(detail=detail)
        self.quiet_s = quiet_s


class RecordingError(RecorderError):
    code = "recording"
    sentence = "The recording could not be finished."


class DeadlineError(RecorderError):
    code = "deadline"
    sentence = "The recorder took too long."


class MattermostError(RecorderError):
    """The server refused or could not be reached. `status` is the HTTP status, 0 where there was no reply.

    `words` is what the plugin or the server said in its own form, "" where somebody else spoke or nobody did.
    """

    code = "mattermost"
    sentence = "Mattermost did not accept the recorder's request."

    def __init__(
        self, sentence: str = "", *, detail: str = "", code: str = "", status: int = 0, words: str = ""
    ) -> None:
        super().__init__(sentence, detail=detail, code=code)
        self.status = status
        self.words = words


class ServerUnavailable(MattermostError):
    code = "server_unavailable"
    sentence = "Mattermost could not be reached."


class SettingInTheWay(ServerUnavailable):
    """Somebody has to change a setting of the server, or of a proxy before it; the sentence says which."""

    code = "server_setting"
    sentence = "A setting of Mattermost is in the way."


class AccessRefused(MattermostError):
    code = "access_refused"
    sentence = "Mattermost refused the recorder's access."


class RequestRejected(MattermostError):
    code = "request_rejected"


class JobOver(MattermostError):
    """The plugin says that this job ended."""

    code = "job_over"
    sentence = "The recording was already stopped."
