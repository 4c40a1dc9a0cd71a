"""What people and logs are told when Chromium does not start."""

from recorder_fsm.browser.launch_options import launch_failure

# As Playwright 1.65 reports it, under Docker's default seccomp profile; the command line is made up.
REFUSED = (
    "BrowserType.launch_persistent_context: Target page, context or browser has been closed\nBrowser logs:\n\n"
    f"<launching> /launchers/chromium {'--disable-field-trial-config ' * 103}\n<launched> pid=33\n"
    "[pid=33][err] [33:33:1122/161633.000000:ERROR:content/browser/zygote_host/zygote_host_impl_linux.cc:130] "
    "No usable sandbox! If this is a Debian system, please install the chromium-sandbox package\n"
    "Call log:\n  - [pid=33] <gracefully close start>\n  - [pid=33] <process did exit: exitCode=1, signal=null>\n"
)


def test_refused_sandbox_names_its_cures_in_one_line() -> None:
    """Wherever the words stand in a long report, the cause is found, and the cures are all named."""
    error = launch_failure(REFUSED)
    assert error.code == "sandbox_refused"
    assert "\n" not in str(error)
    for cure in ("seccomp=deploy/seccomp.json", "seccompProfile", "unprivileged_userns_clone", "apparmor_restrict"):
        assert cure in error.detail
    assert "No usable sandbox!" in error.detail


def test_other_failures_say_what_chromium_said() -> None:
    """The browser's own words are kept, the command line and Playwright's log are not."""
    error = launch_failure(REFUSED.replace("No usable sandbox!", "Missing X server or $DISPLAY"))
    assert error.code == "browser"
    assert "Missing X server" in error.detail
    assert "--disable-field-trial-config" not in error.detail
    assert "gracefully" not in error.detail
