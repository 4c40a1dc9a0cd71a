"""Names that a server gives, made safe for our disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_fsm.mattermost.file_names import NAME_LIMIT_BYTES, safe_stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Call_Town_Square_2026-01-02_03-04-05", "Call_Town_Square_2026-01-02_03-04-05"),
        ('a\\b:c*d?e"f<g>h|i\nj k/l\u00a0m', "a_b_c_d_e_f_g_h_i_j_k_l_m"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("...", ""),
        ("..", ""),
        ("--help", "help"),
        (".hidden", "hidden"),
        ("a\x00b\x1b\x7f\x85", "a_b___"),
        ("a\u202egpj", "a_gpj"),
        ("a\ud800b", "a_b"),
        ("\U0001f389 \u00e9t\u00e9", "\U0001f389_\u00e9t\u00e9"),
        ("", ""),
    ],
)
def test_stem_is_made_safe(name: str, stem: str) -> None:
    """The original's replacements, and no path, control character or leading dot beyond them."""
    assert safe_stem(name) == stem


def test_long_stem_is_cut_between_characters() -> None:
    """At most 200 bytes of UTF-8, never half a character."""
    stem = safe_stem("\U0001f600" * 100)
    assert stem == "\U0001f600" * 50
    assert len(safe_stem("a" + "\U0001f600" * 100).encode()) == 197


@given(st.text(st.characters()))
def test_stem_is_always_one_harmless_path_part(name: str) -> None:
    """Whatever the server sends, the stem is empty or one short file name."""
    stem = safe_stem(name)
    assert len(stem.encode()) <= NAME_LIMIT_BYTES
    assert "/" not in stem
    assert "\x00" not in stem
    assert not stem.startswith((".", "-"))
    assert safe_stem(stem) == stem
