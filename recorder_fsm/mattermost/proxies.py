"""The proxy between us and the server: which one the environment names, and what is said of it.

requests chooses it (`client`), so requests is asked; Chromium is given the same by `browser.launch_options`. Whoever
reads of a proxy reads its address without user and password.
"""

from __future__ import annotations

from collections.abc import Mapping

from recorder_fsm.errors import SettingsError


def proxy_for(url: str) -> str:
    """Return the address of the proxy for `url` as the environment of this process has it, "" for none."""
    from requests.utils import get_environ_proxies, select_proxy  # noqa: PLC0415 - most jobs have no proxy, and start sooner

    return select_proxy(url, get_environ_proxies(url)) or ""


def shown_proxy(address: str) -> str:
    """Return `scheme://host:port` of a proxy's address, "" for none."""
    if not address:
        return ""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "http", address
    return f"{scheme}://{rest.rsplit('@', maxsplit=1)[-1].split('/', maxsplit=1)[0]}"


def refuse_socks(url: str, environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` where the proxy for `url` is one that the HTTP client does not speak to."""
    if not any(name.lower().endswith("_proxy") for name in environment):
        return
    proxy = proxy_for(url)
    if not proxy.lower().startswith("socks"):
        return
    scheme = url.partition("://")[0]
    names = [form for name in (scheme, "all") for form in (f"{name}_proxy", f"{name}_proxy".upper())]
    variable = next((name for name in names if environment.get(name) == proxy), names[1])
    raise SettingsError(
        "The recorder does not support SOCKS proxies.",
        detail=f"{variable} is {shown_proxy(proxy)}: a SOCKS proxy is not supported, use an HTTP proxy "
        "(http://host:port), or name the server in NO_PROXY",
        variable=variable,
    )
